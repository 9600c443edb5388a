//! Several futures in one task: nothing to spawn, and dropped together.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The answers of all of them, in their order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut answers: Vec<_> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut done = true;
        for (future, answer) in running.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// The first success, or the last failure; `None` of none.
pub(crate) async fn first<F, A, E>(futures: impl IntoIterator<Item = F>) -> Option<Result<A, E>>
where
    F: Future<Output = Result<A, E>>,
{
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut failed = None;
    poll_fn(|context| {
        let mut found = None;
        running.retain_mut(|future| {
            if found.is_some() {
                return true;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(answer)) => found = Some(Ok(answer)),
                Poll::Ready(Err(error)) => failed = Some(Err(error)),
                Poll::Pending => return true,
            }
            false
        });
        match found {
            Some(found) => Poll::Ready(Some(found)),
            None if running.is_empty() => Poll::Ready(failed.take()),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In so many turns, however busy the machine is.
    async fn after(turns: u64, answer: Result<u64, u64>) -> Result<u64, u64> {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        answer
    }

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_questions() {
        assert_eq!(all([after(9, Ok(1)), after(1, Err(2)), after(5, Ok(3))]).await, [Ok(1), Err(2), Ok(3)]);
        assert_eq!(all(Vec::<std::future::Ready<()>>::new()).await, []);
    }

    #[tokio::test]
    async fn the_first_success_counts_and_else_the_last_failure() {
        assert_eq!(first([after(9, Ok(1)), after(1, Err(2)), after(3, Ok(3))]).await, Some(Ok(3)));
        assert_eq!(first([after(9, Err(1)), after(1, Err(2))]).await, Some(Err(1)));
        assert_eq!(first(Vec::<std::future::Ready<Result<(), ()>>>::new()).await, None);
    }
}
