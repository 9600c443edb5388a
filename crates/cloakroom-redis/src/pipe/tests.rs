//! Against a server that does as the test wishes: the other end of a stream in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Value, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

struct Bench {
    pipe: Pipe,
    server: DuplexStream,
    news: Arc<Mutex<Vec<String>>>,
    /// How often it went on after a standstill, which any test may see on a machine that is busy enough.
    awake: Arc<AtomicUsize>,
    driver: tokio::task::JoinHandle<()>,
}

/// Room for so many bytes on the way.
fn connected(room: usize) -> Bench {
    let (client, server) = tokio::io::duplex(room);
    let news = Arc::new(Mutex::new(Vec::new()));
    let awake = Arc::new(AtomicUsize::new(0));
    let (heard, woke) = (news.clone(), awake.clone());
    let on_news: OnNews = Arc::new(move |news| {
        heard.lock().push(match news {
            News::Push(push) => format!("{:?}", push.kind),
            News::Silent => "silent".to_owned(),
            News::Over => "over".to_owned(),
            News::Awake => {
                woke.fetch_add(1, Ordering::SeqCst);
                return;
            }
        });
    });
    let (pipe, driving) = drive(Box::new(client), on_news, true);
    Bench { pipe, server, news, awake, driver: tokio::spawn(driving) }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn get(key: &str) -> Cmd {
    let mut get = cmd("GET");
    get.arg(key);
    get
}

impl Bench {
    fn ask(&self, key: &str, ends: Instant) -> tokio::task::JoinHandle<Result<Value, Unanswered>> {
        let (pipe, get) = (self.pipe.clone(), get(key));
        tokio::spawn(async move { pipe.ask(&get, ends).await })
    }

    /// Until so many commands were read: what was read.
    async fn read(&mut self, commands: usize) -> String {
        let mut text = String::new();
        let mut bytes = [0; 1 << 10];
        while text.matches("GET").count() < commands {
            let read = self.server.read(&mut bytes).await.unwrap();
            assert!(read > 0, "the connection ended behind {text}");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        text
    }

    async fn say(&mut self, text: &str) {
        self.server.write_all(text.as_bytes()).await.unwrap();
    }
}

fn string(text: &str) -> Value {
    Value::BulkString(text.into())
}

#[tokio::test]
async fn what_is_asked_at_once_goes_out_in_one_write_and_answers_find_their_calls() {
    let mut at = connected(1 << 20);
    let calls: Vec<_> = ["a", "b", "c"].iter().map(|key| at.ask(key, soon())).collect();
    let mut bytes = [0; 1 << 10];
    let read = at.server.read(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes[..read]).matches("GET").count(), 3, "in one write");
    at.say("$1\r\nA\r\n_\r\n-ERR no\r\n").await;
    let mut told = Vec::new();
    for call in calls {
        told.push(call.await.unwrap().unwrap());
    }
    assert_eq!(told[..2], [string("A"), Value::Nil]);
    assert!(matches!(&told[2], Value::ServerError(error) if error.code() == "ERR"));
}

#[tokio::test]
async fn more_than_there_is_room_for_goes_out_bit_by_bit() {
    let mut at = connected(7);
    let calls: Vec<_> = (0..20).map(|n| at.ask(&format!("key-{n}"), soon())).collect();
    at.read(20).await;
    for n in 0..20 {
        at.say(&format!("$2\r\n{n:02}\r\n")).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), Ok(string(&format!("{n:02}"))));
    }
}

#[tokio::test]
async fn a_list_of_commands_is_answered_as_a_whole() {
    let mut at = connected(1 << 20);
    let mut both = Pipeline::new();
    both.add_command(get("a")).add_command(get("b"));
    let pipe = at.pipe.clone();
    let call = tokio::spawn(async move { pipe.ask_all(&both, soon()).await });
    at.read(2).await;
    at.say("$1\r\nA\r\n").await;
    at.say(">2\r\n+invalidate\r\n_\r\n-ERR no\r\n").await;
    let Ok(Value::Array(answers)) = call.await.unwrap() else { panic!("no list") };
    assert_eq!(answers[0], string("A"));
    assert!(matches!(answers[1], Value::ServerError(_)));
    assert_eq!(*at.news.lock(), ["Invalidate"]);
    let none = at.pipe.ask_all(&Pipeline::new(), soon()).await;
    assert_eq!(none, Ok(Value::Array(Vec::new())), "without asking anything");
}

