//! Machines: whether they are switched on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::check::{bad_request, check_tags, names, not_found, refuse_unless_writable};
use super::{Cloud, Refusal, Resource, Work};
use crate::simulated::model::{Machine, MachinePower, Nic, Provisioning};

impl Cloud {
    /// A machine.
    ///
    /// # Errors
    /// 404.
    pub fn machine(&self, name: &str) -> Result<&Machine, Refusal> {
        self.machines.get(name).ok_or_else(|| not_found("machine", name))
    }

    /// Replaces a machine's document, and works for `takes` on switching it on or off. It carries
    /// nothing from the end of that work on.
    ///
    /// # Errors
    /// As [`Cloud::put_nic`].
    pub fn put_machine(
        &mut self,
        now: Duration,
        name: &str,
        if_match: Option<&str>,
        mut machine: Machine,
        takes: Duration,
    ) -> Result<Machine, Refusal> {
        self.advance(now);
        let old = self.machine(name)?;
        refuse_unless_writable(name, &old.etag, old.provisioning, if_match)?;
        if machine.name != name || machine.nics != old.nics {
            return Err(bad_request("the name and the NICs of a machine are fixed".to_owned()));
        }
        check_tags(&machine.tags)?;
        let switched = old.power != machine.power;
        machine.etag = self.next_etag();
        machine.provisioning = Provisioning::Succeeded;
        if switched {
            machine.provisioning = Provisioning::Updating;
            let on = Resource::Machine(name.to_owned());
            self.work.push(Work { due: now + takes, on, releases: BTreeSet::new() });
        }
        self.machines.insert(name.to_owned(), machine);
        self.advance(now);
        self.machine(name).cloned()
    }

    pub(super) fn add_machine(&mut self, mut machine: Machine) {
        machine.etag = self.next_etag();
        machine.provisioning = Provisioning::Succeeded;
        let name = machine.name.clone();
        self.machines.insert(name.clone(), machine);
        self.finish_machine(&name);
    }

    pub(super) fn finish_machine(&mut self, name: &str) {
        let Some(machine) = self.machines.get_mut(name) else { return };
        machine.provisioning = Provisioning::Succeeded;
        for nic in &machine.nics {
            match machine.power {
                MachinePower::On => self.dark.remove(nic),
                MachinePower::Off => self.dark.insert(nic.clone()),
            };
        }
    }

    /// Whether the NIC with that address belongs to a machine that is off.
    pub(super) fn is_dark(&self, address: IpAddr) -> bool {
        let has = |nic: &Nic| nic.ip_configurations.iter().any(|config| config.private_address == address);
        self.dark.iter().filter_map(|name| self.nics.get(name)).any(has)
    }

    pub(super) fn check_machines(&self, machines: &[Machine], new_nics: &[Nic]) -> Result<(), Refusal> {
        names("machine", self.machines.keys(), machines.iter().map(|machine| &machine.name))?;
        let mut taken: BTreeSet<&String> = self.machines.values().flat_map(|m| &m.nics).collect();
        for machine in machines {
            check_tags(&machine.tags)?;
            for nic in &machine.nics {
                if !self.nics.contains_key(nic) && !new_nics.iter().any(|new| new.name == *nic) {
                    return Err(bad_request(format!("there is no NIC {nic}")));
                }
                if !taken.insert(nic) {
                    return Err(bad_request(format!("NIC {nic} belongs to two machines")));
                }
            }
        }
        Ok(())
    }
}
