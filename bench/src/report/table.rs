//! The results for the terminal.

use std::fmt::Write;

use super::Report;
use crate::durable;
use crate::locks::Locks;
use crate::served::{Served, Share};
use crate::stats::Spread;

/// The whole text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(out, "{}, {} processors, {}", machine.processor, machine.processors, machine.system)?;
    writeln!(out, "{}, {}", machine.compiler, machine.date)?;
    if !report.requests.is_empty() {
        requests(out, report)?;
    }
    if !report.durable.is_empty() {
        durable(out, report)?;
    }
    if let Some(there) = &report.served {
        served(out, there)?;
    }
    if !report.php.is_empty() {
        php(out, report)?;
    }
    if let Some(there) = &report.locks {
        locks(out, there)?;
    }
    Ok(())
}

fn php(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\nPHP's formats: time beside PHP's own functions")?;
    writeln!(
        out,
        "{:14}{:>6}{:>9}  {:22}{:>13}{:>13}{:>9}{:>9}",
        "", "items", "bytes", "", "PHP", "cloakroom", "times", "promise"
    )?;
    for row in &report.php {
        writeln!(
            out,
            "{:14}{:>6}{:>9}  {:22}{:>10.0} ns{:>10.0} ns{:>9.2}{:>9} {}",
            row.format,
            row.items,
            row.bytes,
            row.work.name(),
            row.php_ns.median,
            row.rust_ns.median,
            row.times_php.median,
            row.at_least.map_or_else(String::new, |least| format!("≥ {least}")),
            row.at_least.map_or("", |_| mark(row.holds())),
        )?;
    }
    Ok(())
}

fn requests(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\nRequests in process: time and allocations of a session, over the bare route")?;
    writeln!(
        out,
        "{:28}{:>10}{:>22}{:>24}{:>9}{:>9}",
        "", "bare", "cloakroom", "tower-sessions", "ratio", "promise"
    )?;
    for row in &report.requests {
        let cost = |cost: &crate::requests::Cost| {
            format!("{:>8.0} ns{:>5.0} allocs", cost.net_ns.median, cost.allocations)
        };
        writeln!(
            out,
            "{:28}{:>7.0} ns{:>22}{:>24}{:>9.3}{:>9} {}",
            row.scenario,
            row.bare_ns.median,
            cost(&row.cloakroom),
            cost(&row.tower_sessions),
            row.ratio,
            row.ratio_at_most.map_or_else(String::new, |most| format!("≤ {most}")),
            row.ratio_at_most.map_or("", |_| mark(row.holds())),
        )?;
    }
    Ok(())
}

fn durable(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "\nDurable writes a second on SQLite (300 bytes, synchronous=FULL), by writers at once")?;
    write!(out, "{:28}", "")?;
    for row in &report.durable {
        write!(out, "{:>12}", row.writers)?;
    }
    writeln!(out)?;
    let subjects = report.durable.first().map_or(0, |row| row.subjects.len());
    for subject in 0..subjects {
        write!(out, "{:28}", report.durable[0].subjects[subject].name)?;
        for row in &report.durable {
            write!(out, "{:>12.0}", row.subjects[subject].per_second.median)?;
        }
        writeln!(out)?;
    }
    let line = |out: &mut String, name: &str, value: &dyn Fn(&durable::Row) -> String| {
        write!(out, "{name:28}")?;
        for row in &report.durable {
            write!(out, "{:>12}", value(row))?;
        }
        writeln!(out)
    };
    line(out, "cloakroom / best rusqlite", &|row| {
        let (held, times) = (row.at_least.map_or("", |_| mark(row.holds())), row.times_rusqlite.median);
        format!("{times:.2} × {held}")
    })?;
    line(out, "promise", &|row| row.at_least.map_or_else(String::new, |least| format!("≥ {least}")))?;
    line(out, "cloakroom / sqlx store", &|row| format!("{:.2} ×", row.times_sqlx.median))?;
    line(out, "a flush of this disk", &|row| format!("{:.0} µs", row.flush_us.median))
}

