/**
 * An account that lives through time on a cloud with simulated machines, at random, and in a model of its bill as well. All
 * happens at whole seconds: the cloud has done what it was asked before the second is over.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import type { LaunchRequest } from '../../src/cloud/instances/launch.ts'
import { defaultMetadataOptions } from '../../src/cloud/instances/metadata-options.ts'
import { homeAt } from '../../src/lib/home.ts'
import { type Random, randomInt } from '../../src/lib/random.ts'
import { createSimulatedDriver } from '../../src/machines/simulated/driver.ts'
import type { PriceSheet } from '../../src/prices/sheet.ts'
import type { Volume } from '../../src/state/volumes.ts'
import { BillModel, type ModelPrice } from './bill-model.ts'
import { LivedTime } from './lived-time.ts'
import { openTestCloud, type TestCloud } from './test-cloud.ts'

const scope = { accountId: '000000000001', region: 'eu-west-1' }
const away = { ...scope, region: 'us-west-2' }
const bucket = 'lived'
const archiveLeast = { seconds: 90 * 86_400, usageType: 'EBS:SnapshotArchiveEarlyDelete' }

export class LivedAccount {
  readonly #random: Random
  readonly #prices: PriceSheet
  readonly #homePath: string
  readonly time: LivedTime
  readonly model: BillModel
  /** What was done, to be read when it went wrong. */
  readonly done: string[] = []
  #process: ReturnType<LivedTime['process']> | undefined
  on!: TestCloud
  /** By key. */
  readonly #objects = new Map<string, number>()
  #deletedSnapshots = new Set<string>()

  private constructor(options: LifeOptions & { homePath: string }) {
    this.#random = options.random
    this.#prices = options.prices
    this.#homePath = options.homePath
    this.time = new LivedTime(options.beginS * 1000)
    this.model = new BillModel(options.modelPrices, options.beginS)
  }

  static async begin(options: LifeOptions): Promise<LivedAccount> {
    const homePath = await mkdtemp(join(tmpdir(), 'kiln-lived-'))
    const account = new LivedAccount({ ...options, homePath })
    await account.#open()
    await account.on.cloud.enter(scope)
    await account.on.cloud.enter(away)
    await account.on.cloud.buckets.create(scope, bucket, { canned: 'private' })
    await account.#rest()
    return account
  }

  async end(): Promise<void> {
    await this.on.close()
    await rm(this.#homePath, { recursive: true, force: true })
  }

  async #open(): Promise<void> {
    this.#process = this.time.process()
    this.on = await openTestCloud({
      ...this.time.options(),
      ...{ clock: this.#process.clock, homePath: this.#homePath, isLive: true, prices: this.#prices },
      // Hydration costs nothing, and takes real time.
      timing: { hydrateAfterMs: Number.MAX_SAFE_INTEGER },
    })
    await this.#rest()
  }

  async #rest(): Promise<void> {
    await this.time.rest(this.on)
    await this.#followSnapshots()
  }

  /** So many seconds go by, seen by the cloud if it is there. */
  async pass(wanted: number): Promise<void> {
    // Much can happen in one second, but not everything.
    const seconds = wanted === 0 && this.time.leftOfSecondMs < 700 ? 1 : wanted
    this.model.pass(seconds)
    if (seconds > 0) this.time.leap(this.model.wallS * 1000 - this.time.now())
    if (this.#process) await this.#rest()
  }

  /** What a snapshot alone has depends on others: it is looked up, and only its price and time are the model's. */
  async #followSnapshots(): Promise<void> {
    for (const place of [scope, away]) {
      const own = await this.on.cloud.snapshots.list(place, { owners: [scope.accountId] })
      for (const { id, state, chargedBytes, dataBytes, storedBytes } of own.items) {
        if (state !== 'completed' || this.#deletedSnapshots.has(id)) continue
        if (place === away) this.model.once(id, 'DataTransfer-Regional-Out', storedBytes!)
        const tier = (await this.on.deps.state.snapshotTiers.get(id))?.tier
        if (tier === 'archive') this.model.useOnly(id, { 'EBS:SnapshotArchiveStorage': dataBytes! })
        else this.model.useOnly(id, { 'EBS:SnapshotUsage': chargedBytes! })
      }
    }
  }

  dice = (sides: number) => randomInt(this.#random, sides)

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.dice(Math.max(1, items.length))]
  }

  async step(): Promise<void> {
    const action = this.pick(this.#actions)!
    this.done.push(`${new Date(this.model.wallS * 1000).toISOString()} ${action.name}`)
    await action.call(this)
    if (this.#process) await this.#rest()
  }

  async #instances(...states: string[]) {
    const { items } = await this.on.cloud.instances.list(scope, {})
    return items.filter(({ state }) => states.includes(state))
  }

  async #volumes(...states: string[]) {
    const { items } = await this.on.cloud.volumes.list(scope, {})
    return items.filter(({ state }) => states.includes(state))
  }

  async #snapshots(place = scope, isArchived = false) {
    const { items } = await this.on.cloud.snapshots.list(place, { owners: [scope.accountId] })
    const tiers = await this.on.deps.state.snapshotTiers.of(items.map(({ id }) => id))
    return items.filter(({ id }) => (tiers.get(id)?.tier === 'archive') === isArchived)
  }

  #useVolume({ id, volumeType, sizeGib, iops, throughput }: VolumeFacts): void {
    this.model.useOnly(id, {
      [`EBS:VolumeUsage.${volumeType}`]: sizeGib,
      ...(volumeType === 'io1' && { 'EBS:VolumeP-IOPS.io1': iops ?? 0 }),
      ...(volumeType === 'gp3' && {
        'EBS:VolumeP-IOPS.gp3': Math.max(0, (iops ?? 3000) - 3000),
        'EBS:VolumeP-Throughput.gp3': Math.max(0, (throughput ?? 125) - 125),
      }),
    })
  }

  #shape() {
    return this.pick([
      { volumeType: 'gp2', sizeGib: 1 + this.dice(90), iops: null, throughput: null },
      {
        volumeType: 'gp3',
        sizeGib: 20 + this.dice(90),
        iops: 3000 + this.dice(3) * 1111,
        throughput: 125 + this.dice(90),
      },
      { volumeType: 'io1', sizeGib: 100 + this.dice(50), iops: 100 + this.dice(900), throughput: null },
    ])!
  }

  readonly #actions: readonly (() => Promise<void>)[] = [
    this.launch,
    this.launch,
    this.stop,
    this.start,
    this.terminate,
    this.createVolume,
    this.deleteVolume,
    this.modifyVolume,
    this.attachOrDetach,
    this.snapshot,
    this.snapshot,
    this.deleteSnapshot,
    this.copySnapshot,
    this.archiveSnapshot,
    this.putObject,
    this.deleteObject,
    this.tag,
    this.killAndOpen,
    this.setClock,
    this.guestSwitchesOff,
  ]

  async launch() {
    if ((await this.#instances('running', 'stopped')).length >= 3) return
    const { cloud, deps } = this.on
    const [seed] = (await cloud.images.list(scope, { owners: ['amazon'] })).items
    const { sizeGib, volumeType, iops, throughput } = this.#shape()
    const wish = { sizeGib, volumeType, iops: iops ?? undefined, throughput: throughput ?? undefined }
    const root = { deviceName: seed!.rootDeviceName!, noDevice: false, ebs: wish }
    const instanceType = this.pick(['t3.nano', 'm1.large'])!
    const [made] = await this.#launched({ imageId: seed!.id, instanceType, devices: [root] })
    await this.#rest()
    const [disk] = await deps.state.volumes.attachmentsOfInstances([made!])
    this.#useVolume({ id: disk!.volumeId, sizeGib, volumeType, iops, throughput })
    await this.#runs(made!, instanceType)
  }

  #launched(about: Pick<LaunchRequest, 'imageId' | 'instanceType' | 'devices'>): Promise<string[]> {
    return this.on.cloud.launches.launch(scope, {
      ...{ minCount: 1, maxCount: 1, keyName: null, profile: null, userData: null, zone: null, subnetId: null },
      ...{ securityGroupIds: [], securityGroupNames: [], privateIp: null, associatePublicIp: null },
      interfaceId: null,
      deletesInterface: true,
      interfaceDescription: '',
      furtherInterfaces: [],
      ...{ shutdownBehavior: 'stop', disableApiTermination: false, disableApiStop: false },
      ...{ ebsOptimized: false, monitoring: false, metadata: defaultMetadataOptions, cpuCredits: null },
      ...{ instanceTags: [], volumeTags: [{ key: 'of', value: 'launch' }], interfaceTags: [] },
      ...about,
    })
  }

  async #nicOf(instanceId: string): Promise<string> {
    return (await this.on.deps.state.networks.interfacesOf([instanceId]))[0]!.id
  }

  async #runs(id: string, instanceType: string): Promise<void> {
    this.model.use(id, `BoxUsage:${instanceType}`, 1)
    this.model.use(await this.#nicOf(id), 'PublicIPv4:InUseAddress', 1)
  }

  async stop() {
    const one = this.pick(await this.#instances('running'))
    if (!one) return
    const nic = await this.#nicOf(one.id)
    await this.on.cloud.instances.stop(scope, [one.id], { force: this.dice(2) === 0 })
    this.model.useOnly(one.id, {})
    this.model.useOnly(nic, {})
  }

  async start() {
    const one = this.pick(await this.#instances('stopped'))
    if (!one) return
    await this.on.cloud.instances.start(scope, [one.id])
    await this.#runs(one.id, one.instanceType)
  }

  async terminate() {
    const one = this.pick(await this.#instances('running', 'stopped'))
    if (!one) return
    const disks = await this.on.deps.state.volumes.attachmentsOfInstances([one.id])
    const nic = await this.#nicOf(one.id)
    await this.on.cloud.instances.terminate(scope, [one.id])
    for (const { volumeId, deleteOnTermination } of disks) if (deleteOnTermination) this.model.useOnly(volumeId, {})
    this.model.useOnly(one.id, {})
    this.model.useOnly(nic, {})
  }

  async createVolume() {
    const shape = this.#shape()
    const { id } = await this.on.cloud.volumeCreations.create(scope, {
      ...{ ...shape, zone: 'eu-west-1a', snapshotId: null, initializationRate: null, multiAttach: false, tags: [] },
      encryption: { encrypted: null, kmsKeyId: null },
    })
    this.#useVolume({ id, ...shape })
  }

  async deleteVolume() {
    const one = this.pick(await this.#volumes('available'))
    if (!one) return
    await this.on.cloud.volumes.delete(scope, one.id)
    this.model.useOnly(one.id, {})
  }

  async modifyVolume() {
    const one = this.pick(await this.#volumes('available', 'in-use'))
    if (!one || one.sizeGib > 300) return
    const shape = this.#shape()
    const sizeGib = one.sizeGib + shape.sizeGib
    await this.on.cloud.volumeModifications.modify(scope, { volumeId: one.id, ...shape, sizeGib, multiAttach: null })
    this.#useVolume({ id: one.id, ...shape, sizeGib })
  }

  async attachOrDetach() {
    const { volumeAttachments } = this.on.cloud
    const [volume, instance] = [
      this.pick(await this.#volumes('available')),
      this.pick(await this.#instances('running')),
    ]
    if (volume && instance && volume.zone === instance.zone) {
      const deviceName = `/dev/sd${this.pick(['f', 'g', 'h', 'i'])}`
      const taken = await this.on.deps.state.volumes.attachmentsOfInstances([instance.id])
      if (taken.some((disk) => disk.deviceName === deviceName)) return
      await volumeAttachments.attach(scope, { volumeId: volume.id, instanceId: instance.id, deviceName })
      return
    }
    const used = instance ? await this.on.deps.state.volumes.attachmentsOfInstances([instance.id]) : []
    const data = this.pick(used.filter((disk) => disk.deviceName !== instance!.rootDeviceName))
    const rest = { instanceId: null, deviceName: null, force: false }
    if (data) await volumeAttachments.detach(scope, { volumeId: data.volumeId, ...rest })
  }

  /** Of a disk to which something was written before. */
  async snapshot() {
    const one = this.pick(await this.#volumes('available', 'in-use'))
    if (!one) return
    await this.#write(one)
    await this.on.cloud.snapshots.create(scope, { volumeId: one.id, description: '', tags: [] })
  }

  async #write({ id }: Volume): Promise<void> {
    const { state, volumesDir } = this.on.deps
    const top = (await state.volumes.layers(id)).at(-1)!
    const place = `${this.dice(400) * 2}M ${1 + this.dice(3)}M`
    await writeLayer([join(volumesDir, id, top.fileName)], [`write -P ${1 + this.dice(250)} ${place}`])
  }

  async deleteSnapshot() {
    const place = this.pick([scope, away])!
    const isArchived = this.dice(3) === 0
    const one = this.pick(await this.#snapshots(place, isArchived))
    if (!one) return
    await this.on.cloud.snapshots.delete(place, one.id)
    this.#deletedSnapshots.add(one.id)
    if (isArchived && one.dataBytes) this.model.leastTime(one.id, 'EBS:SnapshotArchiveStorage', archiveLeast)
    this.model.useOnly(one.id, {})
  }

  async copySnapshot() {
    const one = this.pick(await this.#snapshots())
    if (!one) return
    const encryption = { encrypted: null, kmsKeyId: null }
    const request = { sourceRegion: scope.region, sourceSnapshotId: one.id, description: '', tags: [] }
    await this.on.cloud.snapshots.copy(away, { ...request, encryption })
  }

  async archiveSnapshot() {
    const one = this.pick(await this.#snapshots())
    if (one) await this.on.cloud.snapshotTiers.archive(scope, one.id)
  }

  async putObject() {
    const [key, size] = [`key ${this.dice(4)}`, 1 + this.dice(300_000)]
    const content = Readable.from([Buffer.alloc(size, 7)])
    await this.on.cloud.objects.put(scope.accountId, { bucket, key }, { content })
    this.#objects.set(key, size)
    this.#useObjects()
  }

  async deleteObject() {
    const key = this.pick([...this.#objects.keys()])
    if (!key) return
    await this.on.cloud.objects.remove(scope.accountId, { bucket, key })
    this.#objects.delete(key)
    this.#useObjects()
  }

  #useObjects(): void {
    const bytes = [...this.#objects.values()].reduce((sum, size) => sum + size, 0)
    this.model.use(bucket, 'TimedStorage-ByteHrs', bytes)
  }

  async tag() {
    const one = this.pick([...(await this.#volumes('available', 'in-use')), ...(await this.#instances('running'))])
    if (one) await this.on.cloud.tags.create(scope, [one.id], [{ key: 'team', value: `${this.dice(3)}` }])
  }

  /** The host's clock is set, and the daemon notes that before long. */
  async setClock() {
    const wallS = this.model.wallS + this.pick([-90_000, -7200, -500, -3, 3, 500, 7200, 90_000])!
    this.time.set(wallS * 1000)
    this.model.setClock(wallS)
    await this.on.deps.state.usage.noteClock()
  }

  async guestSwitchesOff() {
    const one = this.pick(await this.#instances('running'))
    if (!one) return
    const nic = await this.#nicOf(one.id)
    await this.on.machines.faults.switchOff(one.id)
    this.model.useOnly(one.id, {})
    this.model.useOnly(nic, {})
  }

  /** As after `kill -9`: nothing is closed. Meanwhile a guest may end, in an order that its machine knows, or without a trace. */
  async killAndOpen() {
    const one = this.pick(await this.#instances('running'))
    const nic = one && (await this.#nicOf(one.id))
    const seenS = Math.floor((await this.on.deps.state.usage.seenAtMs())! / 1000)
    const seenLived = this.model.lived - (this.model.wallS - seenS)
    this.#process!.end()
    this.#process = undefined
    await this.on.deps.state.close()
    await this.pass(this.dice(5000))
    const how = this.dice(3)
    if (one && how > 0) await this.#endAlone(one.id, { isKnown: how === 1, seenLived })
    await this.pass(this.dice(5000))
    await this.#open()
    if (nic && how > 0) this.model.useOnly(nic, {})
  }

  async #endAlone(id: string, { isKnown, seenLived }: { isKnown: boolean; seenLived: number }): Promise<void> {
    const { clock } = this.time.process()
    const alone = await createSimulatedDriver({ machinesDir: homeAt(this.#homePath).machinesDir, clock })
    if (isKnown) await alone.faults.switchOff(id)
    else await alone.faults.vanish(id)
    await alone.close()
    this.model.useOnly(id, {}, isKnown ? this.model.lived : seenLived)
  }
}

export interface LifeOptions {
  random: Random
  prices: PriceSheet
  modelPrices: Readonly<Record<string, ModelPrice>>
  beginS: number
}

type VolumeFacts = Pick<Volume, 'id' | 'volumeType' | 'sizeGib' | 'iops' | 'throughput'>
