//! A service of ours on PHP's files, and PHP beside it.

use super::*;

/// A service of ours on PHP's sessions.
pub(crate) struct Service {
    pub(crate) dir: PathBuf,
    pub(crate) sessions: SessionManager,
    pub(crate) store: PhpFileStore,
}

impl Service {
    pub(crate) async fn on(dir: &Path, mode: Mode) -> Self {
        // On a machine that is busy with other things, whoever has a lock is slow to give it back.
        let files = PhpFiles::builder(dir).busy_timeout(Duration::from_secs(20)).open().await.unwrap();
        Self::with(dir, mode, files)
    }

    pub(crate) fn with(dir: &Path, mode: Mode, files: PhpFiles) -> Self {
        let layout = Layout::php_files().user_variable("user_id");
        let locking = Locking { wait: Duration::from_secs(60), ..layout.locking() };
        let config = layout.session_config().mode(mode).locking(locking);
        let config = config.deadlines(Duration::from_secs(60), Duration::from_secs(30));
        let store = PhpFileStore::new(files, layout);
        let sessions = SessionManager::new(store.clone(), config).unwrap();
        Service { dir: dir.to_owned(), sessions, store }
    }

    pub(crate) fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("PHPSESSID={id}"));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    /// Ends a request; answers with the id that the response tells, if any.
    pub(crate) async fn close(&self, handle: &SessionHandle) -> Result<Option<String>, SessionError> {
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.sessions.close(handle, StatusCode::OK, &mut headers).await
        {
            return Err(error);
        }
        let cookie = headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        Ok(cookie
            .map(|cookie| cookie.strip_prefix("PHPSESSID=").unwrap().split(';').next().unwrap().to_owned()))
    }

    pub(crate) async fn visit<T>(&self, id: &str, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let handle = self.request(id);
        let answer = handler(&handle.open().await.unwrap()).await;
        self.close(&handle).await.unwrap();
        answer
    }

    pub(crate) async fn n(&self, id: &str) -> Option<i64> {
        self.visit(id, async |session| session.get("n").unwrap()).await
    }

    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("sess_{id}"))
    }

    pub(crate) fn value(&self, id: &str) -> Option<String> {
        std::fs::read_to_string(self.file(id)).ok()
    }

    pub(crate) fn php_writes(&self, id: &str, value: &str) {
        let file = Php::begins(&self.file(id));
        file.ends(value);
    }
}

/// A request of PHP's, which has the lock of its session.
pub(crate) struct Php(pub(crate) File);

impl Php {
    pub(crate) fn begins(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).unwrap();
        file.lock().unwrap();
        Php(file)
    }

    pub(crate) fn reads(&self) -> String {
        let mut bytes = vec![0; self.0.metadata().unwrap().len() as usize];
        self.0.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn ends(self, value: &str) {
        self.0.set_len(0).unwrap();
        self.0.write_all_at(value.as_bytes(), 0).unwrap();
    }
}

pub(crate) fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
