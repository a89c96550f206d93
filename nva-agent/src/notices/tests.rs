//! Listening, with a source in the test's hands and a clock that jumps.

use std::sync::{Arc, Mutex};

use super::*;

type Looks = Arc<Mutex<Vec<Result<Look, String>>>>;

/// Answers with what the test wrote down, the last of it for ever, and keeps what was acknowledged.
struct Scripted {
    looks: Looks,
    refused: u32,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

impl Source for Scripted {
    const SOURCE: NoticeSource = NoticeSource::Azure;

    async fn look(&mut self) -> Result<Look, String> {
        let mut looks = self.looks.lock().unwrap();
        if looks.len() > 1 { looks.remove(0) } else { looks[0].clone() }
    }

    async fn acknowledge(&self, id: &str) -> Result<(), String> {
        let mut all = self.acknowledged.lock().unwrap();
        all.push(id.to_owned());
        if u32::try_from(all.len()).unwrap() <= self.refused { Err("busy".to_owned()) } else { Ok(()) }
    }
}

fn notice(id: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        kind: NoticeKind::Reboot,
        not_before: None,
        started: false,
        lasts_secs: None,
        about: String::new(),
    }
}

fn look(ids: &[&str]) -> Result<Look, String> {
    Ok(Look { notices: ids.iter().map(|id| notice(id)).collect(), doubt: None })
}

const POLL: Duration = Duration::from_secs(1);

struct Bench {
    board: Board,
    told: watch::Sender<Told>,
    looks: Looks,
    acknowledged: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn start(looks: Vec<Result<Look, String>>, acknowledge: bool, refused: u32) -> Bench {
        let (board, told) = (Board::new([NoticeSource::Azure]), watch::Sender::new(Told::default()));
        let (looks, acknowledged) = (Arc::new(Mutex::new(looks)), Arc::default());
        let source = Scripted { looks: looks.clone(), refused, acknowledged: Arc::clone(&acknowledged) };
        let how = Listening { poll: POLL, acknowledge };
        let task = tokio::spawn(listen(source, how, board.clone(), told.subscribe()));
        Bench { board, told, looks, acknowledged, task }
    }

    fn azure(&self) -> SourceReport {
        self.board.all().into_iter().find(|report| report.source == NoticeSource::Azure).unwrap()
    }

    /// What is on the board after so many more looks.
    async fn after(&self, looks: u32) -> (SourceState, usize) {
        // A look is over a moment after it is due.
        tokio::time::sleep(POLL * looks + Duration::from_millis(1)).await;
        let report = self.azure();
        (report.state, report.notices.len())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn unknown(why: &str) -> SourceState {
    SourceState::Unknown { why: why.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_pending_until_it_answers_and_one_lost_answer_is_no_news() {
    let lost = || Err("lost".to_owned());
    let bench = Bench::start(vec![look(&[]), look(&["one"]), lost(), look(&["one"])], false, 0);
    assert_eq!(bench.azure().state, SourceState::Pending);
    assert_eq!(bench.after(0).await, (SourceState::Known, 0));
    assert_eq!(bench.after(1).await, (SourceState::Known, 1));
    let mut changes = bench.board.watch();
    changes.mark_unchanged();
    assert_eq!(bench.after(4).await, (SourceState::Known, 1));
    assert!(!changes.has_changed().unwrap(), "nothing to tell");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_falls_silent_is_unknown_and_what_it_said_stands() {
    let bench = Bench::start(vec![look(&["one"]), Err("refused".to_owned())], false, 0);
    assert_eq!(bench.after(0).await, (SourceState::Known, 1));
    assert_eq!(bench.after(10).await, (unknown("refused"), 1));
    *bench.looks.lock().unwrap() = vec![look(&[])];
    // It is asked less and less often, but never less than twice a minute.
    assert_eq!(bench.after(31).await, (SourceState::Known, 0));
}

#[tokio::test(start_paused = true)]
async fn a_doubt_hides_no_notice() {
    let doubtful = Look { notices: vec![notice("one")], doubt: Some("rubbish".to_owned()) };
    let bench = Bench::start(vec![Ok(doubtful)], false, 0);
    assert_eq!(bench.after(0).await, (unknown("rubbish"), 1));
}

/// Tells as the leader would, to a report with all that is on the board.
fn leader_says(bench: &Bench, handover: Option<Handover>) {
    bench.told.send_modify(|told| told.take(handover.as_ref(), &bench.board.all()));
}

#[tokio::test(start_paused = true)]
async fn what_the_group_has_left_for_is_acknowledged_once_and_nothing_else() {
    let begun =
        Look { notices: vec![Notice { started: true, ..notice("begun") }, notice("one")], doubt: None };
    let bench = Bench::start(vec![Ok(begun)], true, 2);
    let acknowledged = || bench.acknowledged.lock().unwrap().clone();
    leader_says(&bench, Some(Handover::Done));
    bench.after(5).await;
    assert_eq!(acknowledged(), [""; 0], "it was never active");
    leader_says(&bench, Some(Handover::Pending));
    bench.after(5).await;
    assert_eq!(acknowledged(), [""; 0], "it is active");
    leader_says(&bench, Some(Handover::Done));
    bench.after(20).await;
    assert_eq!(acknowledged(), ["one"; 3], "twice refused, then taken");
    leader_says(&bench, None);
    assert_eq!(*bench.told.borrow(), Told::default(), "nothing is announced any more");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_is_never_taken_is_given_up() {
    let bench = Bench::start(vec![look(&["one"])], true, u32::MAX);
    leader_says(&bench, Some(Handover::Pending));
    leader_says(&bench, Some(Handover::Done));
    bench.after(100).await;
    assert_eq!(bench.acknowledged.lock().unwrap().len(), ATTEMPTS as usize);
}

#[test]
fn however_much_is_announced_a_report_stays_small() {
    let board = Board::new([NoticeSource::Azure]);
    let long = "\u{1F686}".repeat(100_000);
    let notices = (0..1_000).map(|n| Notice { about: short(&long), ..notice(&format!("{n:064}")) }).collect();
    board.post(SourceReport { source: NoticeSource::Azure, state: unknown(&long), notices });
    board.stops(7);
    let bytes = serde_json::to_vec(&board.all()).unwrap().len();
    assert!(bytes < coordinator_api::agent::MAX_BODY / 4, "{bytes} bytes");
}

#[test]
fn an_agent_that_stops_announces_it_in_every_report() {
    let board = Board::new([]);
    assert!(!announces_stop(&board.all()));
    let mut changes = board.watch();
    board.stops(7);
    assert!(announces_stop(&board.all()) && changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update()[0].notices[0].id, "stop-0000000000000007");
    board.stops(7);
    assert!(!changes.has_changed().unwrap());
}
