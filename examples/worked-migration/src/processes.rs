//! Programs that run as long as this one does.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::Trouble;

/// What does not stand after this long does not stand at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a program has to end when this one does.
const FAREWELL: Duration = Duration::from_secs(3);

/// A running program; it ends when this is dropped.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
}

impl Program {
    pub(crate) fn start<I, S>(name: &'static str, program: &Path, arguments: I) -> Result<Self, Trouble>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(name, program, &mut command)
    }

    fn spawn(name: &'static str, program: &Path, command: &mut Command) -> Result<Self, Trouble> {
        match command.kill_on_drop(true).spawn() {
            Ok(child) => Ok(Program { name, child }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "{} is missing: install it ({name}), or run ./test once, which does",
                program.display()
            )
            .into()),
            Err(error) => Err(format!("{name} does not start: {error}").into()),
        }
    }

    /// This very program as the service; answers with its address as well.
    pub(crate) async fn service(configuration: &Path, stage: &str) -> Result<(Self, String), Trouble> {
        let me = std::env::current_exe()?;
        let mut command = Command::new(&me);
        command.arg("service").arg(configuration).env("STAGE", stage);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = Self::spawn("the service", &me, &mut command)?;
        let out = program.child.stdout.take().ok_or("the service has no output")?;
        let line = tokio::time::timeout(PATIENCE, BufReader::new(out).lines().next_line()).await??;
        match line.as_deref().and_then(|line| line.strip_prefix("listening on ")) {
            Some(address) => Ok((program, address.to_owned())),
            None => Err("the service does not start; what is above says why".into()),
        }
    }

    /// Asks until it is there.
    pub(crate) async fn until(&mut self, there: impl AsyncFn() -> bool, log: &Path) -> Result<(), Trouble> {
        let began = Instant::now();
        while !there().await {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let why = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} does not start\n{}", self.name, why.trim_end()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) -> Result<(), Trouble> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let sent = std::process::Command::new("kill").args([signal, &id.to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("{} cannot be told", self.name).into()) }
    }

    /// Tells it to end what is under way, and waits for that.
    pub(crate) async fn end(mut self, signal: &str) -> Result<(), Trouble> {
        self.signal(signal)?;
        // Whatever is left after that is killed by being dropped.
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(())
    }
}

/// Told to end first: nginx and PHP-FPM would leave their workers behind.
impl Drop for Program {
    fn drop(&mut self) {
        let began = Instant::now();
        let _ = self.signal("-TERM");
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether somebody listens at this socket.
pub(crate) async fn answers_at(socket: &Path) -> bool {
    tokio::net::UnixStream::connect(socket).await.is_ok()
}

/// Completes at Ctrl-C or `SIGTERM`; at one that came before it was first polled, too.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