#[tokio::test]
async fn news_are_told_before_the_answers_behind_them() {
    let mut at = connected(1 << 20);
    let call = at.ask("a", soon());
    at.read(1).await;
    at.say(">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n$1\r\nA\r\n").await;
    assert_eq!(call.await.unwrap(), Ok(string("A")));
    assert_eq!(*at.news.lock(), ["Invalidate"]);
}

/// A slot that goes to another node takes its channels along, of which the server tells by itself, with the very words of an answer.
#[tokio::test]
async fn c9_a_subscription_is_answered_by_what_stands_behind_it_and_by_no_push() {
    let mut at = connected(1 << 20);
    let asked = |at: &Bench| {
        let pipe = at.pipe.clone();
        tokio::spawn(async move { pipe.confirm(cmd("SUNSUBSCRIBE").arg("GET"), soon()).await })
    };
    const LEFT: &str = ">3\r\n+sunsubscribe\r\n+GET\r\n:0\r\n";
    const BEHIND: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";
    let left = asked(&at);
    let text = at.read(1).await;
    assert!(text.contains("HELLO"), "{text}");
    at.say(LEFT).await;
    at.say(LEFT).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!left.is_finished(), "by a push");
    at.say(BEHIND).await;
    assert!(matches!(left.await.unwrap(), Ok(Value::Map(_))));
    // Where the server was quicker.
    let refused = asked(&at);
    at.read(1).await;
    at.say(LEFT).await;
    at.say(&format!("-MOVED 7 10.0.0.1:1\r\n{BEHIND}")).await;
    let told = refused.await.unwrap();
    assert!(matches!(&told, Ok(Value::ServerError(error)) if error.code() == "MOVED"), "{told:?}");
    assert_eq!(*at.news.lock(), ["SUnsubscribe"; 3]);
    let call = at.ask("a", soon());
    at.read(1).await;
    at.say("$1\r\nA\r\n").await;
    assert_eq!(call.await.unwrap(), Ok(string("A")), "whose answer is whose is known still");
}

#[tokio::test]
async fn c9_a_server_that_answers_others_is_not_silent_because_one_was_asked_too_late() {
    let mut at = connected(1 << 20);
    let patient = at.ask("a", soon());
    at.read(1).await;
    let hasty = at.ask("b", Instant::now() + Duration::from_millis(3));
    at.read(1).await;
    // Before the hasty one is told, and again and again after that.
    at.say("$1\r\nA\r\n").await;
    assert_eq!(patient.await.unwrap(), Ok(string("A")));
    assert_eq!(hasty.await.unwrap(), Err(Unanswered::Late));
    at.say("$1\r\nB\r\n").await;
    let next = at.ask("c", soon());
    at.read(1).await;
    at.say("$1\r\nC\r\n").await;
    assert_eq!(next.await.unwrap(), Ok(string("C")));
    assert!(at.news.lock().is_empty(), "{:?}", at.news.lock());
}

#[tokio::test]
async fn c9_a_call_ends_with_its_deadline_and_a_late_answer_is_nobody_elses() {
    let mut at = connected(1 << 20);
    let patient = at.ask("a", soon());
    let hasty = at.ask("b", Instant::now() + Duration::from_millis(60));
    let next = at.ask("c", soon());
    at.read(3).await;
    assert_eq!(hasty.await.unwrap(), Err(Unanswered::Late));
    assert_eq!(*at.news.lock(), ["silent"]);
    at.say("$1\r\nA\r\n$1\r\nB\r\n$1\r\nC\r\n").await;
    assert_eq!(patient.await.unwrap(), Ok(string("A")));
    assert_eq!(next.await.unwrap(), Ok(string("C")));
    // The alarm goes on for those that come later, whichever was set before.
    let again = at.ask("d", Instant::now() + Duration::from_millis(60));
    assert_eq!(again.await.unwrap(), Err(Unanswered::Late));
}

