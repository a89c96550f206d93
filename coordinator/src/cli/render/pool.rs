//! Pools.

use coordinator_api::v1::{MemberStanding, MemberStatus, PoolList, PoolStatus, PoolSummary, SideStatus};
use coordinator_core::observe::Verdict;

use super::cluster::dash;
use super::operation::actor;
use super::paint::Paint;
use super::span::{moment, span};
use super::table::Table;

/// `pointsman pools`.
pub(in crate::cli) fn pools(list: &PoolList, paint: Paint) -> String {
    if list.pools.is_empty() {
        return "no pools yet; `pointsman apply -f FILE` declares them\n".to_owned();
    }
    let mut table = Table::new(&["POOL", "SERVING", "IN", "UP", "TOKEN", "STATE"], paint);
    for pool in &list.pools {
        let serving = format!("{}/{}", pool.serving, pool.size);
        table.row([
            paint.strong(&pool.name),
            match pool.serving {
                0 => paint.bad(serving),
                n if n < pool.size => paint.warn(serving),
                _ => paint.good(serving),
            },
            pool.inside.to_string(),
            pool.up.to_string(),
            pool.token.to_string(),
            state(pool, paint),
        ]);
    }
    table.render()
}

fn state(pool: &PoolSummary, paint: Paint) -> String {
    if let Some(hold) = &pool.hold {
        return paint.bad(format!("held: {hold}"));
    }
    match (pool.changing, pool.drifting) {
        (0, 0) => "at rest".to_owned(),
        (0, drifting) => paint.bad(format!("{drifting} not where they should be")),
        (changing, _) => paint.warn(format!("{changing} changing")),
    }
}

/// `pointsman pools POOL`.
pub(in crate::cli) fn pool(status: &PoolStatus, paint: Paint) -> String {
    let summary = &status.summary;
    let mut text = format!(
        "{} {}   serving {}/{}   token {}   {}\n",
        paint.faint("POOL"),
        paint.strong(&summary.name),
        summary.serving,
        summary.size,
        summary.token,
        state(summary, paint),
    );
    for why in &status.why {
        text.push_str(&format!("  {why}\n"));
    }
    text.push('\n');
    let mut table = Table::new(&["MEMBER", "STANDING", "VERDICT", "SINCE", "VANTAGES", "SIDES"], paint);
    for member in &status.members {
        table.row([
            member.name.to_string(),
            standing(member, paint),
            paint.verdict(member.verdict),
            moment(member.since),
            vantages(member),
            sides(&member.sides, paint),
        ]);
    }
    text.push_str(&table.render());
    let doubts: String = status.members.iter().map(|member| doubts(member, paint)).collect();
    if !doubts.is_empty() {
        text.push('\n');
        text.push_str(&doubts);
    }
    text
}

fn standing(member: &MemberStatus, paint: Paint) -> String {
    let word = member.standing.word();
    match member.standing {
        MemberStanding::In => paint.good(word),
        MemberStanding::Out => paint.bad(word),
        _ if member.half_applied => paint.warn(format!("{word}, half done")),
        _ => paint.warn(word),
    }
}

fn vantages(member: &MemberStatus) -> String {
    let up = member.vantages.iter().filter(|sight| sight.verdict == Verdict::Up).count();
    format!("{up} of {} say up", member.vantages.len())
}

fn sides(sides: &[SideStatus], paint: Paint) -> String {
    let side = |status: &SideStatus| {
        let place = match status.inside {
            Some(true) => "in".to_owned(),
            Some(false) => "out".to_owned(),
            None => dash(),
        };
        let said = format!("{} {place}", status.side);
        if status.error.is_some() || status.drift.is_some() { paint.bad(said) } else { said }
    };
    sides.iter().map(side).collect::<Vec<_>>().join(", ")
}

/// What a person looks for first: who is out and why, what fails, and every sight that is not up.
fn doubts(member: &MemberStatus, paint: Paint) -> String {
    let mut text = String::new();
    let name = &member.name;
    if let (Some(by), Some(since)) = (&member.actor, member.standing_since) {
        let because = member.because.join("; ");
        let word = member.standing.word();
        text.push_str(&format!("{name} is {word} since {} by {}: {because}\n", moment(since), actor(by)));
    }
    for status in &member.sides {
        let side = status.side;
        if let Some(error) = &status.error {
            let error = paint.bad(error);
            text.push_str(&format!("{name}, {side}: failed {} times: {error}\n", status.attempts));
        }
        if let Some(drift) = &status.drift {
            text.push_str(&format!("{name}, {side}: {}\n", paint.bad(drift)));
        }
    }
    for sight in member.vantages.iter().filter(|sight| sight.verdict != Verdict::Up) {
        let (verdict, node, age) = (paint.verdict(sight.verdict), sight.node, span(sight.age_ms));
        text.push_str(&format!("{name} is {verdict} for coordinator {node}: {} ({age} ago)\n", sight.detail));
    }
    text
}
