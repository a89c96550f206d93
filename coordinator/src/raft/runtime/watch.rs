//! Tokio's watch channel, which on a seeded thread wakes its receivers in the order in which they
//! came to wait. Tokio itself spreads them over eight lists at random, and wakes list after list.

use std::sync::Arc;

use futures::FutureExt as _;
use openraft::async_runtime::watch::{RecvError, SendError};
use openraft::async_runtime::{Watch, WatchReceiver, WatchSender};
use openraft::{OptionalSend, OptionalSync};
use tokio::sync::{Notify, watch};

use super::is_seeded;

/// Makes the channels.
#[derive(Debug)]
pub struct InOrder;

/// Where waiting receivers stand in line; `None` leaves it to Tokio.
type Line = Option<Arc<Notify>>;

/// The sending half.
#[derive(Debug)]
pub struct Sender<T> {
    // `None` only while it is dropped: the channel must be closed before anyone is woken over it.
    inner: Option<watch::Sender<T>>,
    line: Line,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver<T> {
    inner: watch::Receiver<T>,
    line: Line,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), line: self.line.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), line: self.line.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.inner = None;
        wake(&self.line);
    }
}

impl<T> Sender<T> {
    #[expect(clippy::expect_used, reason = "taken in `drop` alone")]
    fn inner(&self) -> &watch::Sender<T> {
        self.inner.as_ref().expect("a sender that is not being dropped")
    }
}

fn wake(line: &Line) {
    if let Some(line) = line {
        line.notify_waiters();
    }
}

impl Watch for InOrder {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = watch::Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = watch::channel(init);
        let line: Line = is_seeded().then(Arc::default);
        (Sender { inner: Some(sender), line: line.clone() }, Receiver { inner: receiver, line })
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<InOrder, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.inner().send(value).map_err(|error| SendError(error.0))?;
        wake(&self.line);
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = self.inner().send_if_modified(modify);
        if modified {
            wake(&self.line);
        }
        modified
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.inner().borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver { inner: self.inner().subscribe(), line: self.line.clone() }
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<InOrder, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        let Some(line) = &self.line else {
            return self.inner.changed().await.map_err(|_| RecvError(()));
        };
        loop {
            // In line from here on: a change after the look below is not missed.
            let called = line.notified();
            if let Some(seen) = self.inner.changed().now_or_never() {
                return seen.map_err(|_| RecvError(()));
            }
            called.await;
        }
    }

    fn borrow_watched(&self) -> watch::Ref<'_, T> {
        self.inner.borrow()
    }

    fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.inner.borrow_and_update()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::seed_this_thread;
    use super::*;

    #[tokio::test]
    async fn receivers_of_a_seeded_thread_are_woken_in_their_order() {
        seed_this_thread(Some(1));
        let (sender, receiver) = InOrder::channel(0);
        seed_this_thread(None);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let (mut receiver, woken) = (receiver.clone(), woken.clone());
                tokio::spawn(async move {
                    while receiver.changed().await.is_ok() {
                        woken.lock().unwrap().push(number);
                    }
                })
            })
            .collect();
        for value in 1..=3 {
            tokio::task::yield_now().await;
            sender.send(value).unwrap();
            tokio::task::yield_now().await;
        }
        drop(sender);
        for task in waiting {
            tokio::time::timeout(std::time::Duration::from_secs(10), task).await.unwrap().unwrap();
        }
        let expected: Vec<i32> = (0..3).flat_map(|_| 0..20).collect();
        assert_eq!(*woken.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_closed_channel_still_shows_its_last_value_once() {
        for seed in [Some(1), None] {
            seed_this_thread(seed);
            let (sender, mut receiver) = InOrder::channel(0);
            seed_this_thread(None);
            sender.send(7).unwrap();
            drop(sender);
            assert!(receiver.changed().await.is_ok());
            assert_eq!(*receiver.borrow_watched(), 7);
            assert!(receiver.changed().await.is_err());
        }
    }
}
