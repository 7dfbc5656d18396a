/**
 * A cloud that is always at work, to be killed at any moment: `node restless-cloud.ts HOME SEED`. It says `ready` when it
 * has begun. What it does next follows from the seed.
 */
import { Readable } from 'node:stream'
import { defaultMetadataOptions } from '../../src/cloud/instances/metadata-options.ts'
import { KilnError } from '../../src/lib/errors.ts'
import { randomInt, seededRandom } from '../../src/lib/random.ts'
import { openTestCloud } from '../support/test-cloud.ts'

const [homePath, seed] = process.argv.slice(2) as [string, string]
const random = seededRandom(Number(seed))
const { cloud } = await openTestCloud({ homePath, isLive: true, timing: { shutdownGraceMs: 1000 } })
const scope = { accountId: '000000000001', region: 'eu-west-1' }
await cloud.enter(scope)
const [seedImage] = (await cloud.images.list(scope, { owners: ['amazon'] })).items
const liveMax = 8
const bucket = 'restless'
await cloud.buckets.create(scope, bucket, { canned: 'private' }).catch(unlessRefused)
await cloud.objects.put(
  scope.accountId,
  { bucket, key: 'disk' },
  { content: Readable.from([Buffer.alloc(2 ** 20, 7)]) },
)
const name = (prefix: string) => `${prefix} ${random.bytes(6).toString('hex')}`

function unlessRefused(error: unknown): void {
  if (!(error instanceof KilnError)) throw error
}

function pick<T>(items: readonly T[]): T {
  const item = items[randomInt(random, Math.max(1, items.length))]
  if (item === undefined) throw new KilnError('InvalidParameterValue', 'there is none yet')
  return item
}

const instance = async () => {
  const { items } = await cloud.instances.list(scope, {})
  return pick(items.filter((row) => row.state !== 'terminated')).id
}
const volume = async () => pick((await cloud.volumes.list(scope, {})).items)
const ownImage = async () => pick((await cloud.images.list(scope, { owners: [scope.accountId] })).items).id

async function launch(imageId: string): Promise<void> {
  const { items } = await cloud.instances.list(scope, {})
  if (items.filter((row) => row.state !== 'terminated').length >= liveMax) return
  const data = {
    deviceName: '/dev/sdf',
    noDevice: false,
    ebs: { sizeGib: 1, deleteOnTermination: pick([true, false]), encrypted: pick([undefined, true]) },
  }
  const encryptedRoot = { deviceName: '/dev/xvda', noDevice: false, ebs: { encrypted: true } }
  await cloud.launches.launch(scope, {
    ...{
      imageId,
      instanceType: 't3.nano',
      minCount: 1,
      maxCount: 2,
      keyName: null,
      profile: null,
      userData: null,
      zone: null,
    },
    ...{ subnetId: null, securityGroupIds: [], securityGroupNames: [], privateIp: null, associatePublicIp: null },
    interfaceId: null,
    deletesInterface: true,
    interfaceDescription: '',
    furtherInterfaces: [],
    ...{
      devices: pick([[], [data], [encryptedRoot]]),
      shutdownBehavior: 'stop',
      disableApiTermination: false,
      disableApiStop: false,
    },
    ...{ ebsOptimized: false, monitoring: false, metadata: defaultMetadataOptions, cpuCredits: null },
    ...{ instanceTags: [], volumeTags: [], interfaceTags: [{ key: 'a', value: 'b' }] },
  })
}

