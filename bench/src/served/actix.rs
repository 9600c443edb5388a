//! `actix-session` 0.11 with its Redis store, under the framework it belongs to: beside the same routes of that framework
//! without a session.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Cookie, Key};
use actix_web::{App, Error, test, web};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use super::server::Server;
use super::{Subject, VISITORS, Work};
use crate::requests::USUAL;

/// For the table.
pub const NAME: &str = "actix-session";

/// A request to its end: the cookies that were set, and the body.
type Answering = Pin<Box<dyn Future<Output = (Vec<Cookie<'static>>, String)>>>;
/// Whatever the application's type is.
type Ask = Rc<dyn Fn(&'static str, Option<Cookie<'static>>) -> Answering>;

struct Actix {
    name: &'static str,
    runtime: Runtime,
    tasks: LocalSet,
    ask: Ask,
    cookies: Vec<Option<Cookie<'static>>>,
    counted: Vec<u64>,
    has_sessions: bool,
}

/// An application, made to be asked.
macro_rules! ask {
    ($app:expr) => {{
        let app = Rc::new(test::init_service($app).await);
        Rc::new(move |path: &'static str, cookie: Option<Cookie<'static>>| -> Answering {
            let app = Rc::clone(&app);
            Box::pin(async move {
                let mut request = test::TestRequest::get().uri(path);
                if let Some(cookie) = cookie {
                    request = request.cookie(cookie);
                }
                let response = test::call_service(&*app, request.to_request()).await;
                assert!(response.status().is_success(), "{}", response.status());
                let cookies = response.response().cookies().map(Cookie::into_owned).collect();
                let body = test::read_body(response).await;
                (cookies, String::from_utf8_lossy(&body).into_owned())
            })
        }) as Ask
    }};
}

/// The routes without a session.
pub fn bare() -> Box<dyn Subject> {
    Box::new(Actix::new("actix bare", false, async || {
        let answer = || web::get().to(async || "1");
        ask!(App::new().route("/read", answer()).route("/increment", answer()).route("/prepare", answer()))
    }))
}

/// The subject.
pub fn subject(server: &Server) -> Box<dyn Subject> {
    let url = server.url(5);
    Box::new(Actix::new(NAME, true, async move || {
        let store = RedisSessionStore::new(url).await.expect("a server");
        let sessions = SessionMiddleware::builder(store, Key::generate()).build();
        ask!(
            App::new()
                .wrap(sessions)
                .route("/read", web::get().to(read))
                .route("/increment", web::get().to(increment))
                .route("/prepare", web::get().to(prepare))
        )
    }))
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get::<u64>("n")?.unwrap_or_default().to_string())
}

async fn increment(session: Session) -> Result<String, Error> {
    let n = session.get::<u64>("n")?.unwrap_or_default() + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

async fn prepare(session: Session) -> Result<&'static str, Error> {
    session.insert("n", 1)?;
    for (key, value) in USUAL {
        session.insert(key, value)?;
    }
    Ok("ok")
}

impl Actix {
    fn new(name: &'static str, has_sessions: bool, ask: impl AsyncFnOnce() -> Ask) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = LocalSet::new();
        let ask = tasks.block_on(&runtime, ask());
        let cookies = (0..VISITORS)
            .map(|_| {
                let (set, _) = tasks.block_on(&runtime, ask("/prepare", None));
                set.into_iter().next().map(|set| Cookie::new(set.name().to_owned(), set.value().to_owned()))
            })
            .collect();
        Actix { name, runtime, tasks, ask, cookies, counted: vec![0; VISITORS], has_sessions }
    }
}

impl Subject for Actix {
    fn name(&self) -> &'static str {
        self.name
    }

    fn batch(&mut self, work: Work, requests: usize, at_once: usize) -> Duration {
        let each = requests / at_once;
        if work == Work::Increment {
            for counted in self.counted.iter_mut().take(at_once) {
                *counted += each as u64;
            }
        }
        let visitors: Vec<_> = self.cookies.iter().take(at_once).cloned().collect();
        let ask = Rc::clone(&self.ask);
        self.tasks.block_on(&self.runtime, async move {
            let began = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for cookie in visitors {
                let ask = Rc::clone(&ask);
                running.spawn_local(async move {
                    for _ in 0..each {
                        ask(work.path(), cookie.clone()).await;
                    }
                });
            }
            running.join_all().await;
            began.elapsed()
        })
    }

    fn check(&mut self) {
        if !self.has_sessions {
            return;
        }
        for (cookie, counted) in self.cookies.iter().zip(&self.counted) {
            let (_, body) = self.tasks.block_on(&self.runtime, (self.ask)("/read", cookie.clone()));
            assert_eq!(body, (counted + 1).to_string(), "{}", self.name);
        }
    }
}
