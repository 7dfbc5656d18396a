/** The rows of what a scenario has. Nothing stands behind them: no machine, no disk, no block. */
import type { Instance } from '../../../state/instances.ts'
import type { NetworkInterface } from '../../../state/networks.ts'
import type { Snapshot } from '../../../state/snapshots.ts'
import type { Volume, VolumeLayer } from '../../../state/volumes.ts'
import type { ScenarioInstance, ScenarioVolume } from './scenario.ts'

/** Whose it is, where, and since when (ms). */
export interface RowPlace {
  accountId: string
  region: string
  nowMs: number
}

const network = { vpcId: 'vpc-00000000000000000', subnetId: 'subnet-00000000000000000' }

export function instanceRow(
  id: string,
  { instanceType, root }: Pick<ScenarioInstance, 'instanceType' | 'root'>,
  { accountId, region, nowMs }: RowPlace,
): Instance {
  return {
    ...{ id, accountId, region, zone: `${region}a`, ...network, reservationId: `r-${id.slice(2)}`, launchIndex: 0 },
    ...{ imageId: 'ami-00000000000000000', instanceType, architecture: 'x86_64', state: 'running' },
    ...{ stateReasonCode: null, stateReasonMessage: null, stateTransitionReason: '', heldBy: null },
    ...{ reachability: 'passed', reachabilityAt: nowMs, keyName: null, userData: null },
    ...{ rootDeviceName: '/dev/xvda', rootDeviceType: root ? 'ebs' : 'instance-store', virtualizationType: 'hvm' },
    ...{ bootMode: null, platformDetails: 'Linux/UNIX', enaSupport: 1, ebsOptimized: 0, monitoring: 0 },
    ...{ disableApiTermination: 0, disableApiStop: 0, shutdownBehavior: 'stop' },
    ...{ httpTokens: 'optional', httpEndpoint: 'enabled', httpPutResponseHopLimit: 1 },
    ...{ instanceMetadataTags: 'disabled', cpuCredits: null, clientToken: null, spotRequestId: null },
    ...{ launchedAt: nowMs, createdAt: nowMs, terminatedAt: null },
  }
}

export function interfaceRow(
  id: string,
  { instanceId, publicIp }: Pick<NetworkInterface, 'instanceId' | 'publicIp'>,
  { accountId, region, nowMs }: RowPlace,
): NetworkInterface {
  return {
    ...{ id, accountId, region, zone: `${region}a`, ...network, instanceId, publicIp },
    ...{ allocationId: null, associationId: null },
    ...{ attachmentId: `eni-attach-${id.slice(4)}`, mac: id.slice(4), privateIp: id.slice(4) },
    ...{ kind: 'interface', description: '', sourceDestCheck: 1, attachedAt: nowMs },
    ...{ deviceIndex: 0, attachmentState: 'attached' },
    ...{ deleteOnTermination: 1, createdAt: nowMs },
  }
}

export function volumeRow(
  id: string,
  about: Pick<ScenarioVolume, 'sizeGib' | 'volumeType' | 'iops' | 'throughput'>,
  { accountId, region, nowMs }: RowPlace,
): Volume {
  const { sizeGib, volumeType, iops, throughput } = about
  return {
    ...{ id, accountId, region, zone: `${region}a`, sizeGib, volumeType, iops, throughput, encrypted: 0 },
    ...{ dataKeyId: null, snapshotId: null, baseRoot: null, baseDataKeyId: null, hydratedAt: null },
    ...{ autoEnableIo: 0, sourceVolumeId: null, initializationRate: null, fastRestored: 0, multiAttach: 0 },
    ...{ state: 'available', createdAt: nowMs },
  }
}

export const layerRow = (volumeId: string): VolumeLayer => ({
  ...{ volumeId, seq: 0, fileName: 'none', snapshotId: null, isMade: 0 },
})

export function snapshotRow(
  id: string,
  about: { volumeId: string; sizeGib: number; dataBytes: number; chargedBytes: number; parentId: string | null },
  { accountId, region, nowMs }: RowPlace,
): Snapshot {
  const { volumeId, sizeGib, dataBytes, chargedBytes, parentId } = about
  return {
    ...{ id, accountId, ownerAlias: null, region, volumeId, sizeGib, state: 'completed', stateMessage: null },
    ...{ progress: 100, description: '', encrypted: 0, dataKeyId: null, rootHash: null, dataBytes },
    ...{ storedBytes: chargedBytes, chargeParentId: parentId, chargedBytes, copiedFromId: null },
    ...{ startedAt: nowMs, completedAt: nowMs },
  }
}