fn served(out: &mut String, served: &Served) -> std::fmt::Result {
    let Served { server, stored, rows, near, facts } = served;
    writeln!(
        out,
        "\nSessions of {stored} bytes on {server}: microseconds of one request over the same route without a session"
    )?;
    write!(out, "{:28}{:>8}", "", "at once")?;
    for cost in rows.first().map_or(&[][..], |row| &row.subjects) {
        write!(out, "{:>19}", cost.name)?;
    }
    writeln!(out)?;
    for row in rows {
        write!(out, "{:28}{:>8}", row.work, row.at_once)?;
        for cost in &row.subjects {
            write!(out, "{:>19.1}", cost.net_us.median)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\n{:36}Cloakroom's speed, where each of these is 1", "")?;
    for row in rows {
        write!(out, "{:28}{:>8}", row.work, row.at_once)?;
        for share in [&row.of_raw].into_iter().chain(&row.of_plain).chain(&row.times_peers) {
            write!(out, "  {}", fast(share))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\n{:36}Its speed behind its near cache, likewise", "")?;
    for row in rows {
        let (raw, cached) = (fast(&row.near_of_raw), fast(&row.near_of_cached));
        writeln!(out, "{:28}{:>8}  {raw}  {cached}", row.work, row.at_once)?;
    }
    writeln!(out, "\nA lookup by itself, microseconds")?;
    writeln!(out, "{:28}{:>8}{:>16}{:>16}", "", "at once", "GET", "near cache")?;
    for row in near {
        let (get, near) = (row.get_us.median, row.near_us.median);
        writeln!(out, "{:28}{:>8}{get:>16.1}{near:>16.3}  {}", "", row.at_once, fast(&row.of_raw))?;
    }
    writeln!(out, "\nBytes of the server's memory for each session")?;
    for size in &facts.sessions {
        let user = if size.logged_in { ", logged in" } else { "" };
        writeln!(out, "{:28}{:>8}", format!("{} bytes of data{user}", size.data), size.bytes)?;
    }
    let Spread { low, median, high } = facts.handover_us;
    writeln!(
        out,
        "\nFrom a release to the next holder, in another process: {median:.0} µs ({low:.0} to {high:.0})"
    )
}

fn locks(out: &mut String, locks: &Locks) -> std::fmt::Result {
    let Locks { server, php, rows, handovers } = locks;
    writeln!(
        out,
        "\nLocks on {server}, beside {php}: 200 locked increments of one session, 20 at once; milliseconds"
    )?;
    writeln!(
        out,
        "{:28}{:>10}{:>10}{:>10}{:>10}{:>22}{:>10}{:>8}",
        "", "held each", "in all", "held", "beyond", "PHP's speed is 1", "others µs", "idle"
    )?;
    for row in rows {
        let (all, held, beyond) = (row.wall_ms.median, row.holds_ms.median, row.beyond_ms.median);
        let (others, idle) = (row.bystander_us.median, row.idle_us.median);
        writeln!(
            out,
            "{:28}{:>10}{all:>10.1}{held:>10.1}{beyond:>10.1}{:>20.2} ×{others:>10.0}{idle:>8.0}  {:.2} × {}",
            row.name,
            row.hold_ms,
            row.times_php.median,
            row.bystander_times.median,
            row.holds.map_or("", mark),
        )?;
    }
    writeln!(out, "\nFrom a release to the next holder, who waits in another process, µs")?;
    for handover in handovers {
        let Spread { low, median, high } = handover.us;
        let promise =
            handover.at_most.map_or_else(String::new, |most| format!("≤ {most} {}", mark(handover.holds())));
        writeln!(out, "{:28}{median:>10.0}  ({low:.0} to {high:.0})  {promise}", handover.name)?;
    }
    Ok(())
}

fn fast(share: &Share) -> String {
    let promise =
        share.at_least.map_or_else(String::new, |least| format!(" ≥ {least} {}", mark(share.holds())));
    format!("{} {:.2}{promise}", share.name, share.times.median)
}

fn mark(holds: bool) -> &'static str {
    if holds { "✓" } else { "✗" }
}