#[tokio::test]
async fn a_server_that_was_told_to_wait_does_not_stand_still_meanwhile() {
    let mut at = connected(1 << 20);
    let mut both = Pipeline::new();
    both.add_command(get("a")).add_command(get("b"));
    let pipe = at.pipe.clone();
    let wait = Duration::from_secs(10);
    let call = tokio::spawn(async move { pipe.ask_all_waiting(&both, wait, soon()).await });
    at.read(2).await;
    at.say("$1\r\nA\r\n").await;
    tokio::time::sleep(STILL + STILL / 2).await;
    let first = at.awake.load(Ordering::SeqCst);
    at.say(":0\r\n").await;
    call.await.unwrap().unwrap();
    assert_eq!(at.awake.load(Ordering::SeqCst), first);
}

/// It may have been replaced meanwhile, and not know it yet.
#[tokio::test]
async fn that_a_server_stood_still_is_told_before_its_answers_are() {
    let mut at = connected(1 << 20);
    // Nobody asks it anything: it has nothing to say.
    tokio::time::sleep(STILL + STILL / 2).await;
    let first = at.ask("a", soon());
    at.read(1).await;
    let quick = at.awake.load(Ordering::SeqCst);
    tokio::time::sleep(STILL + STILL / 2).await;
    let second = at.ask("b", soon());
    at.read(1).await;
    at.say("$1\r\nA\r\n").await;
    first.await.unwrap().unwrap();
    assert_eq!(at.awake.load(Ordering::SeqCst), quick + 1);
    // What is said goes on from there.
    at.say("$1\r\nB\r\n").await;
    second.await.unwrap().unwrap();
    assert_eq!(quick, 0);
}

