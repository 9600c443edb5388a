//! A connection's task: sends what was asked, hands out the answers, and watches over deadlines.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::Mutex;
use redis::{PushInfo, RedisError, Value};
use tokio::io::AsyncReadExt;
use tokio::time::Sleep;

use super::answers::{Answers, Nonsense};
use super::{Call, Desk, News, OnNews, Pipe, STILL, Unanswered};
use crate::route::Stream;

/// Bytes that there is room for with every read.
const READ: usize = 32 << 10;
/// Answers that are handed out before those who have them get their turn. What they ask next is sent before the rest is looked at, so that
/// the server is at work while this process is, and neither waits for all that the other one has to do.
pub(super) const AT_A_TIME: usize = 32;
/// Who has said nothing for so long, with a call too late, is silent: the connection is given up.
const SILENCE: Duration = Duration::from_millis(50);
/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 1 << 20;

/// A pipe over this stream, which may tell that the server stood still, and the task that drives it, to be spawned. Once that is dropped, the pipe is over.
pub(crate) fn drive(
    stream: Box<dyn Stream>,
    on_news: OnNews,
    tells_of_standstills: bool,
) -> (Pipe, impl Future<Output = ()> + Send + 'static) {
    let pipe = Pipe(Arc::default());
    let mut driver = Driver {
        stream,
        desk: Arc::clone(&pipe.0),
        on_news,
        sending: Vec::new(),
        sent: 0,
        flushed: true,
        answers: Answers::new(),
        under_way: VecDeque::new(),
        tells_of_standstills,
        quiet_since: None,
        earliest: None,
        alarm: None,
        ended: None,
    };
    let driving = async move {
        driver.ended = Some(poll_fn(|cx| driver.turn(cx)).await);
        // Whoever finds an answer missing is to find the connection given up as well.
        (driver.on_news)(News::Over);
    };
    (pipe, driving)
}

struct Driver {
    stream: Box<dyn Stream>,
    desk: Arc<Mutex<Desk>>,
    on_news: OnNews,
    /// What is being sent, and how much of it has been.
    sending: Vec<u8>,
    sent: usize,
    flushed: bool,
    answers: Answers,
    /// In the order of their answers.
    under_way: VecDeque<Call>,
    tells_of_standstills: bool,
    /// While anything is: when the server last said something, or was first asked.
    quiet_since: Option<Instant>,
    /// No deadline under way is before this one.
    earliest: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: Option<RedisError>,
}

