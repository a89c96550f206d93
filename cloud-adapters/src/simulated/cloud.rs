//! What the simulated cloud does with its documents. No clock and no socket: time is a parameter.
//!
//! The rules are those of real clouds that matter here. A write replaces the whole document; with
//! `If-Match` it is refused with 412 when the document has changed; a resource that the cloud is
//! still working on refuses writes; a public IP that one NIC has is refused to another.
//!
//! Documents change at once, what they *do* only when the cloud has finished (`advance`): a
//! detached address stops carrying at the start of that work, everything else at its end.

mod check;
mod machines;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::model::{Carried, CarriedBy, Machine, Nic, Provisioning, PublicIp, RouteTable, Topology};
use check::{
    bad_request, check_nic, check_nic_against, check_table, in_progress, names, not_found, public_ips_of,
    refuse_unless_writable,
};

/// The code of a refusal because the cloud has not finished an earlier change: try again.
pub const OPERATION_IN_PROGRESS: &str = "OperationInProgress";

/// Most entries of the history; the oldest go first.
pub const HISTORY: usize = 10_000;

/// Most resources of each kind, IP configurations of a NIC, and routes of a table.
pub const MOST: usize = 400;
/// Most tags of a resource.
pub const MOST_TAGS: usize = 50;

/// Why a call was refused, as the API says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal that names no time to try again.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), retry_after: None }
    }
}

/// The cloud.
#[derive(Debug, Default)]
pub struct Cloud {
    public_ips: BTreeMap<String, PublicIp>,
    nics: BTreeMap<String, Nic>,
    tables: BTreeMap<String, RouteTable>,
    machines: BTreeMap<String, Machine>,
    /// The NICs of machines that are off at this moment.
    dark: BTreeSet<String>,
    /// Counts writes, for ETags that never come back.
    version: u64,
    /// Which public IP each `nic/ip-configuration` carries at this moment.
    carrying: BTreeMap<String, String>,
    /// Where each route leads at this moment.
    leading: BTreeMap<(String, String), IpAddr>,
    work: Vec<Work>,
    history: VecDeque<CarriedBy>,
    newest: BTreeMap<Carried, Vec<String>>,
}

/// A change that the cloud has accepted and not finished.
#[derive(Debug)]
struct Work {
    due: Duration,
    on: Resource,
    /// Public IPs that it detaches: no other NIC gets them before it is done.
    releases: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Resource {
    Nic(String),
    Table(String),
    Machine(String),
}

impl Cloud {
    /// Adds resources, all or none.
    ///
    /// # Errors
    /// 400 when a name or an address is taken, or something is named that does not exist.
    pub fn add(&mut self, now: Duration, topology: Topology) -> Result<(), Refusal> {
        self.check_topology(&topology)?;
        for mut public_ip in topology.public_ips {
            public_ip.etag = self.next_etag();
            public_ip.ip_configuration = None;
            self.public_ips.insert(public_ip.name.clone(), public_ip);
        }
        for mut nic in topology.nics {
            nic.etag = self.next_etag();
            nic.provisioning = Provisioning::Succeeded;
            self.associate(&nic);
            self.take_effect_on_nic(&nic);
            self.nics.insert(nic.name.clone(), nic);
        }
        for mut table in topology.route_tables {
            table.etag = self.next_etag();
            table.provisioning = Provisioning::Succeeded;
            self.take_effect_on_table(&table);
            self.tables.insert(table.name.clone(), table);
        }
        for machine in topology.machines {
            self.add_machine(machine);
        }
        self.note_history(now);
        Ok(())
    }

    /// A NIC.
    ///
    /// # Errors
    /// 404.
    pub fn nic(&self, name: &str) -> Result<&Nic, Refusal> {
        self.nics.get(name).ok_or_else(|| not_found("NIC", name))
    }

    /// A public IP.
    ///
    /// # Errors
    /// 404.
    pub fn public_ip(&self, name: &str) -> Result<&PublicIp, Refusal> {
        self.public_ips.get(name).ok_or_else(|| not_found("public IP", name))
    }

    /// A route table.
    ///
    /// # Errors
    /// 404.
    pub fn route_table(&self, name: &str) -> Result<&RouteTable, Refusal> {
        self.tables.get(name).ok_or_else(|| not_found("route table", name))
    }

