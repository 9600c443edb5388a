//! A headless Chromium for a test. Where there is none, the test fails.
#![allow(dead_code)] // Each test program uses a part of it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use fantoccini::cookies::Cookie;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// A browser takes two cores and half a gigabyte: one test at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a page needs to appear, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// No test takes so long, however busy the machine is: whatever a browser is asked then is answered with an error.
const LIFETIME: Duration = Duration::from_secs(300);

/// The turn of a test, and the driver its browsers are started with.
pub(crate) struct Driver {
    child: Child,
    address: String,
    _lives: mpsc::Sender<()>,
    _turn: MutexGuard<'static, ()>,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let turn = TURN.lock().await;
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver must be installed: Debian's packages chromium and chromium-driver");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tells, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    let _ = tells.send(port.trim_end_matches('.').to_owned());
                }
            }
        });
        let port = told.recv_timeout(PATIENCE).unwrap_or_else(|why| {
            let _ = child.kill();
            let _ = child.wait();
            panic!("chromedriver did not start: {why}")
        });
        let (lives, ended) = mpsc::channel();
        let process = child.id().to_string();
        std::thread::spawn(move || {
            if ended.recv_timeout(LIFETIME) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &process]).status();
            }
        });
        Driver { child, address: format!("127.0.0.1:{port}"), _lives: lives, _turn: turn }
    }

    /// A browser with a profile of its own.
    pub(crate) async fn browser(&self) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ] },
        });
        let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let url = format!("http://{}", self.address);
        let client = ClientBuilder::new(connector).capabilities(capabilities).connect(&url).await;
        Browser { client: client.expect("Chromium did not start"), _profile: profile }
    }

    /// Has it close its browsers and end.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            format!("GET /shutdown HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    /// Killed, it leaves the browsers behind that a failed test has not closed.
    fn drop(&mut self) {
        let _ = self.shut_down();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Browser {
    pub(crate) client: Client,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn text(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn body(&self) -> String {
        self.text("body").await
    }

    pub(crate) async fn has(&self, css: &str) -> bool {
        !self.client.find_all(Locator::Css(css)).await.unwrap().is_empty()
    }

    /// How much of the page is too wide to be seen without scrolling sideways, in pixels.
    pub(crate) async fn too_wide(&self) -> i64 {
        let over = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.client.execute(over, vec![]).await.unwrap().as_i64().unwrap()
    }

    pub(crate) async fn click(&self, css: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    pub(crate) async fn write(&self, css: &str, text: &str) {
        let field = self.client.find(Locator::Css(css)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Each of these tabs presses its button by itself, all at the same moment; comes back when the pages that follow are there.
    pub(crate) async fn press_at_once(&self, buttons: &[(&WindowHandle, &str)]) {
        let moment = self.client.execute("return Date.now() + 1500", vec![]).await.unwrap();
        for (tab, button) in buttons {
            self.client.switch_to_window((*tab).clone()).await.unwrap();
            let script = "const [button, at] = arguments;
                          window.waiting = true;
                          setTimeout(() => document.querySelector(button).click(), at - Date.now())";
            self.client.execute(script, vec![json!(button), moment.clone()]).await.unwrap();
        }
        for (tab, _) in buttons {
            self.client.switch_to_window((*tab).clone()).await.unwrap();
            self.until("!window.waiting && document.readyState === 'complete'").await;
        }
    }

    /// A site's cookie, as the browser keeps it.
    pub(crate) async fn cookie(&self, name: &str) -> Option<Cookie<'static>> {
        self.client.get_all_cookies().await.unwrap().into_iter().find(|cookie| cookie.name() == name)
    }

    /// The cookie of a session, with the attributes that it has to have: as the browser understood them.
    pub(crate) async fn session_cookie(&self, name: &str) -> Cookie<'static> {
        let cookie = self.cookie(name).await.expect("the browser has the cookie");
        assert_eq!(cookie.http_only(), Some(true), "S16");
        assert_eq!(cookie.same_site().map(|s| s.to_string()).as_deref(), Some("Lax"), "S17");
        assert_eq!(cookie.path(), Some("/"));
        assert_eq!(cookie.domain(), Some("127.0.0.1"), "host only: no leading dot");
        assert_eq!(
            cookie.secure(),
            Some(false),
            "S15: plain HTTP between a browser and a host that are this machine"
        );
        assert!(cookie.expires().is_none(), "S25: ends with the browser");
        let seen = self.client.execute("return document.cookie", vec![]).await.unwrap();
        assert_eq!(seen, json!(""), "no script of a page can read it");
        cookie
    }

    /// Waits until an expression holds on the page.
    pub(crate) async fn until(&self, expression: &str) {
        let start = Instant::now();
        loop {
            // While a page gives way to the next there is nothing to ask.
            let holds = self.client.execute(&format!("return !!({expression})"), vec![]).await;
            if matches!(holds, Ok(Value::Bool(true))) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "never came true: {expression}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the browser has written to one of its logs since it was last asked.
    pub(crate) async fn log(&self, kind: &'static str) -> Vec<Value> {
        match self.client.issue_cmd(ReadLog(kind)).await.unwrap() {
            Value::Array(entries) => entries,
            other => panic!("no log: {other}"),
        }
    }

    /// The addresses of everything that was asked for, from the log of the network.
    pub(crate) async fn requested(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let message = |entry: &Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok();
        entries
            .iter()
            .filter_map(message)
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|event| Some(event["message"]["params"]["request"]["url"].as_str()?.to_owned()))
            .collect()
    }

    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
    }
}

/// Chromium's command for its logs, which the standard does not have.
#[derive(Debug)]
struct ReadLog(&'static str);

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": self.0 }).to_string()))
    }
}
