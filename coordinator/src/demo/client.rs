//! A client that connects all the time, so that outages are measured and not claimed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// From the end of one attempt to the start of the next.
const PAUSE: Duration = Duration::from_millis(5);

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_millis(250);

/// Answers kept, the newest ones: some ten minutes of them.
const KEPT: usize = 100_000;

/// One answered connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// When the attempt began.
    pub(super) asked: Instant,
    /// When the answer was complete.
    pub(super) at: Instant,
    /// Who answered.
    pub(super) by: Arc<str>,
}

/// What an act cost the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outage {
    /// The longest time between two answers.
    pub(super) longest: Duration,
    /// Who answered last.
    pub(super) by: Option<Arc<str>>,
}

/// The running client; dropping it stops it.
#[derive(Debug)]
pub(super) struct TrafficMeter {
    answers: Arc<Mutex<VecDeque<Answered>>>,
    task: JoinHandle<()>,
}

impl Drop for TrafficMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TrafficMeter {
    /// Starts connecting to `address`.
    pub(super) fn start(address: SocketAddr) -> TrafficMeter {
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let task = tokio::spawn(run(address, answers.clone()));
        TrafficMeter { answers, task }
    }

    /// Who answered the newest connection that began after `since`.
    pub(super) fn answered_by(&self, since: Instant) -> Option<Arc<str>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.back().filter(|a| a.asked >= since).map(|a| a.by.clone())
    }

    /// The longest silence that ended or lasts after `since`. The last answer before `since`
    /// counts as its beginning.
    pub(super) fn outage_since(&self, since: Instant) -> Outage {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answers.partition_point(|a| a.at < since);
        let before = first.checked_sub(1).and_then(|i| answers.get(i)).map_or(since, |a| a.at);
        let mut last = before;
        let mut longest = Duration::ZERO;
        for answer in answers.range(first..) {
            longest = longest.max(answer.at - last);
            last = answer.at;
        }
        Outage { longest: longest.max(last.elapsed()), by: answers.back().map(|a| a.by.clone()) }
    }
}

async fn run(address: SocketAddr, answers: Arc<Mutex<VecDeque<Answered>>>) {
    loop {
        let asked = Instant::now();
        if let Ok(Some(by)) = tokio::time::timeout(PATIENCE, ask(address)).await {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.len() >= KEPT {
                answers.pop_front();
            }
            answers.push_back(Answered { asked, at: Instant::now(), by });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(address: SocketAddr) -> Option<Arc<str>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut answer = String::new();
    (&mut stream).take(128).read_to_string(&mut answer).await.ok()?;
    let name = answer.trim();
    (!name.is_empty()).then(|| name.into())
}