const actions: (() => Promise<unknown>)[] = [
  () => launch(seedImage!.id),
  () => launch(seedImage!.id),
  async () => launch(await ownImage()),
  async () => cloud.instances.stop(scope, [await instance()], { force: pick([true, false]) }),
  async () => cloud.instances.start(scope, [await instance()]),
  async () => cloud.instances.reboot(scope, [await instance()]),
  async () => cloud.instances.terminate(scope, [await instance()]),
  async () => {
    const request = {
      instanceId: await instance(),
      name: name('image'),
      description: null,
      noReboot: pick([true, false]),
    }
    await cloud.images.create(scope, { ...request, devices: [], imageTags: [], snapshotTags: [] })
  },
  async () => {
    const volumeId = (await volume()).id
    await cloud.snapshots.create(scope, { volumeId, description: '', tags: [] })
  },
  async () => cloud.volumes.delete(scope, (await volume()).id),
  async () => cloud.images.deregister(scope, await ownImage(), pick([true, false])),
  async () => {
    const snapshots = (await cloud.snapshots.list(scope, {})).items.filter((row) => row.state === 'completed')
    const source = pick([null, pick(snapshots)])
    const shape = {
      encryption: { encrypted: pick([null, true]), kmsKeyId: null },
      initializationRate: source && pick([null, 100]),
      multiAttach: false,
      volumeType: null,
      iops: null,
      throughput: null,
      tags: [],
    }
    const about = { zone: 'eu-west-1a', sizeGib: source?.sizeGib ?? 1, snapshotId: source?.id ?? null }
    await cloud.volumeCreations.create(scope, { ...about, ...shape })
  },
  async () => {
    const volumeId = (await volume()).id
    const deviceName = `/dev/sd${pick(['h', 'i', 'j'])}`
    await cloud.volumeAttachments.attach(scope, { volumeId, instanceId: await instance(), deviceName })
  },
  async () => {
    const volumeId = (await volume()).id
    const rest = { instanceId: null, deviceName: null, force: pick([true, false]) }
    await cloud.volumeAttachments.detach(scope, { volumeId, ...rest })
  },
  async () => {
    const { id: volumeId, sizeGib } = await volume()
    if (sizeGib > 8) return
    const rest = { volumeType: null, iops: null, throughput: null, multiAttach: null }
    await cloud.volumeModifications.modify(scope, { volumeId, sizeGib: sizeGib + 1, ...rest })
  },
  async () => {
    const snapshots = (await cloud.snapshots.list(scope, {})).items.filter((row) => row.state === 'completed')
    const request = { sourceRegion: scope.region, sourceSnapshotId: pick(snapshots).id, description: '', tags: [] }
    await cloud.snapshots.copy(scope, { ...request, encryption: { encrypted: pick([null, true]), kmsKeyId: null } })
  },
  async () => cloud.hydration.hydrate(await volume()),
  async () => {
    const shape = { sizeGib: null, volumeType: null, iops: null, throughput: null, multiAttach: false, tags: [] }
    const encryption = { encrypted: null, kmsKeyId: null }
    await cloud.volumeCopies.create(scope, { sourceVolumeId: (await volume()).id, encryption, ...shape })
  },
  async () => {
    const source = { snapshotId: null, imageId: pick([null, seedImage!.id]), volumeId: null }
    const rest = { initializationRate: pick([null, 100]), deletesOld: pick([true, false]), tags: [] }
    await cloud.rootReplacements.create(scope, { instanceId: await instance(), ...source, ...rest })
  },
  async () => {
    const own = (await cloud.snapshots.list(scope, { owners: [scope.accountId] })).items
    const request = { snapshotIds: [pick(own).id], zones: ['eu-west-1a'] }
    await pick([cloud.fastRestores.enable, cloud.fastRestores.disable]).call(cloud.fastRestores, scope, request)
  },
  async () => {
    const container = { description: null, format: 'raw' as const, deviceName: null, object: { bucket, key: 'disk' } }
    const encryption = { encrypted: pick([null, true]), kmsKeyId: null }
    await cloud.transfers.imports.importSnapshot(scope, { container, description: null, encryption, tags: [] })
  },
  async () => {
    const own = (await cloud.snapshots.list(scope, { owners: [scope.accountId] })).items
    await cloud.snapshots.delete(scope, pick(own).id)
  },
  // Without any grace: whatever nothing needs at this moment goes.
  () => cloud.collection.collect({ graceMs: 0 }),
]

console.log('ready')
for (;;) {
  await pick(actions)().catch(unlessRefused)
  await new Promise((resolve) => setTimeout(resolve, randomInt(random, 60)))
}
