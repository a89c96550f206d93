//! A pool on the fake ARM, served to whole coordinators.

use anyhow::{Context, Result, bail, ensure};
use cloud_adapters::simulated::arm::documents::SUBSCRIPTION;
use cloud_adapters::simulated::arm::scene::pool::{MEMBERS, PoolScene};
use cloud_adapters::simulated::arm::scene::{ADAPTER, GROUP};
use cloud_adapters::simulated::arm::{FakeArm, Served};
use coordinator_api::v1::PoolStatus;
use coordinator_core::pool::{Side, Way};

use crate::cluster::Cluster;
use crate::service::Service;
use crate::wait::{self, Look, is};

/// The pool's name.
pub const POOL: &str = "proxies";

/// A cloud with a pool whose members are all in, and the members, alive.
#[derive(Debug)]
pub struct PoolStage {
    scene: PoolScene,
    served: Served,
    members: Vec<Service>,
}

impl PoolStage {
    /// Serves a new cloud. Needs a Tokio runtime, whose threads must not all be blocked by the
    /// test.
    ///
    /// # Errors
    /// When nothing can listen on loopback.
    pub async fn new() -> Result<PoolStage> {
        let scene = PoolScene::default();
        let served = scene.arm.serve().await?;
        let mut members = Vec::new();
        for host in 1..=3 {
            members.push(Service::new(host).await?);
        }
        Ok(PoolStage { scene, served, members })
    }

    /// The cloud.
    pub fn arm(&self) -> &FakeArm {
        &self.scene.arm
    }

    /// The pool in the cloud.
    pub fn scene(&self) -> &PoolScene {
        &self.scene
    }

    /// A member's service, which the coordinators probe.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn member(&mut self, name: &str) -> Result<&mut Service> {
        let found = MEMBERS.iter().zip(&mut self.members).find(|(known, _)| **known == name);
        match found {
            Some((_, service)) => Ok(service),
            None => bail!("no member {name}"),
        }
    }

    /// The adapter and the pool, as an operator would write them.
    ///
    /// # Errors
    /// When the scene has no such side.
    pub fn declarations(&self, policy: &str) -> Result<String> {
        let url = self.served.url();
        let mut text = format!(
            r#"
[[adapter]]
name = "{ADAPTER}"
kind = "azure"
arm_url = "{url}"
authority_url = "{url}"
imds_url = "{url}"
allow = ["/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"]
identity = {{ kind = "managed-identity" }}

[[pool]]
name = "{POOL}"
policy = {{ {policy} }}
"#
        );
        for side in [Side::Ingress, Side::Egress] {
            let way = self.scene.way(side).context("the scene has both sides")?;
            let Way::BackendPool { adapter, backend_pool, targets } = way;
            text += &format!("\n[pool.{side}]\nadapter = \"{adapter}\"\nbackend_pool = \"{backend_pool}\"\n");
            text += &format!("[pool.{side}.targets]\n");
            for (member, target) in targets {
                text += &format!("{member} = \"{target}\"\n");
            }
        }
        for (name, service) in MEMBERS.iter().zip(&self.members) {
            let (ip, port) = (service.address().ip(), service.address().port());
            text += &format!(
                r#"
[[pool.member]]
name = "{name}"
address = "{ip}"
probe = [{{ kind = "tcp", port = {port}, interval = "200ms", timeout = "150ms", rise = 2, fall = 2 }}]
"#
            );
        }
        Ok(text)
    }

    /// Waits until exactly these members get traffic on both sides.
    ///
    /// # Errors
    /// When it is not so for too long.
    pub fn await_behind(&self, members: &[&str]) -> Result<()> {
        wait::until(&format!("{members:?} get traffic on both sides"), || {
            let (front, back) = (self.scene.behind(Side::Ingress), self.scene.behind(Side::Egress));
            let so = front.iter().eq(members) && back.iter().eq(members);
            Ok(is(so, || format!("{front:?} and {back:?}")))
        })
    }

    /// Writes that ARM accepted, in their order: the short ids of what was written.
    pub fn accepted(&self) -> Vec<String> {
        let calls = self.arm().calls().into_iter();
        let writes = calls.filter(|call| call.result.starts_with('2'));
        writes.filter_map(|call| call.call.strip_prefix("PUT ").map(str::to_owned)).collect()
    }

    /// Waits until ARM has accepted that many writes.
    ///
    /// # Errors
    /// When it has not for too long.
    pub fn await_accepted(&self, writes: usize) -> Result<()> {
        wait::until(&format!("{writes} writes are accepted"), || {
            let accepted = self.accepted();
            Ok(is(accepted.len() >= writes, || format!("{accepted:?}")))
        })
    }

    /// Fails unless somebody was behind each load balancer all the time.
    ///
    /// # Errors
    /// When nobody was.
    pub fn never_empty(&self) -> Result<()> {
        ensure!(self.scene.fewest() > 0, "nobody was left in a backend pool: {:?}", self.arm().calls());
        Ok(())
    }
}

/// Waits until the pool is as wanted; `what` says what that is.
///
/// # Errors
/// When it is not so for too long.
pub fn await_pool(cluster: &Cluster, what: &str, wanted: impl Fn(&PoolStatus) -> bool) -> Result<PoolStatus> {
    wait::until(&format!("pool {POOL} {what}"), || {
        Ok(match cluster.cli_json::<PoolStatus>(&["pools", POOL]) {
            Ok(status) if wanted(&status) => Look::Yes(status),
            Ok(status) => Look::NotYet(format!("{:?}, because {:?}", status.summary, status.why)),
            Err(error) => Look::NotYet(format!("{error:#}")),
        })
    })
}

/// How the members stand, in the declared order.
pub fn standings(status: &PoolStatus) -> Vec<&'static str> {
    status.members.iter().map(|member| member.standing.word()).collect()
}
