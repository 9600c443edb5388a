//! A sparkline: the points of an SVG polyline.

/// The size of the drawing's own coordinates; the page stretches it.
const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 40.0;
/// Points across the whole width. A shorter history grows in from the right.
const POINTS: usize = 90;

/// Two polylines' points: the line, and the same closed along the bottom.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Spark {
    pub(super) line: String,
    pub(super) area: String,
}

impl Spark {
    /// The newest value is at the right edge. `floor` is the smallest value that fills the height: noise near zero stays
    /// near the bottom.
    pub(super) fn of(values: &[f64], floor: f64) -> Self {
        let shown = values.get(values.len().saturating_sub(POINTS)..).unwrap_or_default();
        let top = shown.iter().copied().fold(floor.max(f64::MIN_POSITIVE), f64::max);
        let step = WIDTH / (POINTS - 1) as f64;
        let first = WIDTH - step * shown.len().saturating_sub(1) as f64;
        let at = |(i, value): (usize, &f64)| {
            let x = first + step * i as f64;
            // A line of width 2 at the very edge would be cut in half.
            let y = HEIGHT - 1.5 - (value / top).clamp(0.0, 1.0) * (HEIGHT - 3.0);
            format!("{x:.1},{y:.1}")
        };
        let line = shown.iter().enumerate().map(at).collect::<Vec<_>>().join(" ");
        let area = match shown {
            [] => String::new(),
            _ => format!("{first:.1},{HEIGHT} {line} {WIDTH},{HEIGHT}"),
        };
        Spark { line, area }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_at_the_right_edge_and_the_largest_at_the_top() {
        let spark = Spark::of(&[0.0, 1.0, 4.0, 2.0], 1.0);
        let points: Vec<&str> = spark.line.split(' ').collect();
        assert_eq!(points.len(), 4);
        assert!(points[2].ends_with(",1.5"), "{spark:?}");
        assert!(points[3].starts_with("180.0,"), "{spark:?}");
        assert!(points[0].ends_with(",38.5"), "{spark:?}");
    }

    #[test]
    fn a_long_history_is_cut_and_an_empty_one_is_nothing() {
        assert_eq!(Spark::of(&[1.0; 500], 1.0).line.split(' ').count(), POINTS);
        assert_eq!(Spark::of(&[], 1.0), Spark { line: String::new(), area: String::new() });
        assert!(!Spark::of(&[0.0, 0.0], 0.0).line.contains("NaN"));
    }
}
