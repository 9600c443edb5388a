//! A connection that outlives its request is told that its session ended in another process, by the engine's regular looks: on a
//! server that tells nobody of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use cloakroom::{Outcome, Session, SessionConfig, SessionHandle, SessionManager};
use http::{HeaderMap, Request, StatusCode};
use support::pace::Pace;
use support::{Kind, Server};

/// What `ended` promises, and what the read of the server that finds out may take, at the machine's pace.
const PROMISED: Duration = Duration::from_millis(2_200);
/// What a busy machine may take, once.
const PATIENCE: Duration = Duration::from_secs(20);
const TRIES: usize = 4;

/// One process with a server.
struct Process(SessionManager);

impl Process {
    fn on(server: &Server) -> Process {
        Process(SessionManager::new(server.store(), SessionConfig::new().purge_every(None)).unwrap())
    }

    fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("__Host-id={id}")).body(()).unwrap();
        self.0.open(&request, None)
    }

    /// Works with a session and answers; the id that the response tells.
    async fn visit(&self, id: &str, work: impl AsyncFnOnce(&Session)) -> Option<String> {
        let handle = self.request(id);
        work(&handle.open().await.unwrap()).await;
        let mut headers = HeaderMap::new();
        let outcome = self.0.close(&handle, StatusCode::OK, &mut headers).await;
        assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
        let cookie = headers.get("set-cookie")?.to_str().unwrap();
        Some(cookie.split(['=', ';']).nth(1).unwrap().to_owned())
    }
}

/// How an end there is told here.
async fn told_within(kind: Kind, end: impl AsyncFn(&Process, &str)) {
    let server = Server::start(kind);
    let (here, there) = (Process::on(&server), Process::on(&server));
    let (mut took, pace) = (Vec::new(), Pace::here());
    for nth in 0..TRIES {
        let id = here.visit("", async |s| s.login("ann").await.unwrap()).await.unwrap();
        let handle = here.request(&id);
        let ended = tokio::spawn(handle.open().await.unwrap().ended());
        // At different moments between two looks.
        tokio::time::sleep(Duration::from_millis(100 + 300 * nth as u64)).await;
        // What does not end it is not told.
        let id = there.visit(&id, async |s| s.regenerate().await.unwrap()).await.unwrap();
        assert!(!ended.is_finished());
        end(&there, &id).await;
        let began = pace.now();
        tokio::time::timeout(PATIENCE, ended).await.expect("never told").unwrap();
        took.push(began.elapsed());
        assert!(here.request(&id).open_existing().await.unwrap().is_none());
    }
    took.sort();
    assert!(took[TRIES - 2] <= PROMISED, "{took:?}");
}

async fn c2_a_logout_in_another_process_is_told_within_two_seconds(kind: Kind) {
    told_within(kind, async |there, id| drop(there.visit(id, async |s| s.destroy().await.unwrap()).await))
        .await;
}

async fn c2_a_revocation_in_another_process_is_told_within_two_seconds(kind: Kind) {
    told_within(kind, async |there, _| assert_eq!(there.0.revoke_user("ann").await.unwrap(), 1)).await;
}

support::on_both! {
    c2_a_logout_in_another_process_is_told_within_two_seconds
    c2_a_revocation_in_another_process_is_told_within_two_seconds
}