    /// Replaces a NIC, and works on it for `takes` if an association changes.
    ///
    /// # Errors
    /// 404; 412 when `if_match` is given and is not its ETag; 409 [`OPERATION_IN_PROGRESS`]; 409
    /// `PublicIpInUse` when another IP configuration has the public IP; 400 when the document
    /// breaks a rule.
    pub fn put_nic(
        &mut self,
        now: Duration,
        name: &str,
        if_match: Option<&str>,
        mut nic: Nic,
        takes: Duration,
    ) -> Result<Nic, Refusal> {
        self.advance(now);
        let old = self.nic(name)?.clone();
        refuse_unless_writable(name, &old.etag, old.provisioning, if_match)?;
        check_nic_against(&old, &mut nic)?;
        for public_ip in public_ips_of(&nic) {
            self.check_attachable(public_ip, &nic)?;
        }
        let (before, after) = (public_ips_of(&old).collect(), public_ips_of(&nic).collect());
        let releases: BTreeSet<String> =
            BTreeSet::difference(&before, &after).map(|ip| (*ip).clone()).collect();
        let rewired = old.ip_configurations != nic.ip_configurations;

        nic.etag = self.next_etag();
        nic.provisioning = Provisioning::Succeeded;
        for public_ip in &releases {
            self.set_association(public_ip, None);
        }
        self.associate(&nic);
        for (old, new) in old.ip_configurations.iter().zip(&nic.ip_configurations) {
            if old.public_ip != new.public_ip {
                self.carrying.remove(&format!("{}/{}", nic.name, old.name));
            }
        }
        if rewired {
            nic.provisioning = Provisioning::Updating;
            self.work.push(Work { due: now + takes, on: Resource::Nic(nic.name.clone()), releases });
        }
        self.nics.insert(nic.name.clone(), nic);
        self.note_history(now);
        self.advance(now);
        self.nic(name).cloned()
    }

    /// Replaces a route table, and works on it for `takes` if a route changes.
    ///
    /// # Errors
    /// As [`Cloud::put_nic`].
    pub fn put_route_table(
        &mut self,
        now: Duration,
        name: &str,
        if_match: Option<&str>,
        mut table: RouteTable,
        takes: Duration,
    ) -> Result<RouteTable, Refusal> {
        self.advance(now);
        let old = self.route_table(name)?;
        refuse_unless_writable(name, &old.etag, old.provisioning, if_match)?;
        if table.name != name {
            return Err(bad_request(format!("the document is called {:?}, not {name:?}", table.name)));
        }
        check_table(&table)?;
        let rerouted = old.routes != table.routes;
        table.etag = self.next_etag();
        table.provisioning = Provisioning::Succeeded;
        if rerouted {
            table.provisioning = Provisioning::Updating;
            let on = Resource::Table(name.to_owned());
            self.work.push(Work { due: now + takes, on, releases: BTreeSet::new() });
        }
        self.tables.insert(name.to_owned(), table);
        self.advance(now);
        self.route_table(name).cloned()
    }

    /// Finishes all work that is due. Called before everything that depends on time.
    pub fn advance(&mut self, now: Duration) {
        self.work.sort_by_key(|work| work.due);
        while self.work.first().is_some_and(|work| work.due <= now) {
            let work = self.work.remove(0);
            match &work.on {
                Resource::Nic(name) => {
                    if let Some(mut nic) = self.nics.remove(name) {
                        nic.provisioning = Provisioning::Succeeded;
                        self.take_effect_on_nic(&nic);
                        self.nics.insert(nic.name.clone(), nic);
                    }
                }
                Resource::Table(name) => {
                    if let Some(mut table) = self.tables.remove(name) {
                        table.provisioning = Provisioning::Succeeded;
                        self.take_effect_on_table(&table);
                        self.tables.insert(table.name.clone(), table);
                    }
                }
                Resource::Machine(name) => self.finish_machine(name),
            }
            self.note_history(work.due);
        }
    }

    /// When [`Cloud::advance`] has something to do next.
    pub fn next_due(&self) -> Option<Duration> {
        self.work.iter().map(|work| work.due).min()
    }

    /// Who carries what, and since when.
    pub fn history(&self) -> impl Iterator<Item = &CarriedBy> {
        self.history.iter()
    }

    /// Everything that can carry traffic.
    pub fn carried(&self) -> Vec<Carried> {
        let ips = self.public_ips.keys().cloned().map(Carried::PublicIp);
        let routes = self
            .leading
            .keys()
            .map(|(table, route)| Carried::Route { table: table.clone(), route: route.clone() });
        ips.chain(routes).collect()
    }

    /// Where the data plane sends a new connection; `None` when nothing carries it.
    pub fn forward_to(&self, what: &Carried) -> Option<SocketAddr> {
        let carriers = self.carriers(what);
        let carrier = carriers.first()?;
        let configurations =
            self.nics.values().flat_map(|nic| nic.ip_configurations.iter().map(move |config| (nic, config)));
        let mut matching = configurations.filter(|(nic, config)| match what {
            Carried::PublicIp(_) => *carrier == format!("{}/{}", nic.name, config.name),
            Carried::Route { .. } => *carrier == config.private_address.to_string(),
        });
        matching.next().and_then(|(_, config)| config.forward_to)
    }

