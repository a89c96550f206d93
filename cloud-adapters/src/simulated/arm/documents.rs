//! Resources to start with, as ARM gives them: with many settings that no adapter knows, so that
//! a test sees whether they are still there afterwards.

use serde_json::{Value, json};

/// The subscription of all of them.
pub const SUBSCRIPTION: &str = "11111111-2222-4333-8444-555555555555";

/// An id in Microsoft.Network.
pub fn network_id(group: &str, kind: &str, name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/{kind}/{name}")
}

/// A virtual machine's id.
pub fn vm_id(group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"
    )
}

/// An event that is announced to the machine `vm`, for a time as the metadata service writes it:
/// `Mon, 19 Sep 2016 18:29:47 GMT`.
pub fn scheduled_event(id: &str, kind: &str, vm: &str, not_before: &str, seconds: i64) -> Value {
    json!({
        "EventId": id,
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": [vm],
        "EventStatus": "Scheduled",
        "NotBefore": not_before,
        "Description": "Host server is undergoing maintenance.",
        "EventSource": "Platform",
        "DurationInSeconds": seconds,
    })
}

/// One IP configuration of a NIC.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its private address; an IPv6 one makes it an IPv6 configuration.
    pub address: &'a str,
    /// The id of its public IP.
    pub public_ip: Option<&'a str>,
}

/// A NIC of the virtual machine `vm-{name}` with IP forwarding, a security group, accelerated
/// networking, load-balancer pools and DNS servers. The first configuration is the primary one.
pub fn nic(group: &str, name: &str, configurations: &[Configuration<'_>]) -> Value {
    let id = network_id(group, "networkInterfaces", name);
    let subnet = network_id(group, "virtualNetworks", "vnet-dmz") + "/subnets/untrusted";
    let configurations: Vec<Value> = configurations
        .iter()
        .enumerate()
        .map(|(at, c)| {
            let version = if c.address.contains(':') { "IPv6" } else { "IPv4" };
            let mut properties = json!({
                "provisioningState": "Succeeded",
                "privateIPAddress": c.address,
                "privateIPAllocationMethod": "Static",
                "privateIPAddressVersion": version,
                "subnet": { "id": subnet },
                "primary": at == 0,
                "loadBalancerBackendAddressPools": [
                    { "id": network_id(group, "loadBalancers", "lbi") + "/backendAddressPools/nva" },
                ],
                "applicationSecurityGroups": [{ "id": network_id(group, "applicationSecurityGroups", "asg") }],
            });
            if let Some(public_ip) = c.public_ip {
                properties["publicIPAddress"] = json!({ "id": public_ip });
            }
            json!({
                "name": c.name,
                "id": format!("{id}/ipConfigurations/{}", c.name),
                "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
                "etag": "W/\"0\"",
                "properties": properties,
            })
        })
        .collect();
    json!({
        "name": name,
        "id": id,
        "type": "Microsoft.Network/networkInterfaces",
        "location": "westeurope",
        "kind": "Regular",
        "tags": { "owner": "network team", "cost-center": "4711" },
        "properties": {
            "provisioningState": "Succeeded",
            "resourceGuid": "9b1c0b2e-0000-4000-8000-000000000000",
            "ipConfigurations": configurations,
            "dnsSettings": { "dnsServers": ["10.0.0.53"], "appliedDnsServers": [] },
            "macAddress": "00-0D-3A-1B-C7-21",
            "enableAcceleratedNetworking": true,
            "enableIPForwarding": true,
            "disableTcpStateTracking": true,
            "networkSecurityGroup": { "id": network_id(group, "networkSecurityGroups", "nsg-dmz") },
            "virtualMachine": { "id": vm_id(group, &format!("vm-{name}")) },
            "primary": true,
            "vnetEncryptionSupported": false,
            "auxiliaryMode": "None",
            "auxiliarySku": "None",
            "nicType": "Standard",
            "settingOfALaterYear": { "depth": [1, 2.5, null, "ü"] },
        },
    })
}

/// A public IP of the SKU Standard that is associated with nothing yet.
pub fn public_ip(group: &str, name: &str, address: &str) -> Value {
    let version = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "name": name,
        "id": network_id(group, "publicIPAddresses", name),
        "type": "Microsoft.Network/publicIPAddresses",
        "location": "westeurope",
        "zones": ["1", "2", "3"],
        "sku": { "name": "Standard", "tier": "Regional" },
        "properties": {
            "provisioningState": "Succeeded",
            "ipAddress": address,
            "publicIPAddressVersion": version,
            "publicIPAllocationMethod": "Static",
            "idleTimeoutInMinutes": 4,
        },
    })
}

/// A route table whose routes go to appliances: name, prefix, next hop.
pub fn route_table(group: &str, name: &str, routes: &[(&str, &str, &str)]) -> Value {
    let id = network_id(group, "routeTables", name);
    let mut all: Vec<Value> = routes
        .iter()
        .map(|(route, prefix, hop)| {
            json!({
                "name": route,
                "id": format!("{id}/routes/{route}"),
                "type": "Microsoft.Network/routeTables/routes",
                "etag": "W/\"0\"",
                "properties": {
                    "provisioningState": "Succeeded",
                    "addressPrefix": prefix,
                    "nextHopType": "VirtualAppliance",
                    "nextHopIpAddress": hop,
                    "hasBgpOverride": false,
                },
            })
        })
        .collect();
    all.push(json!({
        "name": "to-the-internet",
        "id": format!("{id}/routes/to-the-internet"),
        "type": "Microsoft.Network/routeTables/routes",
        "etag": "W/\"0\"",
        "properties": {
            "provisioningState": "Succeeded",
            "addressPrefix": "198.51.100.0/24",
            "nextHopType": "Internet",
            "hasBgpOverride": false,
        },
    }));
    json!({
        "name": name,
        "id": id,
        "type": "Microsoft.Network/routeTables",
        "location": "westeurope",
        "tags": { "owner": "network team" },
        "properties": {
            "provisioningState": "Succeeded",
            "resourceGuid": "7c0d0000-0000-4000-8000-000000000000",
            "disableBgpRoutePropagation": true,
            "routes": all,
            "subnets": [{ "id": network_id(group, "virtualNetworks", "vnet-spoke") + "/subnets/apps" }],
        },
    })
}

/// A virtual machine that runs.
pub fn virtual_machine(group: &str, name: &str) -> Value {
    json!({
        "name": name,
        "id": vm_id(group, name),
        "type": "Microsoft.Compute/virtualMachines",
        "location": "westeurope",
        "zones": ["1"],
        "properties": {
            "provisioningState": "Succeeded",
            "instanceView": { "statuses": [
                { "code": "ProvisioningState/succeeded", "level": "Info" },
                { "code": "PowerState/running", "level": "Info" },
            ] },
        },
    })
}