#[tokio::test]
async fn whoever_asked_may_go() {
    let mut at = connected(1 << 20);
    let gone = at.ask("a", soon());
    at.read(1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let stays = at.ask("b", soon());
    at.say("$1\r\nA\r\n$1\r\nB\r\n").await;
    assert_eq!(stays.await.unwrap(), Ok(string("B")));
}

#[tokio::test]
async fn c9_a_connection_that_ends_leaves_nobody_waiting() {
    for last_words in ["", "$5\r\nab", "$1\r\nA\r\n$1\r\nB\r\n+for nobody\r\n", "what?\r\n"] {
        let mut at = connected(1 << 20);
        let calls = [at.ask("a", soon()), at.ask("b", soon())];
        at.read(2).await;
        at.say(last_words).await;
        at.server.shutdown().await.unwrap();
        for call in calls {
            let answer = call.await.unwrap();
            assert!(last_words.contains('B') == answer.is_ok(), "{last_words:?}: {answer:?}");
        }
        at.driver.await.unwrap();
        assert_eq!(*at.news.lock(), ["over"], "{last_words:?}");
        assert_eq!(at.pipe.ask(&get("c"), soon()).await, Err(Unanswered::Lost));
    }
}

#[tokio::test]
async fn c9_a_task_that_is_stopped_leaves_nobody_waiting() {
    let mut at = connected(1 << 20);
    let call = at.ask("a", soon());
    at.read(1).await;
    at.driver.abort();
    assert_eq!(call.await.unwrap(), Err(Unanswered::Lost));
    assert_eq!(at.pipe.ask(&get("b"), soon()).await, Err(Unanswered::Lost));
}

#[tokio::test]
async fn c13_what_waits_to_be_sent_is_bounded() {
    let at = connected(1);
    let mut large = cmd("SET");
    large.arg("k").arg(vec![b'.'; MOST_UNSENT / 2]);
    let large = Arc::new(large);
    let mut calls: Vec<_> = (0..4)
        .map(|_| {
            let (pipe, large) = (at.pipe.clone(), large.clone());
            tokio::spawn(async move { pipe.ask(&large, soon()).await })
        })
        .collect();
    let refused = loop {
        tokio::task::yield_now().await;
        if let Some(done) = calls.iter().position(tokio::task::JoinHandle::is_finished) {
            break calls.swap_remove(done).await.unwrap();
        }
    };
    assert_eq!(refused, Err(Unanswered::Crowded));
}

#[tokio::test]
async fn c9_what_cannot_be_sent_is_answered_by_its_deadline_too() {
    let at = connected(7);
    let first = at.ask("a key that does not fit into what the server takes in", soon());
    // Until it blocks.
    tokio::time::sleep(Duration::from_millis(20)).await;
    for _ in 0..2 {
        let late = at.ask("k", Instant::now() + Duration::from_millis(60));
        let told = tokio::time::timeout(Duration::from_secs(20), late).await.expect("nobody watches over it");
        assert_eq!(told.unwrap(), Err(Unanswered::Late));
    }
    assert!(!first.is_finished() && at.news.lock().iter().all(|news| news == "silent"));
}

#[tokio::test]
async fn a_login_says_what_the_server_has_against_it() {
    use redis::{ErrorKind, RedisConnectionInfo};
    let login = RedisConnectionInfo::default().set_username("ann").set_password("GET").set_db(3);
    for (answer, told) in [
        ("%0\r\n+OK\r\n", None),
        ("-WRONGPASS no\r\n-NOAUTH no\r\n", Some("WRONGPASS")),
        ("%0\r\n-NOPERM no\r\n", Some("NOPERM")),
    ] {
        let mut at = connected(1 << 20);
        let (pipe, login) = (at.pipe.clone(), login.clone());
        let logging_in = tokio::spawn(async move { log_in(&pipe, &login, soon()).await });
        let words = at.read(1).await;
        assert!(words.contains("HELLO") && words.contains("ann") && words.contains("SELECT"), "{words}");
        at.say(answer).await;
        let refused = logging_in.await.unwrap().err();
        assert_eq!(refused.as_ref().and_then(|error| error.code()), told);
    }
    let mut at = connected(1 << 20);
    let pipe = at.pipe.clone();
    let old = tokio::spawn(async move { log_in(&pipe, &RedisConnectionInfo::default(), soon()).await });
    assert!(at.server.read(&mut [0; 100]).await.unwrap() > 0);
    at.say("-ERR unknown command `HELLO`, with args beginning with: `3`\r\n").await;
    assert_eq!(old.await.unwrap().unwrap_err().kind(), ErrorKind::RESP3NotSupported);
    let mut at = connected(1 << 20);
    let pipe = at.pipe.clone();
    let ended = tokio::spawn(async move { log_in(&pipe, &RedisConnectionInfo::default(), soon()).await });
    at.server.shutdown().await.unwrap();
    assert_eq!(ended.await.unwrap().unwrap_err().kind(), ErrorKind::Io);
}

/// So that the server is at work while they are.
#[tokio::test]
async fn who_is_answered_asks_again_before_all_are() {
    let mut at = connected(1 << 20);
    let all = 3 * driver::AT_A_TIME;
    let calls: Vec<_> = (0..all)
        .map(|_| {
            let pipe = at.pipe.clone();
            tokio::spawn(
                async move { (pipe.ask(&get("a"), soon()).await, pipe.ask(&get("b"), soon()).await) },
            )
        })
        .collect();
    at.read(all).await;
    at.say(&"$1\r\nA\r\n".repeat(all)).await;
    let mut bytes = [0; 1 << 13];
    let read = at.server.read(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes[..read]).matches("GET").count(), driver::AT_A_TIME);
    at.read(all - driver::AT_A_TIME).await;
    at.say(&"$1\r\nB\r\n".repeat(all)).await;
    for call in calls {
        assert_eq!(call.await.unwrap(), (Ok(string("A")), Ok(string("B"))));
    }
}