    fn carriers(&self, what: &Carried) -> Vec<String> {
        match what {
            Carried::PublicIp(name) => {
                let lit = |config: &str| !self.dark.contains(config.split('/').next().unwrap_or_default());
                let mine = self.carrying.iter().filter(|(config, ip)| *ip == name && lit(config));
                mine.map(|(config, _)| config.clone()).collect()
            }
            Carried::Route { table, route } => {
                let hop = self.leading.get(&(table.clone(), route.clone()));
                hop.filter(|hop| !self.is_dark(**hop)).map(ToString::to_string).into_iter().collect()
            }
        }
    }

    fn note_history(&mut self, at: Duration) {
        let mut all: BTreeSet<Carried> = self.newest.keys().cloned().collect();
        all.extend(self.carried());
        for what in all {
            let carriers = self.carriers(&what);
            if self.newest.get(&what) != Some(&carriers) {
                self.newest.insert(what.clone(), carriers.clone());
                self.history.push_back(CarriedBy { at, what, carriers });
                if self.history.len() > HISTORY {
                    self.history.pop_front();
                }
            }
        }
    }

    fn next_etag(&mut self) -> String {
        self.version += 1;
        format!("\"{}\"", self.version)
    }

    fn associate(&mut self, nic: &Nic) {
        for config in &nic.ip_configurations {
            if let Some(public_ip) = &config.public_ip {
                self.set_association(public_ip, Some(format!("{}/{}", nic.name, config.name)));
            }
        }
    }

    fn set_association(&mut self, public_ip: &str, to: Option<String>) {
        let etag = self.next_etag();
        if let Some(public_ip) = self.public_ips.get_mut(public_ip).filter(|ip| ip.ip_configuration != to) {
            public_ip.ip_configuration = to;
            public_ip.etag = etag;
        }
    }

    fn take_effect_on_nic(&mut self, nic: &Nic) {
        for config in &nic.ip_configurations {
            let id = format!("{}/{}", nic.name, config.name);
            match &config.public_ip {
                Some(public_ip) => self.carrying.insert(id, public_ip.clone()),
                None => self.carrying.remove(&id),
            };
        }
    }

    fn take_effect_on_table(&mut self, table: &RouteTable) {
        self.leading.retain(|(of, _), _| *of != table.name);
        for route in &table.routes {
            self.leading.insert((table.name.clone(), route.name.clone()), route.next_hop);
        }
    }

    fn check_attachable(&self, public_ip: &str, nic: &Nic) -> Result<(), Refusal> {
        let known = self
            .public_ips
            .get(public_ip)
            .ok_or_else(|| bad_request(format!("there is no public IP {public_ip}")))?;
        let holder = known.ip_configuration.as_deref();
        if let Some(holder) = holder.filter(|holder| holder.split('/').next() != Some(nic.name.as_str())) {
            let message = format!("public IP {public_ip} is associated with {holder}: detach it first");
            return Err(Refusal::new(409, "PublicIpInUse", message));
        }
        match self.work.iter().find(|work| work.releases.contains(public_ip)) {
            Some(_) => Err(in_progress(&format!("public IP {public_ip} is still being detached"))),
            None => Ok(()),
        }
    }

    fn check_topology(&self, topology: &Topology) -> Result<(), Refusal> {
        let Topology { public_ips, nics, route_tables, machines } = topology;
        let ips = names("public IP", self.public_ips.keys(), public_ips.iter().map(|ip| &ip.name))?;
        names("NIC", self.nics.keys(), nics.iter().map(|nic| &nic.name))?;
        names("route table", self.tables.keys(), route_tables.iter().map(|table| &table.name))?;
        route_tables.iter().try_for_each(check_table)?;
        self.check_machines(machines, nics)?;
        let (mut addresses, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for (nic, is_new) in
            self.nics.values().map(|nic| (nic, false)).chain(nics.iter().map(|nic| (nic, true)))
        {
            if is_new {
                check_nic(nic)?;
            }
            for config in &nic.ip_configurations {
                if !addresses.insert(config.private_address) {
                    return Err(bad_request(format!(
                        "{} is the address of two NICs",
                        config.private_address
                    )));
                }
            }
            for public_ip in public_ips_of(nic) {
                if !ips.contains(public_ip) {
                    return Err(bad_request(format!("there is no public IP {public_ip}")));
                }
                if !taken.insert(public_ip) {
                    return Err(bad_request(format!("public IP {public_ip} is associated twice")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
