//! How packets leave a NIC: by the effective routes, the longest prefix first.

use std::net::IpAddr;

use crate::azure::AzureAdapter;
use crate::azure::effective::EffectiveRoute;
use crate::azure::resource_id::{Kind, ResourceId};
use crate::contract::{AdapterError, Hop, Journal};

impl AzureAdapter {
    pub(super) async fn hops_from(
        &self,
        nic: &str,
        to: &[IpAddr],
        journal: &Journal,
    ) -> Result<Vec<Hop>, AdapterError> {
        let attempt = "ask for the effective routes";
        let nic =
            ResourceId::of_kind(nic, Kind::Nic).map_err(|error| AdapterError::permanent(attempt, error))?;
        let routes = self.effective_routes(&nic, journal).await;
        let routes =
            routes.map_err(|failure| failure.into_adapter_error(format!("{attempt} of {}", nic.short())))?;
        Ok(to.iter().map(|to| hop(&routes, *to)).collect())
    }
}

fn hop(routes: &[EffectiveRoute], to: IpAddr) -> Hop {
    let longest =
        |route: &EffectiveRoute| route.prefixes.iter().filter_map(|prefix| covers(prefix, to)).max();
    let active = routes.iter().filter(|route| route.active);
    let found = active.filter_map(|route| Some((longest(route)?, route))).max_by_key(|(bits, _)| *bits);
    Hop {
        to,
        kind: found.map(|(_, route)| route.next_hop_type.clone()),
        via: found.map(|(_, route)| route.next_hops.clone()).unwrap_or_default(),
    }
}

/// The length of `prefix`, in bits, if `to` is in it.
fn covers(prefix: &str, to: IpAddr) -> Option<u32> {
    let (network, bits) = prefix.split_once('/')?;
    let (network, bits): (IpAddr, u32) = (network.parse().ok()?, bits.parse().ok()?);
    let same = match (network, to) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32_u32.checked_sub(bits)?).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128_u32.checked_sub(bits)?).unwrap_or(0) == 0
        }
        _ => false,
    };
    same.then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, hop: &str, active: bool) -> EffectiveRoute {
        EffectiveRoute {
            prefixes: vec![prefix.to_owned()],
            next_hop_type: "VirtualAppliance".to_owned(),
            next_hops: vec![hop.parse().unwrap()],
            active,
        }
    }

    #[test]
    fn the_longest_active_prefix_wins() {
        let routes = [
            route("0.0.0.0/0", "10.0.0.1", true),
            route("10.9.0.0/16", "10.0.0.2", true),
            route("10.9.8.0/24", "10.0.0.3", false),
            route("2001:db8::/32", "fd00::4", true),
        ];
        for (to, via) in [("10.9.8.7", "10.0.0.2"), ("10.10.0.1", "10.0.0.1"), ("2001:db8::9", "fd00::4")] {
            assert_eq!(hop(&routes, to.parse().unwrap()).via, [via.parse::<IpAddr>().unwrap()], "{to}");
        }
        assert_eq!(hop(&routes, "2001:db9::9".parse().unwrap()).kind, None);
    }

    #[test]
    fn a_prefix_covers_its_own_addresses_alone() {
        let covers = |prefix, to: &str| covers(prefix, to.parse().unwrap());
        assert_eq!(covers("10.0.0.4/32", "10.0.0.4"), Some(32));
        assert_eq!(covers("10.0.0.4/32", "10.0.0.5"), None);
        assert_eq!(covers("0.0.0.0/0", "10.0.0.5"), Some(0));
        assert_eq!(covers("::/0", "10.0.0.5"), None);
        assert_eq!(covers("10.0.0.0/33", "10.0.0.5"), None);
        // Service tags are no prefixes.
        assert_eq!(covers("AzureResourceManager", "10.0.0.5"), None);
    }
}
