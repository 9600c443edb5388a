//! Sessions on their way out of a PHP application's layout, whichever it is: the same suite for every place that has one.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod afterwards;
pub mod interleavings;
pub mod late;
pub mod leftovers;
pub mod lines;
pub mod one;
pub mod pairs;
pub mod visits;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom::store::{Loaded, Store};
use cloakroom::{Session, SessionConfig, SessionError, SessionHandle, SessionManager, StoreKey};
use cloakroom_php::layout::{Layout, Stage};
use cloakroom_testing::fault::{Fault, FaultStore};
use http::{HeaderMap, Request, StatusCode};
use late::Calls;

/// A PHP application, played by the test, and the place that its sessions move to.
pub trait Application {
    /// With `user_id` as the variable of who is logged in.
    fn layout(&self) -> Layout;
    /// The sessions on their way, as another process has them.
    async fn moving(&self, stage: Stage, new: Arc<dyn Store>) -> Arc<dyn Store> {
        self.moving_with(stage, new, Calls::default()).await
    }
    /// So, with what goes wrong in PHP's place.
    async fn moving_with(&self, stage: Stage, new: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store>;
    /// Where they move to, as another process has it.
    async fn place(&self) -> Arc<dyn Store>;
    /// PHP writes a session: the variables as `serialize()` has the array of them.
    fn writes(&self, id: &str, variables: &str);
    fn ends(&self, id: &str);
    fn has(&self, id: &str) -> bool;
    /// PHP takes its lock; false where it takes none.
    fn locks(&self, _: &str) -> bool {
        false
    }
    fn unlocks(&self, _: &str) {}

    /// What a browser presents for an id.
    fn cookie(&self, id: &str) -> String {
        format!("PHPSESSID={id}")
    }
}

/// The variables of a session: who is logged in, a number, a basket.
pub fn basket(user: u32, n: i64) -> String {
    format!(r#"a:3:{{s:7:"user_id";i:{user};s:1:"n";i:{n};s:6:"basket";a:1:{{i:0;s:2:"A1";}}}}"#)
}

/// Of nobody.
pub fn number(n: i64) -> String {
    format!(r#"a:1:{{s:1:"n";i:{n};}}"#)
}

/// A session of PHP's, and who holds its cookie.
pub struct Visitor<'a, A> {
    pub application: &'a A,
    pub id: String,
    pub cookie: String,
}

impl<'a, A: Application> Visitor<'a, A> {
    /// A session of its own, with these variables.
    pub async fn new(application: &'a A, variables: &str) -> Self {
        Self::with_id(application, Self::length(application).await, variables)
    }

    /// Of an id.
    pub async fn length(application: &A) -> usize {
        let store = application.moving(Stage::Prepare, application.place().await).await;
        store.conventions().unwrap().ids.rules().length
    }

    /// With an id of that length.
    pub fn with_id(application: &'a A, length: usize, variables: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let id = format!("{:0>length$}", COUNT.fetch_add(1, Ordering::Relaxed));
        let cookie = application.cookie(&id);
        application.writes(&id, variables);
        Visitor { application, id, cookie }
    }

    pub fn php_writes(&self, variables: &str) {
        self.application.writes(&self.id, variables);
    }

    pub fn php_ends(&self) {
        self.application.ends(&self.id);
    }

    pub fn php_has(&self) -> bool {
        self.application.has(&self.id)
    }

    /// What the place that sessions move to has under the id.
    pub async fn moved(&self) -> Loaded {
        self.application.place().await.load(StoreKey::of_plain(self.id.as_bytes())).await.unwrap()
    }

    /// A move breaks off when its copy is made.
    pub async fn breaks_off(&self) {
        self.breaks_off_into(self.application.place().await).await;
    }

    /// So does one into this place.
    pub async fn breaks_off_into(&self, new: Arc<dyn Store>) {
        let faulty = FaultStore::new(new.clone());
        faulty.at(2, Fault::LoseAnswer);
        let broken = Instance::over(self.application, Stage::Move, Arc::new(faulty)).await;
        let _ = broken.request(&self.cookie).open().await;
        let copy = new.load(StoreKey::of_plain(self.id.as_bytes())).await.unwrap();
        assert!(matches!(copy, Loaded::Live(_)), "{}: there is a copy", broken.called);
        assert!(self.php_has(), "{}", broken.called);
    }
}

/// The layout's, on a machine that is busy with other things as well.
pub fn config(application: &impl Application) -> SessionConfig {
    application.layout().session_config().deadlines(Duration::from_secs(30), Duration::from_secs(10))
}

/// An instance of the service, at some stage of the move.
pub struct Instance {
    pub called: &'static str,
    pub sessions: SessionManager,
}

impl Instance {
    pub async fn over(application: &impl Application, stage: Stage, new: Arc<dyn Store>) -> Self {
        Self::with(application, stage, new, config(application)).await
    }

    pub async fn with(
        application: &impl Application,
        stage: Stage,
        new: Arc<dyn Store>,
        config: SessionConfig,
    ) -> Self {
        let sessions = SessionManager::over(application.moving(stage, new).await, config).unwrap();
        Instance { called: application.layout().name(), sessions }
    }

    /// One that renews ids by itself, this often.
    pub async fn renewing(application: &impl Application, stage: Stage, renewal: Duration) -> Self {
        let config = config(application).renewal(renewal, renewal / 2);
        Self::with(application, stage, application.place().await, config).await
    }

    pub async fn at(application: &impl Application, stage: Stage) -> Self {
        Self::over(application, stage, application.place().await).await
    }

    pub fn request(&self, cookie: &str) -> SessionHandle {
        self.sessions.open(&Request::builder().header("cookie", cookie).body(()).unwrap(), None)
    }

    /// A whole request; answers with what the handler says and the cookie that the response sets.
    pub async fn serve<T>(
        &self,
        cookie: &str,
        handler: impl AsyncFnOnce(&Session) -> Result<T, SessionError>,
    ) -> Result<(T, Option<String>), SessionError> {
        let handle = self.request(cookie);
        let said = handler(&handle.open().await?).await?;
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.sessions.close(&handle, StatusCode::OK, &mut headers).await
        {
            return Err(error);
        }
        let told = headers.get("set-cookie").map(|value| value.to_str().unwrap());
        Ok((said, told.and_then(|told| told.split(';').next()).map(str::to_owned)))
    }

    pub async fn n(&self, cookie: &str) -> Option<i64> {
        self.serve(cookie, async |session| session.get("n")).await.unwrap().0
    }

    pub async fn add(&self, cookie: &str) -> Result<i64, SessionError> {
        let add = async |session: &Session| session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await;
        self.serve(cookie, add).await.map(|(n, _)| n)
    }
}

/// A test for each part of the suite, over all of these applications.
macro_rules! moving_suite {
    ($applications:expr) => {
        moving_suite! { $applications;
            visits: a_session_moves_with_the_request_that_asks_for_it_and_the_visitor_notices_nothing,
            visits: while_php_holds_its_lock_a_session_stays_where_it_is_and_is_served_from_there,
            visits: a_variable_that_another_one_refers_to_keeps_its_session_where_it_is,
            visits: a_session_without_variables_moves_as_well,
            visits: c2_what_php_writes_after_the_move_is_never_loaded,
            visits: c4_nothing_from_before_a_login_is_planted_while_the_session_moves,
            afterwards: a_session_keeps_phps_id_until_it_is_renewed_and_then_nothing_of_it_is_phps,
            afterwards: what_only_php_can_read_stays_as_it_is,
            afterwards: an_array_that_is_list_and_map_is_readable_as_either_under_every_id,
            afterwards: a_session_that_begins_when_php_is_gone_is_none_of_phps,
            afterwards: c4_an_automatic_renewal_leads_from_phps_id_to_one_of_ours,
            afterwards: c4_an_automatic_renewal_leads_from_an_id_of_ours_back_to_phps,
            afterwards: a_move_that_broke_off_is_gone_on_with_while_there_is_phps_place_to_look_at,
            leftovers: c2_a_copy_that_is_over_is_not_opened_with_its_lock_either,
            leftovers: a_session_that_is_used_beside_a_copy_of_it_is_what_lives_on,
            leftovers: c1_a_copy_past_its_deadline_is_no_end_of_the_session,
            lines: c4_a_logout_follows_an_id_that_was_changed_in_phps_place_and_has_moved_since,
            lines: c4_an_id_in_its_grace_leads_to_a_session_that_has_moved_since,
            lines: c4_a_change_of_id_that_was_not_answered_is_known_once_a_session_has_moved,
            interleavings: c1_c2_a_move_that_breaks_off_anywhere_is_gone_on_with_and_loses_and_doubles_nothing,
            interleavings: c1_c4_what_is_decided_on_phps_session_is_not_done_to_a_copy_of_it,
            interleavings: c1_a_copy_that_is_taken_away_late_is_not_the_session_that_has_moved_since,
            interleavings: c2_a_copy_that_was_taken_away_is_no_end_of_the_session,
            interleavings: a_session_moves_with_the_request_that_finds_a_copy_of_another_users,
            interleavings: c1_what_php_writes_while_the_copy_is_made_is_what_moves,
            interleavings: c1_c4_a_request_beside_the_one_that_moves_its_session_finds_it,
            interleavings: c1_two_hundred_increments_while_the_session_moves_are_two_hundred,
            interleavings: c2_a_logout_while_the_session_moves_is_one_on_both_sides,
        }
    };
    ($applications:expr; $($part:ident: $name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                for application in $applications {
                    moving::$part::$name(&application).await;
                }
            }
        )*
    };
}
pub(crate) use moving_suite;
