//! Where an agent learns what is announced to happen to its machine: `[notices]`.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::notice::NoticeKind;

use crate::decode::Table;
use crate::duration::Span;

/// The shortest and the longest time from one look to the next.
pub const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Sources of notices. None is asked unless its table is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// The Scheduled Events of Azure, from the machine's own metadata service.
    pub azure: Option<AzureNotices>,
}

/// `[notices.azure]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureNotices {
    /// The base URL of the metadata service. Default `http://169.254.169.254`.
    pub url: String,
    /// From one look to the next. Default 1 s, 100 ms to 1 min.
    pub poll: Duration,
    /// The machine's name in Azure, as events name it. `None` asks the metadata service.
    pub resource: Option<String>,
    /// Which events count. Default: all that Azure has.
    pub events: BTreeSet<NoticeKind>,
    /// Whether an event is acknowledged, so that it begins at once, when this appliance is no longer
    /// the active one. Default false: it begins when it was announced for.
    pub acknowledge: bool,
}

pub(super) fn notices(file: &mut Table<'_>) -> Notices {
    let read = file.table("notices", |t| Notices { azure: t.table("azure", azure) });
    read.unwrap_or_default()
}

fn azure(t: &mut Table<'_>) -> AzureNotices {
    let url = t.or("url", "http://169.254.169.254".to_owned());
    if !url.starts_with("http://") && !url.starts_with("https://") {
        t.fault("url", &format!("{url:?}"), "must start with http:// or https://");
    }
    let poll = t.or("poll", Duration::from_secs(1));
    if !(POLL.0..=POLL.1).contains(&poll) {
        let rule = format!("must be from {} to {}", Span(POLL.0), Span(POLL.1));
        t.fault("poll", &Span(poll).to_string(), &rule);
    }
    let all = || NoticeKind::ALL.into_iter().filter(|kind| *kind != NoticeKind::Shutdown).collect();
    let events: BTreeSet<NoticeKind> = t.optional("events").unwrap_or_else(all);
    if events.contains(&NoticeKind::Shutdown) {
        let rule = "must hold none but \"reboot\", \"redeploy\", \"freeze\", \"preempt\" and \"terminate\"";
        t.fault("events", "a list with \"shutdown\"", rule);
    }
    AzureNotices {
        url,
        poll,
        resource: t.optional("resource"),
        events,
        acknowledge: t.or("acknowledge", false),
    }
}
