//! The results as one SVG that needs nothing else: bars, cloakroom beside its peers.

use std::fmt::Write;

use super::Report;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 170.0;
const BAR: f64 = 14.0;
const OURS: &str = "#2f6f4f";
const THEIRS: [&str; 3] = ["#b8b2a7", "#d3cec4", "#9aa5b1"];

/// One bar.
struct Bar {
    name: &'static str,
    value: f64,
    text: String,
}

/// The whole picture.
pub fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    // Writing into a string cannot fail.
    let _ = draw(&mut body, &mut y, report);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn draw(out: &mut String, y: &mut f64, report: &Report) -> std::fmt::Result {
    if !report.requests.is_empty() {
        title(out, y, "What a session costs a request, over the bare route (shorter is better)")?;
    }
    for row in &report.requests {
        let bar = |name, cost: &crate::requests::Cost| Bar {
            name,
            value: cost.net_ns.median,
            text: format!("{:.0} ns, {:.0} allocations", cost.net_ns.median, cost.allocations),
        };
        let bars = [bar("cloakroom", &row.cloakroom), bar("tower-sessions", &row.tower_sessions)];
        group(out, y, row.scenario, &bars)?;
    }
    if !report.durable.is_empty() {
        *y += 14.0;
        title(out, y, "Durable writes a second on SQLite (longer is better)")?;
    }
    for row in &report.durable {
        let bars: Vec<_> = row
            .subjects
            .iter()
            .map(|rate| Bar {
                name: rate.name,
                value: rate.per_second.median,
                text: format!("{:.0}/s", rate.per_second.median),
            })
            .collect();
        let name =
            if row.writers == 1 { "1 writer".to_owned() } else { format!("{} writers at once", row.writers) };
        group(out, y, &name, &bars)?;
    }
    if report.served.is_some() {
        *y += 14.0;
        title(out, y, "What a session on Redis costs a request, over the same route (shorter is better)")?;
    }
    for row in report.served.iter().flat_map(|served| &served.rows) {
        let bars: Vec<_> = row
            .subjects
            .iter()
            .map(|cost| Bar {
                name: cost.name,
                value: cost.net_us.median,
                text: format!("{:.1} µs", cost.net_us.median),
            })
            .collect();
        group(out, y, &format!("{}, {} at once", row.work, row.at_once), &bars)?;
    }
    let machine = &report.machine;
    *y += 16.0;
    writeln!(
        out,
        "<text x=\"16\" y=\"{y}\" fill=\"#777\">{}, {} processors, {}, {}, {}</text>",
        escape(&machine.processor),
        machine.processors,
        escape(&machine.system),
        escape(&machine.compiler),
        escape(&machine.date),
    )?;
    *y += 16.0;
    Ok(())
}

fn title(out: &mut String, y: &mut f64, text: &str) -> std::fmt::Result {
    writeln!(out, "<text x=\"16\" y=\"{y}\" font-size=\"15\" font-weight=\"600\">{text}</text>")?;
    *y += 18.0;
    Ok(())
}

/// The bars of one row, each as a part of the row's longest.
fn group(out: &mut String, y: &mut f64, name: &str, bars: &[Bar]) -> std::fmt::Result {
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    writeln!(out, "<text x=\"16\" y=\"{}\" font-weight=\"600\">{}</text>", *y + 11.0, escape(name))?;
    *y += BAR + 3.0;
    for (i, bar) in bars.iter().enumerate() {
        let length = (bar.value.max(0.0) / longest * (WIDTH - LEFT - RIGHT)).max(1.0);
        let colour = if i == 0 { OURS } else { THEIRS[(i - 1) % THEIRS.len()] };
        let base = *y + 11.0;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{base}\" fill=\"#555\">{}</text>",
            LEFT - 8.0,
            escape(bar.name),
            LEFT + length + 6.0,
            escape(&bar.text),
        )?;
        *y += BAR + 3.0;
    }
    *y += 8.0;
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
