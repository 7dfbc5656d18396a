/** An account that works with encrypted volumes on a test cloud, and waits for what becomes of them. */
import {
  CopySnapshotCommand,
  type CopySnapshotCommandInput,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DescribeVolumesCommand,
  type Snapshot,
  type Volume,
} from '@aws-sdk/client-ec2'
import { beforeAll } from 'vitest'
import type { KeyView } from '../../src/cloud/encryption/named-keys.ts'
import { gib } from '../../src/cloud/volumes/volume-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { type Caller, callerOf } from './caller.ts'
import { DirectSnapshots } from './direct-snapshots.ts'
import { type ServedCloud, useServedCloud } from './served-cloud.ts'

const region = 'eu-west-1'
const zone = 'eu-west-1a'

export interface EncryptionStage {
  caller: Caller
  direct: DirectSnapshots
  encryption: ReturnType<typeof encryptionOf>
}

/** A live cloud for all tests of a file, and the account on it. The stage is set once their file has begun. */
export function useEncryption(owner: string): { served: () => ServedCloud; on: Readonly<EncryptionStage> } {
  const served = useServedCloud({ isLive: true })
  const on = {} as EncryptionStage
  beforeAll(async () => {
    on.caller = await callerOf(served(), owner)
    on.direct = new DirectSnapshots(served().ebs(owner), on.caller.ec2)
    on.encryption = encryptionOf(served(), owner, on.caller, on.direct)
  })
  return { served, on }
}

export function encryptionOf(served: ServedCloud, owner: string, caller: Caller, direct: DirectSnapshots) {
  const newKey = (alias: string | null = null, scope = { accountId: owner, region }): Promise<KeyView> =>
    served.cloud.encryptionKeys.create(scope, { description: '', alias })

  async function volume(more: Partial<CreateVolumeCommandInput> = {}, who = caller): Promise<Volume> {
    const input = { AvailabilityZone: zone, ...(more.SnapshotId ? {} : { Size: 1 }), ...more }
    const made = await who.ec2.send(new CreateVolumeCommand(input))
    await settledVolume(made.VolumeId!, who)
    return made
  }

  async function settledVolume(id: string, who = caller): Promise<Volume> {
    const found = await waitFor(
      systemClock,
      async () => {
        const { Volumes } = await who.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))
        return Volumes![0]!.State === 'creating' ? undefined : Volumes![0]!
      },
      { everyMs: 30, timeoutMs: 20_000 },
    )
    return found!
  }

  async function snapshotOf(volumeId: string): Promise<Snapshot> {
    const { SnapshotId } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
    return await direct.settled(SnapshotId!)
  }

  /** Another account's or region's snapshot, once it is no longer pending. */
  async function settledFor(ec2: Caller['ec2'], id: string): Promise<Snapshot> {
    return await new DirectSnapshots(direct.ebs, ec2).settled(id)
  }

  async function copy(source: string, more: Partial<CopySnapshotCommandInput> = {}, who = caller): Promise<Snapshot> {
    const input = { SourceRegion: region, SourceSnapshotId: source, ...more }
    const { SnapshotId } = await who.ec2.send(new CopySnapshotCommand(input))
    return await settledFor(who.ec2, SnapshotId!)
  }

  /** Writes to a volume at rest, as a guest would have: what lies on the host is sealed by QEMU itself. */
  async function writeTo(volumeId: string, command: string): Promise<void> {
    const { deps, cloud } = served
    const row = (await deps.state.volumes.get(volumeId))!
    const chain = await cloud.volumes.disks.chain(row)
    const disk = await deps.disks.openForWriting(chain.layers.at(-1)!, row.sizeGib * gib, chain.key!)
    try {
      const image = `driver=nbd,server.type=unix,server.path=${disk.socketPath},export=${disk.exportName}`
      await run('qemu-io', ['-c', command, '--image-opts', image])
    } finally {
      await disk.close()
    }
  }

  const storedBytes = async (id: string) => (await served.deps.state.snapshots.get(id))!.storedBytes!
  const rootOf = async (id: string) => (await served.deps.state.snapshots.get(id))!.rootHash
  const managedArn = async (scope = { accountId: owner, region }) =>
    `arn:aws:kms:${scope.region}:${scope.accountId}:key/${(await served.cloud.encryptionKeys.managed(scope)).id}`

  return { newKey, volume, settledVolume, snapshotOf, settledFor, copy, writeTo, storedBytes, rootOf, managedArn }
}
