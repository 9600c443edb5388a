//! What is done to a site.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::door::{Door, Work};
use super::site::Site;
use super::{AT_ONCE, LOCKS};
use crate::stats::Spread;

/// Between two reads of whoever passes by.
const PACE: Duration = Duration::from_millis(3);
/// Reads of whoever passes by while nobody else is there.
const IDLE_READS: usize = 100;

/// One storm.
pub struct Storm {
    /// From its first request to its last answer, in milliseconds.
    pub wall_ms: f64,
    /// What the holders held, as they measured it themselves, added up.
    pub holds_ms: f64,
    /// How long a read of another session took meanwhile: the median, in microseconds.
    pub bystander_us: f64,
    /// The same while nobody else was there, a moment before.
    pub idle_us: f64,
}

/// As many locked increments of one session as the table says, while somebody else reads another session.
pub async fn storm(site: &mut Site, hold: u64) -> Result<Storm, String> {
    let idle_us = median(reads(site.door(0), &site.bystander, |so_far| so_far < IDLE_READS).await?);
    let over = Arc::new(AtomicBool::new(false));
    let passing = tokio::spawn({
        let (door, cookie, over) = (site.door(0), site.bystander.clone(), over.clone());
        async move { reads(door, &cookie, |_| !over.load(Ordering::Relaxed)).await }
    });
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (doors, cookie, next) = (site.doors.clone(), site.cookie.clone(), next.clone());
        asking.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= LOCKS {
                    return Ok::<_, String>(answers);
                }
                answers.push(doors[turn % doors.len()].ask(Work::Lock(hold), &cookie).await?);
            }
        });
    }
    let mut answers = Vec::with_capacity(LOCKS);
    for asked in asking.join_all().await {
        answers.extend(asked?);
    }
    let wall_ms = began.elapsed().as_secs_f64() * 1e3;
    over.store(true, Ordering::Relaxed);
    let passed = passing.await.map_err(|error| error.to_string())??;
    // Each number once: nothing was lost and nothing counted twice.
    let mut numbers: Vec<u64> = answers.iter().map(|answer| answer.number).collect();
    numbers.sort_unstable();
    if !numbers.iter().copied().eq(site.counted + 1..=site.counted + LOCKS as u64) {
        return Err(format!("{} lost or doubled increments: {numbers:?}", site.name));
    }
    site.counted += LOCKS as u64;
    let holds: u64 = answers.iter().map(|answer| answer.lets_go.saturating_sub(answer.held)).sum();
    Ok(Storm { wall_ms, holds_ms: holds as f64 / 1e3, bystander_us: median(passed), idle_us })
}

/// One holder, and one that waits, in another process where there is one: microseconds from the moment at which the first
/// begins to let go to the one at which the other has the lock.
pub async fn handovers(site: &mut Site, times: usize) -> Result<Spread, String> {
    let mut took = Vec::with_capacity(times);
    for turn in 0..times {
        let (door, cookie) = (site.door(turn), site.cookie.clone());
        let holder = tokio::spawn(async move { door.ask(Work::Lock(12), &cookie).await });
        // By then the first has it, and for some time yet.
        tokio::time::sleep(Duration::from_millis(4)).await;
        let next = site.door(turn + 1).ask(Work::Lock(0), &site.cookie).await?;
        let first = holder.await.map_err(|error| error.to_string())??;
        site.counted += 2;
        if first.number + 1 != next.number {
            // The machine was busy, and they came the other way round.
            continue;
        }
        took.push(next.held.saturating_sub(first.lets_go) as f64);
    }
    if took.len() < times / 2 {
        return Err(format!("{}: the machine is too busy to see who waits for whom", site.name));
    }
    Ok(Spread::of(took))
}

async fn reads(door: Door, cookie: &str, go_on: impl Fn(usize) -> bool) -> Result<Vec<f64>, String> {
    let mut took = Vec::new();
    while go_on(took.len()) || took.is_empty() {
        let began = Instant::now();
        door.ask(Work::Read, cookie).await?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
        tokio::time::sleep(PACE).await;
    }
    Ok(took)
}

fn median(values: Vec<f64>) -> f64 {
    Spread::of(values).median
}
