//! What every adapter must keep, for Azure, against a fake ARM on paused time.

use crate::suite;

suite::every_case!(
    tokio::test(start_paused = true);
    public_ip = crate::stage::public_ip,
    ipv6_on_a_secondary_configuration = crate::stage::ipv6,
    route = crate::stage::route,
);
