//! Everything that runs, and the way from two languages to one.

use std::ffi::OsStr;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::nginx::{self, Half};
use crate::processes::{PATIENCE, Program, answers_at, free_port, stop_signal};
use crate::{Trouble, php};

/// Where Debian has what an ordinary user's path may not lead to.
const SBIN: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// A shop that is open.
struct House {
    port: u16,
    nginx: Program,
    service: Program,
    /// Where it listens.
    address: String,
    /// Until PHP is gone.
    php: Option<Program>,
    _redis: Program,
    /// Goes last: they write into it until they end.
    folder: TempDir,
}

/// Opens the shop, and goes a step further with each line on standard input, until it is told to stop.
pub(crate) async fn open(port: Option<u16>) -> Result<(), Trouble> {
    // Heard from before anything runs, and by one listener until the end: a signal that arrives between two would be nobody's.
    let stop = stop_signal()?;
    tokio::select! {
        () = stop => Ok(()),
        ended = walk(port) => ended,
    }
}

/// The whole way. At its end, or where nobody can type anything, the shop stays open.
async fn walk(port: Option<u16>) -> Result<(), Trouble> {
    let mut lines = lines();
    let mut house = House::build(port).await?;
    say(&format!(
        "The shop              http://127.0.0.1:{}/\n\
         Goods, login, logout  PHP-FPM with phpredis\n\
         Basket, account       the Rust service\n\
         Everything is in      {}\n\n\
         Log in, fill the basket on both sides, log out on either. Then press Enter: nginx sends every route to Rust,\n\
         and sessions move to Cloakroom's own layout as their visitors come by. Ctrl-C stops everything.\n",
        house.port,
        house.folder.path().display()
    ));
    if lines.recv().await.is_some() {
        house.move_in().await?;
        say("Every route is Rust's, PHP-FPM has ended, sessions move. Who was logged in still is.\n\
             A day with PHP's gc_maxlifetime later whatever has not moved is over: press Enter for that day.\n");
        if lines.recv().await.is_some() {
            house.done().await?;
            say("PHP is gone, and its sessions are not looked for any more. Ctrl-C stops everything.\n");
        }
    }
    std::future::pending().await
}

/// Nobody may be reading any more; the shop is open all the same.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// What is typed, a line at a time.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    told
}

fn program(name: &str) -> PathBuf {
    let found = SBIN.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// nginx on this port, once it listens: it says so by a file with its process id.
async fn front(folder: &Path, port: u16, service: &str) -> Result<Program, Trouble> {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("nginx.conf"), nginx::configuration(folder, port, service, Half::Php))?;
    let arguments =
        ["-p".into(), folder.as_os_str().to_owned(), "-c".into(), path("nginx.conf").into_os_string()];
    let mut nginx = Program::start("nginx", &program("nginx"), arguments)?;
    nginx.until(async || path("nginx.pid").exists(), &path("nginx.log")).await?;
    Ok(nginx)
}

/// On a port that is free. Somebody else may be quicker: then on another one.
async fn front_anywhere(folder: &Path, service: &str) -> Result<(Program, u16), Trouble> {
    const TRIES: u32 = 5;
    let mut tries = TRIES;
    loop {
        let port = free_port()?;
        tries -= 1;
        match front(folder, port, service).await {
            Ok(nginx) => return Ok((nginx, port)),
            Err(why) if tries == 0 => return Err(why),
            Err(_) => {}
        }
    }
}

impl House {
    async fn build(port: Option<u16>) -> Result<Self, Trouble> {
        let folder = tempfile::Builder::new().prefix("migration-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text);
        write("shop.php", include_str!("../site/shop.php"))?;
        write("shop.css", include_str!("../site/shop.css"))?;
        write("php.ini", &php::ini(folder.path()))?;
        write("php-fpm.conf", &php::pool(folder.path()))?;
        write("cloakroom.toml", &php::service(folder.path()))?;

        let socket = path("redis.sock");
        let arguments = ["--port", "0", "--save", "", "--unixsocket"].map(OsStr::new);
        let arguments = arguments.into_iter().chain([socket.as_os_str()]);
        let mut redis = Program::start("redis-server", Path::new("redis-server"), arguments)?;
        redis.until(async || answers_at(&socket).await, &path("redis.log")).await?;

        let (ini, pool) = (path("php.ini"), path("php-fpm.conf"));
        let mut arguments =
            vec!["-c".into(), ini.into_os_string(), "--fpm-config".into(), pool.into_os_string()];
        arguments.push("--nodaemonize".into());
        if nginx::is_root() {
            arguments.push("--allow-to-run-as-root".into());
        }
        let mut fpm = Program::start("php8.2-fpm", &program("php-fpm8.2"), arguments)?;
        let socket = path("php.sock");
        fpm.until(async || answers_at(&socket).await, &path("php-fpm.log")).await?;

        let (service, address) = Program::service(&path("cloakroom.toml"), "prepare").await?;
        let (nginx, port) = match port {
            Some(port) => (front(folder.path(), port, &address).await?, port),
            None => front_anywhere(folder.path(), &address).await?,
        };
        Ok(House { port, nginx, service, address, php: Some(fpm), _redis: redis, folder })
    }

    /// The last day of PHP. Its routes go to the service as it is; PHP comes to its end; and only then, with nobody left who looks for a
    /// session where PHP has them, sessions move.
    async fn move_in(&mut self) -> Result<(), Trouble> {
        let service = self.address.clone();
        self.route(&service).await?;
        if let Some(php) = self.php.take() {
            // Lets requests under way come to their end.
            php.end("-QUIT").await?;
        }
        self.hand_over("move").await
    }

    async fn done(&mut self) -> Result<(), Trouble> {
        self.hand_over("done").await
    }

    /// A new instance of the service takes over from the old one, without a request being refused.
    async fn hand_over(&mut self, stage: &str) -> Result<(), Trouble> {
        let configuration = self.folder.path().join("cloakroom.toml");
        let (service, address) = Program::service(&configuration, stage).await?;
        self.route(&address).await?;
        self.address = address;
        std::mem::replace(&mut self.service, service).end("-TERM").await
    }

    /// Every route is the service's from now on.
    async fn route(&self, service: &str) -> Result<(), Trouble> {
        let folder = self.folder.path();
        let configuration = nginx::configuration(folder, self.port, service, Half::Rust);
        std::fs::write(folder.join("nginx.conf"), configuration)?;
        let before = self.workers()?;
        self.nginx.signal("-HUP")?;
        // Those that know the old routes are gone when what they had under way is answered.
        let began = std::time::Instant::now();
        while self.workers()?.iter().any(|worker| before.contains(worker)) {
            if began.elapsed() > PATIENCE {
                return Err("nginx goes on with the old routes; nginx.log may say why".into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// nginx' worker processes.
    fn workers(&self) -> Result<Vec<u32>, Trouble> {
        let Some(master) = self.nginx.id() else { return Err("nginx has ended".into()) };
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        Ok(children.split_whitespace().filter_map(|id| id.parse().ok()).collect())
    }
}
