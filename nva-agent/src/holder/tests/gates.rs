//! Probe gates: open with the lease, and shut before anybody is told so.

use super::*;

#[tokio::test]
async fn probe_gates_open_with_the_lease_and_shut_before_the_release_is_reported() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    let grant = Instruction::Grant { token: Token(5), ttl_ms };
    bench.declares_gates(1, false, grant, (&[], &[8_686, 8_687])).await;
    let standing = bench.until("open", |s| s.vips_up).await;
    assert_eq!((standing.holding, standing.gates), (Some(Token(5)), vec![gate(8_686), gate(8_687)]));
    assert_eq!(bench.interfaces.0.lock().unwrap().open, [8_686, 8_687]);
    bench.declares_gates(1, false, Instruction::Standby { token: Token(6) }, (&[], &[8_686, 8_687])).await;
    let standing = bench.until("shut", |s| s.highest == Token(6)).await;
    assert_eq!((standing.holding, standing.vips_up), (None, false));
    assert_eq!(bench.interfaces.0.lock().unwrap().open, [0; 0]);
    bench.stop().await;
}

#[tokio::test]
async fn without_renewals_the_gates_are_shut_before_the_deadline() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let granted = clock::now();
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    let grant = Instruction::Grant { token: Token(5), ttl_ms };
    bench.declares_gates(1, false, grant, (&["10.0.0.9"], &[8_686])).await;
    bench.until("open", |s| s.vips_up).await;
    assert_eq!(bench.up(), ["10.0.0.9"]);
    bench.until("shut", |s| s.holding.is_none()).await;
    assert_eq!(bench.interfaces.0.lock().unwrap().open, [0; 0]);
    let took = clock::now().since(granted);
    assert!(took >= TTL - TTL / 10 && took < TTL + Duration::from_millis(200), "{took:?}");
    bench.stop().await;
}

#[tokio::test]
async fn a_gate_that_cannot_be_opened_is_never_reported_as_held() {
    let interfaces = FakeInterfaces::default();
    interfaces.0.lock().unwrap().refuse_to_add = Some("port 8686 is taken".to_owned());
    let mut bench = Bench::start(interfaces);
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    let grant = Instruction::Grant { token: Token(5), ttl_ms };
    bench.declares_gates(1, false, grant, (&[], &[8_686])).await;
    let standing = bench.until("told", |s| !s.faults.is_empty()).await;
    assert_eq!((standing.holding, standing.vips_up), (None, false));
    bench.stop().await;
}

#[tokio::test]
async fn a_gate_that_is_no_longer_declared_is_shut_while_the_lease_goes_on() {
    let mut bench = Bench::start(FakeInterfaces::default());
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    let grant = Instruction::Grant { token: Token(5), ttl_ms };
    bench.declares_gates(1, false, grant, (&["10.0.0.9"], &[8_686])).await;
    bench.until("open", |s| s.vips_up && s.gates.len() == 1).await;
    bench.declares_gates(2, false, grant, (&["10.0.0.9"], &[])).await;
    bench.until("changed", |s| s.vips_up && s.gates.is_empty()).await;
    assert_eq!(bench.interfaces.0.lock().unwrap().open, [0; 0]);
    assert_eq!(bench.up(), ["10.0.0.9"]);
    bench.stop().await;
}