impl Driver {
    /// Does what can be done now; ready with why the connection ended.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<RedisError> {
        if let Err(why) = self.send(cx) {
            return Poll::Ready(why.into());
        }
        let received = self.receive(cx);
        if received.is_pending() {
            self.watch(cx);
        }
        received
    }

    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let rest = self.sending.get(self.sent..).unwrap_or_default();
            if !rest.is_empty() {
                match Pin::new(&mut *self.stream).poll_write(cx, rest)? {
                    Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(sent) => (self.sent, self.flushed) = (self.sent + sent, false),
                    // Woken when there is room. What is asked until then gathers, and its deadlines count.
                    Poll::Pending => {
                        self.note(cx);
                        return Ok(());
                    }
                }
            } else if !self.take(cx) {
                if !self.flushed {
                    self.flushed = Pin::new(&mut *self.stream).poll_flush(cx)?.is_ready();
                }
                return Ok(());
            }
        }
    }

    /// Takes what was asked since; where that is nothing, whoever asks next wakes this task.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        self.sent = 0;
        self.sending.clear();
        self.sending.shrink_to(KEPT);
        let mut desk = self.desk.lock();
        if desk.bytes.is_empty() {
            desk.driver = Some(cx.waker().clone());
            return false;
        }
        std::mem::swap(&mut self.sending, &mut desk.bytes);
        self.earliest = expect(&mut self.under_way, &mut desk.calls).chain(self.earliest).min();
        self.quiet_since.get_or_insert_with(Instant::now);
        true
    }

    /// Notes who waits for what cannot be sent yet; whoever asks next wakes this task.
    fn note(&mut self, cx: &mut Context<'_>) {
        let mut desk = self.desk.lock();
        desk.driver = Some(cx.waker().clone());
        self.earliest = expect(&mut self.under_way, &mut desk.calls).chain(self.earliest).min();
        self.quiet_since.get_or_insert_with(Instant::now);
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<RedisError> {
        let mut told = 0;
        loop {
            loop {
                if told == AT_A_TIME && !self.answers.arrived.is_empty() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let handed_out = match self.answers.next() {
                    Ok(None) => break,
                    Ok(Some(answer)) => {
                        told += 1;
                        self.hand_out(answer)
                    }
                    Err(nonsense) => Err(nonsense),
                };
                if let Err(Nonsense) = handed_out {
                    return Poll::Ready((redis::ErrorKind::Parse, "not an answer of Redis").into());
                }
            }
            let arrived = &mut self.answers.arrived;
            if arrived.is_empty() && arrived.capacity() > KEPT {
                *arrived = BytesMut::new();
            }
            arrived.reserve(READ);
            match ready!(pin!(self.stream.read_buf(arrived)).poll(cx)) {
                Ok(0) => return Poll::Ready(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => self.listen(),
                Err(why) => return Poll::Ready(why.into()),
            }
        }
    }

    /// The server said something.
    fn listen(&mut self) {
        if let Some(since) = &mut self.quiet_since {
            let now = Instant::now();
            let quiet = now.saturating_duration_since(std::mem::replace(since, now));
            let waits = self.under_way.front().map_or(Duration::ZERO, Call::waits);
            if quiet > STILL.saturating_add(waits) && self.tells_of_standstills {
                (self.on_news)(News::Awake);
            }
        }
    }

    /// To the first call under way, unless it is news.
    fn hand_out(&mut self, answer: Value) -> Result<(), Nonsense> {
        if let Value::Push { kind, data } = answer {
            (self.on_news)(News::Push(PushInfo { kind, data }));
            return Ok(());
        }
        // An answer to nothing: from here on nobody can tell whose is whose.
        if self.under_way.front_mut().ok_or(Nonsense)?.take(answer) {
            self.under_way.pop_front();
            if self.under_way.is_empty() {
                self.quiet_since = None;
            }
        }
        Ok(())
    }

    /// Tells those whose deadline has passed. Their answers may yet come, and are theirs still.
    fn watch(&mut self, cx: &mut Context<'_>) {
        while let Some(earliest) = self.earliest.map(tokio::time::Instant::from) {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(earliest)));
            // Set for an earlier one it rings in vain, once. That is cheaper than to set it anew with every answer.
            if alarm.deadline() > earliest || alarm.is_elapsed() {
                alarm.as_mut().reset(earliest);
            }
            // Whatever the server floods this task with.
            if pin!(tokio::task::unconstrained(alarm.as_mut())).poll(cx).is_pending() {
                return;
            }
            let now = Instant::now();
            let mut waiting = self.under_way.iter_mut().filter(|call| call.answer.is_some());
            // Where the server does talk, it was asked too late, or for too much.
            let quiet = self.quiet_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            if waiting.any(|call| call.ends <= now) && quiet >= SILENCE {
                (self.on_news)(News::Silent);
            }
            self.earliest = None;
            for call in self.under_way.iter_mut().filter(|call| call.answer.is_some()) {
                if call.ends <= now {
                    call.tell(Err(Unanswered::Late));
                } else {
                    self.earliest = self.earliest.into_iter().chain([call.ends]).min();
                }
            }
        }
    }
}

/// Puts calls behind those that are under way; answers with their deadlines.
fn expect(under_way: &mut VecDeque<Call>, calls: &mut Vec<Call>) -> impl Iterator<Item = Instant> {
    let before = under_way.len();
    under_way.extend(calls.drain(..));
    under_way.range(before..).map(|call| call.ends)
}

/// However it ends: nobody waits for an answer any longer.
impl Drop for Driver {
    fn drop(&mut self) {
        let why = self.ended.take();
        let mut desk = self.desk.lock();
        desk.over = Some(why.unwrap_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into()));
        let (calls, bytes) = (std::mem::take(&mut desk.calls), std::mem::take(&mut desk.bytes));
        drop(desk);
        drop((calls, bytes));
    }
}
