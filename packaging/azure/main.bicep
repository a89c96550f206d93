// The PIP-UDR topology, for a new resource group: a pair of network appliances, the public IP and
// the route table that follow the active one, and three coordinators in a subnet that does not
// route through the appliances. docs/azure.md walks through it.
//
//   az deployment group create -g rg-dmz -f main.bicep -p sshKey="$(cat ~/.ssh/id_ed25519.pub)"
//
// The appliances are plain Linux machines that forward: replace `applianceImage` by your firewall.

param location string = resourceGroup().location
@description('Public key of the administrator of all machines.')
param sshKey string
param adminName string = 'operator'
param applianceSize string = 'Standard_D2s_v5'
param coordinatorSize string = 'Standard_B2s'
param applianceImage object = {
  publisher: 'Canonical'
  offer: 'ubuntu-24_04-lts'
  sku: 'server'
  version: 'latest'
}
param coordinatorImage object = applianceImage
@description('Who may reach the coordinators\' API: an address range of your own.')
param operators string = '10.0.9.0/24'

var names = ['a', 'b']
var zones = ['1', '2', '3']

// ---- The network -------------------------------------------------------------------------

// Everything that leaves the applications goes through the active appliance. The next hop is the
// one at the start: from then on it belongs to Pointsman, so deploy this table once.
resource spokeRoutes 'Microsoft.Network/routeTables@2024-03-01' = {
  name: 'rt-apps'
  location: location
  properties: {
    disableBgpRoutePropagation: true
    routes: [
      {
        name: 'default'
        properties: {
          addressPrefix: '0.0.0.0/0'
          nextHopType: 'VirtualAppliance'
          nextHopIpAddress: '10.0.2.4'
        }
      }
    ]
  }
}

resource untrustedRules 'Microsoft.Network/networkSecurityGroups@2024-03-01' = {
  name: 'nsg-untrusted'
  location: location
  properties: {
    securityRules: [
      {
        name: 'web'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRanges: ['80', '443']
        }
      }
    ]
  }
}

resource coordinatorRules 'Microsoft.Network/networkSecurityGroups@2024-03-01' = {
  name: 'nsg-coordinators'
  location: location
  properties: {
    securityRules: [
      {
        name: 'cluster'
        properties: {
          description: 'Coordinators and agents'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefixes: ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24']
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '7401'
        }
      }
      {
        name: 'api'
        properties: {
          description: 'Operators, and followers that forward'
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefixes: ['10.0.0.0/24', operators]
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '7400'
        }
      }
    ]
  }
}

// The coordinators' own way out, to ARM and the token endpoint. It must not be the appliances:
// they would be cut off from Azure at the very moment that they have to move something.
resource natAddress 'Microsoft.Network/publicIPAddresses@2024-03-01' = {
  name: 'pip-coordinators-out'
  location: location
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource nat 'Microsoft.Network/natGateways@2024-03-01' = {
  name: 'nat-coordinators'
  location: location
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: natAddress.id }] }
}

resource network 'Microsoft.Network/virtualNetworks@2024-03-01' = {
  name: 'vnet-dmz'
  location: location
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        // No route table.
        name: 'coordinators'
        properties: {
          addressPrefix: '10.0.0.0/24'
          natGateway: { id: nat.id }
          networkSecurityGroup: { id: coordinatorRules.id }
        }
      }
      {
        name: 'untrusted'
        properties: {
          addressPrefix: '10.0.1.0/24'
          networkSecurityGroup: { id: untrustedRules.id }
        }
      }
      {
        name: 'trusted'
        properties: { addressPrefix: '10.0.2.0/24' }
      }
      {
        name: 'apps'
        properties: {
          addressPrefix: '10.0.3.0/24'
          routeTable: { id: spokeRoutes.id }
        }
      }
    ]
  }
}

// ---- The pair of appliances ----------------------------------------------------------------

resource service 'Microsoft.Network/publicIPAddresses@2024-03-01' = {
  name: 'pip-web'
  location: location
  sku: { name: 'Standard' }
  zones: zones
  properties: { publicIPAllocationMethod: 'Static' }
}

