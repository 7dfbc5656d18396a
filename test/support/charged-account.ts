/**
 * An account whose snapshots are made, copied, archived and deleted by the official clients, and in a model as well, which
 * tells what each must be charged for.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopySnapshotCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  ModifySnapshotTierCommand,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { beforeAll, beforeEach, expect } from 'vitest'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import type { Snapshot } from '../../src/state/snapshots.ts'
import { type Caller, callerOf } from './caller.ts'
import { ChargeModel, type ModelSnapshot, type Texts } from './charge-model.ts'
import { blockBytes, blockOf, DirectSnapshots, diskOf } from './direct-snapshots.ts'
import { type MovingClock, movingClock } from './moving-clock.ts'
import { type ServedCloud, useServedCloud } from './served-cloud.ts'

export const account = '000000000001'
/** Where snapshots are made, and where they are copied to. */
export const [region, away] = ['eu-west-1', 'us-west-2']
export const place = `${account} ${region}`

export interface ModelVolume {
  id: string
  texts: Texts
  /** The newest snapshot of it, or the one that it was made of. */
  origin: ModelSnapshot | null
}

/** A live cloud for all tests of a file, and a new model for each. */
export function useChargedAccount(): ChargedAccount {
  const charged = new ChargedAccount()
  beforeAll(() => charged.open())
  beforeEach(() => {
    charged.model = new ChargeModel()
  })
  return charged
}

export class ChargedAccount {
  readonly clock: MovingClock = movingClock()
  /** How often blocks of two snapshots were compared. */
  measured = 0
  /** What a test puts before the comparing of blocks. */
  beforeMeasuring: (() => Promise<void>) | null = null
  /** What a test puts before the reading of a volume. */
  beforeCapture: (() => Promise<void>) | null = null
  model = new ChargeModel()
  caller!: Caller
  direct!: DirectSnapshots
  readonly served: () => ServedCloud

  constructor() {
    const wrapBlocks = (blocks: SnapshotBlocks): SnapshotBlocks => ({
      ...blocks,
      capture: async (request, progress) => {
        await this.beforeCapture?.()
        return await blocks.capture(request, progress)
      },
      ownBytes: async (request) => {
        this.measured++
        await this.beforeMeasuring?.()
        return await blocks.ownBytes(request)
      },
    })
    this.served = useServedCloud({ isLive: true, clock: this.clock, wrapBlocks })
  }

  async open(): Promise<void> {
    this.caller = await callerOf(this.served(), account)
    this.direct = new DirectSnapshots(this.served().ebs(account), this.caller.ec2)
  }

  async row(id: string): Promise<Snapshot> {
    return (await this.served().deps.state.snapshots.get(id))!
  }

  /** What the state has of every snapshot that is there must be what the model says. */
  async expectCharges(): Promise<void> {
    const charges = this.model.charges()
    const rows = await this.served().deps.state.snapshots.many(Object.keys(charges))
    expect(Object.fromEntries(rows.map(({ id, chargedBytes }) => [id, chargedBytes]))).toEqual(charges)
  }

  /** In blocks, so that a test can be read. */
  chargedBlocks(...snapshots: ModelSnapshot[]): Promise<number[]> {
    return Promise.all(snapshots.map(async ({ id }) => (await this.row(id)).chargedBytes! / blockBytes))
  }

  async upload(texts: Texts, origin: ModelSnapshot | null = null): Promise<ModelSnapshot> {
    const id = await this.direct.make(diskOf(texts), { ParentSnapshotId: origin?.id })
    return this.model.add({ id, place, texts: { ...origin?.texts, ...texts }, origin })
  }

  async volumeOf(snapshot: ModelSnapshot): Promise<ModelVolume> {
    const request = { AvailabilityZone: `${region}a`, SnapshotId: snapshot.id }
    const { VolumeId: id } = await this.caller.ec2.send(new CreateVolumeCommand(request))
    const waiting = { client: this.caller.ec2, minDelay: 1, maxDelay: 1, maxWaitTime: 30 }
    await waitUntilVolumeAvailable(waiting, { VolumeIds: [id!] })
    return { id: id!, texts: snapshot.texts, origin: snapshot }
  }

  /** What a guest would write: into the file that the volume is written to now. */
  async write(volume: ModelVolume, texts: Texts): Promise<void> {
    const { state, volumesDir } = this.served().deps
    const top = (await state.volumes.layers(volume.id)).at(-1)!
    const content = join(volumesDir, 'content')
    for (const [index, text] of Object.entries(texts)) {
      await writeFile(content, blockOf(text))
      const command = `write -s ${content} ${Number(index) * blockBytes} ${blockBytes}`
      await writeLayer([join(volumesDir, volume.id, top.fileName)], [command])
    }
    await rm(content)
    volume.texts = { ...volume.texts, ...texts }
  }

  async snapshotOf(volume: ModelVolume): Promise<ModelSnapshot> {
    const { SnapshotId: id } = await this.caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volume.id }))
    await this.direct.settled(id!)
    volume.origin = this.model.add({ id: id!, place, texts: volume.texts, origin: volume.origin })
    return volume.origin
  }

  async copy(
    source: ModelSnapshot,
    { to = away, by = account, ...about }: { to?: string; by?: string; Encrypted?: boolean; key?: string } = {},
  ): Promise<ModelSnapshot> {
    const ec2 = this.served().client(by, to)
    const { key, Encrypted } = about
    const sourceRegion = source.place.split(' ')[1]!
    const request = { SourceSnapshotId: source.id, SourceRegion: sourceRegion, Encrypted }
    const { SnapshotId: id } = await ec2.send(new CopySnapshotCommand(request))
    await new DirectSnapshots(this.served().ebs(by, to), ec2).settled(id!)
    const facts = { id: id!, place: `${by} ${to}`, texts: source.texts, copiedFrom: source }
    return this.model.add(key === undefined ? facts : { ...facts, key })
  }

  async remove(snapshot: ModelSnapshot): Promise<void> {
    const [by, from] = snapshot.place.split(' ') as [string, string]
    const client = this.served().client(by, from)
    await client.send(new DeleteSnapshotCommand({ SnapshotId: snapshot.id }))
    this.model.delete(snapshot)
  }

  async archive(snapshot: ModelSnapshot): Promise<void> {
    const request = { SnapshotId: snapshot.id, StorageTier: 'archive' as const }
    await this.caller.ec2.send(new ModifySnapshotTierCommand(request))
    await this.caller.quiet()
    const tier = await this.served().deps.state.snapshotTiers.get(snapshot.id)
    expect(tier?.operationStatus).toBe('archival-completed')
    this.model.archive(snapshot)
  }

  /** Three snapshots of a volume that was made of another. */
  async chain() {
    const base = await this.upload({ 0: 'a', 1: 'b', 1500: 'c' })
    const volume = await this.volumeOf(base)
    await this.write(volume, { 1: 'B', 2: 'd' })
    const first = await this.snapshotOf(volume)
    await this.write(volume, { 1: 'B again', 3: 'e' })
    const second = await this.snapshotOf(volume)
    await this.write(volume, { 2: 'D', 1501: 'f' })
    const third = await this.snapshotOf(volume)
    return { base, volume, first, second, third }
  }
}
