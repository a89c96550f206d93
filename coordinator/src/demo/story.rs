//! The end of the demo: what the replicated history says, and the verdict.

use anyhow::bail;
use coordinator_api::v1::HistoryFilter;

use super::timeline::{Timeline, millis};
use super::world::World;

/// Events printed.
const SHOWN: u32 = 200;

/// Prints the history, and checks that nothing ever had two carriers.
pub(super) async fn tell(world: &World, timeline: &mut Timeline) -> anyhow::Result<()> {
    timeline.act("The history, as every coordinator has it");
    let filter = HistoryFilter { limit: SHOWN, ..HistoryFilter::default() };
    let page = world.api().history(&filter).await?;
    for event in page.events.iter().rev() {
        let level = event.level.word();
        timeline.say(format_args!("  {:>6}  {level:<7}  {}", event.id.index, event.sentence));
    }

    timeline.act("The verdict");
    let carried = world.cloud().history();
    let doubled: Vec<_> = carried.iter().filter(|c| c.carriers.len() > 1).collect();
    let outages: Vec<_> = world.outages().into_iter().map(millis).collect();
    timeline.say(format_args!("  outages of the four acts: {}", outages.join(", ")));
    timeline.say(format_args!(
        "  the cloud saw {} changes of what carries the public IP and the route",
        carried.len()
    ));
    if let Some(first) = doubled.first() {
        bail!(
            "{} was carried by {} at once, {} times in all",
            first.what,
            first.carriers.join(" and "),
            doubled.len()
        );
    }
    timeline.figure("at no instant did two appliances carry one binding");
    Ok(())
}
