//! The configuration as people meet it: what is accepted, what wins, and what each mistake says.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

mod drivers;
mod hostile;
mod mistakes;
mod session;
mod values;

use super::*;
use crate::store::Store;

const SAMPLE: &str = include_str!("../../../../../docs/cloakroom.toml");

fn parse(text: &str) -> Result<Configuration, ConfigError> {
    Configuration::parse("cloakroom.toml", text.as_bytes(), &Environment::empty())
}

fn parse_over<const N: usize>(
    text: &str,
    variables: [(&str, &str); N],
) -> Result<Configuration, ConfigError> {
    Configuration::parse("cloakroom.toml", text.as_bytes(), &Environment::of(variables))
}

fn settings(text: &str) -> Settings {
    parse(text).unwrap().settings
}

fn complaint(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn complaint_of(variable: &str, value: &str) -> String {
    parse_over("", [(variable, value)]).unwrap_err().to_string()
}

/// Drives a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("waits"),
    }
}

/// Drivers that tell which of them was opened, with which connection, and then refuse.
fn recording() -> (Drivers, Arc<Mutex<Vec<String>>>) {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let driver = |name: &'static str, keys: &'static [&'static str]| {
        let opened = Arc::clone(&opened);
        Driver::new(name, keys, move |connection: Connection| {
            let opened = Arc::clone(&opened);
            async move {
                let path = connection.text("path")?.unwrap_or("-").to_owned();
                opened.lock().push(format!("{name} {} {path}", connection.name()));
                Err::<Arc<dyn Store>, OpenError>("no disk".into())
            }
        })
    };
    let drivers = Drivers::none()
        .with(driver("sqlite", &["path", "password"]))
        .with(driver("memory", &["max_sessions"]).aliases(&["local"]));
    (drivers, opened)
}

/// Which driver is opened with which connection and `path`, or the complaint.
fn opens<const N: usize>(text: &str, variables: [(&str, &str); N]) -> String {
    let (drivers, opened) = recording();
    let error = match parse_over(text, variables) {
        Ok(configuration) => now(drivers.open(&configuration)).map(drop).unwrap_err(),
        Err(error) => error,
    };
    opened.lock().pop().unwrap_or_else(|| error.to_string())
}