// The public IP starts on appliance a. Like the route, it belongs to Pointsman from then on.
resource untrusted 'Microsoft.Network/networkInterfaces@2024-03-01' = [for (name, i) in names: {
  name: 'nic-fw-${name}-untrusted'
  location: location
  properties: {
    enableIPForwarding: true
    enableAcceleratedNetworking: true
    ipConfigurations: [
      {
        name: 'ipconfig1'
        properties: {
          primary: true
          privateIPAllocationMethod: 'Static'
          privateIPAddress: '10.0.1.${4 + i}'
          subnet: { id: network.properties.subnets[1].id }
          publicIPAddress: i == 0 ? { id: service.id } : null
        }
      }
    ]
  }
}]

resource trusted 'Microsoft.Network/networkInterfaces@2024-03-01' = [for (name, i) in names: {
  name: 'nic-fw-${name}-trusted'
  location: location
  properties: {
    enableIPForwarding: true
    enableAcceleratedNetworking: true
    ipConfigurations: [
      {
        name: 'ipconfig1'
        properties: {
          primary: true
          privateIPAllocationMethod: 'Static'
          privateIPAddress: '10.0.2.${4 + i}'
          subnet: { id: network.properties.subnets[2].id }
        }
      }
    ]
  }
}]

resource appliances 'Microsoft.Compute/virtualMachines@2024-03-01' = [for (name, i) in names: {
  name: 'vm-fw-${name}'
  location: location
  zones: [zones[i]]
  properties: {
    hardwareProfile: { vmSize: applianceSize }
    storageProfile: {
      imageReference: applianceImage
      osDisk: { createOption: 'FromImage', managedDisk: { storageAccountType: 'Premium_LRS' } }
    }
    osProfile: {
      computerName: 'fw-${name}'
      adminUsername: adminName
      linuxConfiguration: {
        disablePasswordAuthentication: true
        ssh: { publicKeys: [{ path: '/home/${adminName}/.ssh/authorized_keys', keyData: sshKey }] }
      }
    }
    networkProfile: {
      networkInterfaces: [
        { id: untrusted[i].id, properties: { primary: true } }
        { id: trusted[i].id, properties: { primary: false } }
      ]
    }
  }
}]

// ---- Three coordinators, one in each zone --------------------------------------------------

// One identity for all three: the role is assigned once, and a coordinator that is replaced has
// it from its first second.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-pointsman'
  location: location
}

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'pointsman')
  properties: {
    roleName: 'Pointsman (${resourceGroup().name})'
    description: 'Moves public IPs and routes between the appliances of this resource group.'
    type: 'CustomRole'
    permissions: [
      {
        actions: loadJsonContent('role.json').Actions
        notActions: []
      }
    ]
    assignableScopes: [resourceGroup().id]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, identity.id, 'pointsman')
  properties: {
    roleDefinitionId: role.id
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource coordinatorNics 'Microsoft.Network/networkInterfaces@2024-03-01' = [for i in range(0, 3): {
  name: 'nic-coordinator-${i + 1}'
  location: location
  properties: {
    ipConfigurations: [
      {
        name: 'ipconfig1'
        properties: {
          privateIPAllocationMethod: 'Static'
          privateIPAddress: '10.0.0.${11 + i}'
          subnet: { id: network.properties.subnets[0].id }
        }
      }
    ]
  }
}]

resource coordinators 'Microsoft.Compute/virtualMachines@2024-03-01' = [for i in range(0, 3): {
  name: 'vm-coordinator-${i + 1}'
  location: location
  zones: [zones[i]]
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    hardwareProfile: { vmSize: coordinatorSize }
    storageProfile: {
      imageReference: coordinatorImage
      // Acknowledged means on disk: give the log a disk that is quick to sync.
      osDisk: { createOption: 'FromImage', managedDisk: { storageAccountType: 'Premium_LRS' } }
    }
    osProfile: {
      computerName: 'coordinator-${i + 1}'
      adminUsername: adminName
      linuxConfiguration: {
        disablePasswordAuthentication: true
        ssh: { publicKeys: [{ path: '/home/${adminName}/.ssh/authorized_keys', keyData: sshKey }] }
      }
    }
    networkProfile: { networkInterfaces: [{ id: coordinatorNics[i].id }] }
  }
}]

// What the configuration needs: see docs/azure.md.
output identityClientId string = identity.properties.clientId
output publicIp string = service.id
output routeTable string = spokeRoutes.id
output targets array = [for i in range(0, 2): '${untrusted[i].id}/ipConfigurations/ipconfig1']
output machines array = [for i in range(0, 2): appliances[i].id]
