//! The numbers of the admin page: for its first sight, for its script each second, and for Prometheus.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use cloakroom::{MetricsSnapshot, SessionHandle};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use super::Admin;
use super::chart::Spark;
use super::door::is_staff;
use super::sampler::Sample;
use crate::web::refusal::Refusal;
use crate::web::when::fine;

/// A number with its recent past.
#[derive(Serialize)]
pub(super) struct Tile {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: String,
    pub(super) detail: String,
    pub(super) spark: Spark,
}

/// What the script is told.
#[derive(Serialize)]
struct Numbers<'a> {
    /// Whose counters these are: where several instances take turns at one address, each counts for itself.
    instance: &'a str,
    tiles: Vec<Tile>,
}

/// What the script asks for each second. It is no sign of life: an open page does not keep its reader logged in.
pub(super) async fn json(State(admin): State<Admin>, handle: SessionHandle) -> Result<Response, Refusal> {
    handle.mark_background();
    match handle.open_existing().await? {
        Some(session) if is_staff(&session) => {}
        _ => return Err(Refusal::Unauthorized),
    }
    let numbers = Numbers { instance: admin.instance(), tiles: admin.tiles().await };
    Ok(([(CACHE_CONTROL, "no-store")], Json(numbers)).into_response())
}

/// The library's counters as Prometheus reads them: with the token as `Authorization: Bearer`, or logged in.
pub(super) async fn prometheus(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    handle: SessionHandle,
) -> Result<Response, Refusal> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let allowed = match bearer {
        Some(token) => admin.accepts(token, peer)?,
        None => {
            handle.mark_background();
            handle.open_existing().await?.is_some_and(|session| is_staff(&session))
        }
    };
    if !allowed {
        return Err(Refusal::Unauthorized);
    }
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    Ok((headers, admin.shop().metrics_text()).into_response())
}

impl Admin {
    pub(super) async fn tiles(&self) -> Vec<Tile> {
        tiles(&self.0.sampler.history(&self.0.shop).await)
    }
}

/// A counter: its name, what it means, and which it is.
type Counter = (&'static str, &'static str, &'static str, fn(&MetricsSnapshot) -> u64);

const COUNTERS: [Counter; 6] = [
    ("commits", "Commits", "Acknowledged by the store.", |m| m.commits),
    ("merged", "Conflicts merged", "Another request was quicker; both kept their changes.", |m| m.merges),
    ("refused", "Conflicts refused", "Read, then written, changed in between: 409.", |m| m.conflicts_refused),
    ("waits", "Lock waits", "Times a request queued for a session's lock.", |m| m.lock_waits),
    ("unknown", "Unknown ids refused", "Well-formed or not, none is ever adopted.", |m| {
        m.unknown_ids.saturating_add(m.malformed_ids)
    }),
    ("late", "Late writes stopped", "They came after a logout or a revocation.", |m| {
        m.resurrections_prevented
    }),
];

fn tiles(history: &[Sample]) -> Vec<Tile> {
    let Some(now) = history.last() else { return Vec::new() };
    let mut tiles = vec![live(history, now)];
    tiles.extend(COUNTERS.iter().map(|counter| counted(history, now, counter)));
    tiles.push(latency(history));
    tiles
}

/// The sessions of the whole store, or what it occupies where it does not count them.
fn live(history: &[Sample], now: &Sample) -> Tile {
    if let (None, Some(bytes)) = (now.live, now.bytes) {
        let values: Vec<f64> = history.iter().map(|sample| sample.bytes.unwrap_or(0) as f64).collect();
        return Tile {
            id: "live",
            name: "Store",
            hint: "What the whole server holds. It does not count sessions.",
            value: size(bytes),
            detail: String::new(),
            spark: Spark::of(&values, 4.0),
        };
    }
    let values: Vec<f64> = history.iter().map(|sample| sample.live.unwrap_or(0) as f64).collect();
    Tile {
        id: "live",
        name: "Live sessions",
        hint: "In the whole store, as it counts them.",
        value: now.live.map_or_else(|| "–".to_owned(), grouped),
        detail: now.bytes.map_or_else(String::new, |bytes| format!("{} in the store", size(bytes))),
        spark: Spark::of(&values, 4.0),
    }
}

fn counted(history: &[Sample], now: &Sample, &(id, name, hint, read): &Counter) -> Tile {
    let each = differences(history, |earlier, later| {
        read(&later.metrics).saturating_sub(read(&earlier.metrics)) as f64
    });
    let recent = history.first().map_or(0, |first| read(&now.metrics).saturating_sub(read(&first.metrics)));
    Tile {
        id,
        name,
        hint,
        value: grouped(read(&now.metrics)),
        detail: format!("{} lately", grouped(recent)),
        spark: Spark::of(&each, 4.0),
    }
}

fn latency(history: &[Sample]) -> Tile {
    let each = differences(history, |earlier, later| {
        let between = later.metrics.store_latency.since(&earlier.metrics.store_latency);
        between.quantile(0.5).unwrap_or_default().as_secs_f64()
    });
    let (value, detail) = match (history.first(), history.last()) {
        (Some(first), Some(last)) => {
            let all = last.metrics.store_latency.since(&first.metrics.store_latency);
            let at = |part| all.quantile(part).map_or_else(|| "–".to_owned(), fine);
            (at(0.5), format!("99 % within {}", at(0.99)))
        }
        _ => ("–".to_owned(), String::new()),
    };
    Tile {
        id: "latency",
        name: "Store latency",
        hint: "The median of the last minute and a half.",
        value,
        detail,
        spark: Spark::of(&each, Duration::from_millis(1).as_secs_f64()),
    }
}

fn differences(history: &[Sample], between: impl Fn(&Sample, &Sample) -> f64) -> Vec<f64> {
    history.iter().zip(history.iter().skip(1)).map(|(earlier, later)| between(earlier, later)).collect()
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in their largest unit.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown: Vec<String> = [0, 12, 999, 1000, 1_234_567].map(grouped).into();
        assert_eq!(shown, ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!([size(12), size(20_480), size(2_621_440)], ["12 B", "20 KiB", "2.5 MiB"]);
    }

    #[test]
    fn a_store_that_does_not_count_its_sessions_shows_what_it_occupies() {
        let sample = |live| Sample { metrics: MetricsSnapshot::default(), live, bytes: Some(2048) };
        let shown = |live| {
            let tile = tiles(&[sample(live)]).swap_remove(0);
            (tile.name, tile.value, tile.detail)
        };
        assert_eq!(shown(Some(3)), ("Live sessions", "3".to_owned(), "2 KiB in the store".to_owned()));
        assert_eq!(shown(None), ("Store", "2 KiB".to_owned(), String::new()));
    }

    #[test]
    fn a_counter_shows_its_sum_and_charts_its_steps() {
        let sample = |commits| {
            let mut metrics = MetricsSnapshot::default();
            metrics.commits = commits;
            Sample { metrics, live: Some(3), bytes: None }
        };
        let tiles = tiles(&[sample(10), sample(12), sample(1012)]);
        let commits = tiles.iter().find(|tile| tile.id == "commits").unwrap();
        assert_eq!((commits.value.as_str(), commits.detail.as_str()), ("1,012", "1,002 lately"));
        assert_eq!(commits.spark.line.split(' ').count(), 2);
    }
}
