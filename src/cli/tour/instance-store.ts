/** The walk through the instance store: what it does differently is shown beside an EBS-backed instance of the same type. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Image } from '@aws-sdk/client-ec2'
import { createIdentity } from '../../bundles/identity.ts'
import { systemClock } from '../../lib/clock.ts'
import { Ec2Error } from '../client.ts'
import { duration } from '../render.ts'
import { comparison, type Measured } from './comparison.ts'
import {
  boots,
  type Doors,
  imageAvailable,
  launch,
  launchToLogin,
  login,
  type Machine,
  stopped,
  terminated,
  volumeIs,
} from './moves.ts'
import { accountId, regions, type Tour, uniqueText } from './tour.ts'
import { everythingDown, keyAndDoor, ownKiln, type Step, type Walk } from './walk.ts'

/** What steps hand on; each reads only what those before it wrote. */
interface Seen extends Doors, Measured {
  /** The public images. */
  ebsImage: { id: string; rootDevice: string }
  storeImageId: string
  /** The one that bundles itself, two of its bundle, and the EBS-backed one. */
  maker: Machine
  child: Machine
  sibling: Machine
  backed: Machine
  certificatePath: string
  privateKeyPath: string
  goldenId: string
  volumeId: string
  /** What the image is made for, what a guest writes into its root, and into the volume. */
  text: string
  rootText: string
  volumeText: string
}

const region = regions.first
/** Of the first generation, as instance-store images were; both kinds of root run on it. */
const type = 'm1.small'
const golden = '/home/ec2-user/golden.txt'
const kept = '/home/ec2-user/kept.txt'
const guestHome = '/home/ec2-user'
const bucket = 'tour-images'
const location = `${bucket}/golden/golden.manifest.xml`
/** MiB of the bundled file system: Kiln Linux and little more, because every block of it is hashed, packed and sealed. */
const bundledMib = 192
/** Shell text; D is the disk. The first disk of the instance store is at /mnt already. */
const mount = 'sudo mkdir -p /data && sudo mount $D /data'
const bundledWithinMs = 300_000
const rebootedWithinMs = 120_000

const steps: readonly Step<Seen>[] = [
  ownKiln,
  {
    title: 'Two images to begin with: one with its root in a snapshot, one in a bundle',
    async run(tour, seen) {
      const { Images: images = [] } = await tour.call(region, 'DescribeImages', { Owners: ['amazon'] })
      const ebs = publicImage(images, 'ebs')
      const store = publicImage(images, 'instance-store')
      seen.ebsImage = { id: ebs.ImageId!, rootDevice: ebs.RootDeviceName! }
      seen.storeImageId = store.ImageId!
      return `${ebs.ImageId} is EBS-backed; ${store.ImageId} is instance store-backed, its bundle is ${store.ImageLocation}.`
    },
  },
  keyAndDoor,
  {
    title: 'What types have of the instance store',
    async run(tour, seen) {
      const wish = { Filters: [{ Name: 'instance-storage-supported', Values: ['true'] }] }
      const { InstanceTypes: types = [] } = await tour.call(region, 'DescribeInstanceTypes', wish)
      const sizes = types.map((one) => ({
        type: String(one.InstanceType),
        gb: one.InstanceStorageInfo?.TotalSizeInGB ?? 0,
      }))
      const own = sizes.find((one) => one.type === type)
      if (!own) throw new Error(`${type} has no instance store`)
      seen.type = own
      seen.largestType = sizes.reduce((best, one) => (one.gb > best.gb ? one : best))
      return `${type} has ${own.gb} GB beside its root; the most has ${seen.largestType.type}: ${seen.largestType.gb} GB.`
    },
  },
  {
    title: 'An instance store-backed instance',
    async run(tour, seen) {
      const wish = { ImageId: seen.storeImageId, InstanceType: type } as const
      const { machine, tookMs } = await launchToLogin(tour, seen, region, wish)
      if (machine.rootVolumeId) throw new Error(`${machine.id} has the volume ${machine.rootVolumeId} for its root`)
      seen.maker = machine
      return `${machine.id} at ${machine.address} has no volume at all, and took a login after ${duration(tookMs)}.`
    },
  },
  {
    title: 'A certificate to sign bundles with',
    async run(tour, seen) {
      seen.certificatePath = join(tour.home.root, 'cert.pem')
      seen.privateKeyPath = join(tour.home.root, 'key.pem')
      const { certificatePath: out, privateKeyPath: keyOut } = seen
      tour.show(`openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tour -keyout ${keyOut} -out ${out}`)
      const pair = await createIdentity({ commonName: 'tour', serialNumber: '01', nowMs: systemClock.now() })
      await writeFile(out, pair.certificate)
      await writeFile(keyOut, pair.privateKey, { mode: 0o600 })
      const id = await tour.kiln('cert', 'add', out)
      for (const [path, name] of [[out, 'cert.pem'] as const, [keyOut, 'key.pem'] as const]) {
        await tour.sshWith(login(seen, seen.maker), path, `umask 077; cat > ${name}`)
      }
      return `The account signs with ${id}; ${seen.maker.id} has the certificate and its key.`
    },
  },
  {
    title: 'From within, its root becomes a bundle in S3',
    async run(tour, seen) {
      seen.text = uniqueText()
      await tour.makeBucket(bucket)
      const there = login(seen, seen.maker)
      const startedAtMs = performance.now()
      await tour.ssh(there, `echo ${seen.text} > ${golden} && sync`)
      const pair = `-k ${guestHome}/key.pem -c ${guestHome}/cert.pem`
      const tools = [
        `ec2-bundle-vol ${pair} -u ${accountId} -r x86_64 -s ${bundledMib} -d /tmp -p golden --batch`,
        `ec2-upload-bundle -b ${bucket}/golden -m /tmp/golden.manifest.xml -a ${accountId} -s kiln --region ${region} --batch --retry`,
      ]
      for (const tool of tools) await tour.ssh(there, `sudo -i -n ${tool}`, { timeoutMs: bundledWithinMs })
      seen.store = { creationMs: performance.now() - startedAtMs, bootMs: 0, outcome: '' }
      return `${location}: made and uploaded with the EC2 AMI tools in ${duration(seen.store.creationMs)}.`
    },
  },
  {
    title: 'The bundle, registered',
    async run(tour, seen) {
      const startedAtMs = performance.now()
      const wish = { Name: 'tour-golden', ImageLocation: location }
      const { ImageId: id } = await tour.call(region, 'RegisterImage', wish)
      await imageAvailable(tour, region, id!)
      seen.store.creationMs += performance.now() - startedAtMs
      seen.goldenId = id!
      return `${id} is available: signature, keys and every part are verified.`
    },
  },
  {
    title: 'Two instances from it have the file',
    async run(tour, seen) {
      const wish = { ImageId: seen.goldenId, InstanceType: type } as const
      const { machine, tookMs } = await launchToLogin(tour, seen, region, wish)
      seen.store.bootMs = tookMs
      seen.child = machine
      const [sibling] = await launch(tour, seen, region, wish, 1)
      seen.sibling = sibling!
      for (const each of [machine, sibling!]) await find(tour, seen, each, `cat ${golden}`, seen.text)
      return `${machine.id} and ${sibling!.id} have "${seen.text}"; the first, which fetched and unpacked the bundle, took a login after ${duration(tookMs)}.`
    },
  },
  {
    title: 'It cannot be stopped',
    async run(tour, seen) {
      const wish = { InstanceIds: [seen.child.id] }
      const refusal = await tour.call(region, 'StopInstances', wish).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (!(refusal instanceof Ec2Error) || refusal.code !== 'UnsupportedOperation') {
        throw new Error(`StopInstances was not refused with UnsupportedOperation: ${String(refusal)}`)
      }
      seen.stopRefusal = refusal.code
      return `EC2 refuses: ${refusal.message}`
    },
  },
  {
    title: 'A reboot keeps what it wrote',
    async run(tour, seen) {
      const there = login(seen, seen.child)
      seen.rootText = uniqueText()
      await tour.ssh(there, `echo ${seen.rootText} > ${kept} && sync`)
      const bootIdOf = 'cat /proc/sys/kernel/random/boot_id'
      const before = await tour.ssh(there, bootIdOf)
      await tour.call(region, 'RebootInstances', { InstanceIds: [seen.child.id] })
      await tour.sshUntil(there, bootIdOf, (bootId) => bootId !== before, rebootedWithinMs)
      await find(tour, seen, seen.child, `cat ${kept}`, seen.rootText)
      return `It booted anew, and ${kept} still says "${seen.rootText}".`
    },
  },
  {
    title: 'A volume beside the root, for what shall last',
    async run(tour, seen) {
      const { Reservations: found } = await tour.call(region, 'DescribeInstances', { InstanceIds: [seen.child.id] })
      const zone = found?.[0]?.Instances?.[0]?.Placement?.AvailabilityZone
      const { VolumeId: id } = await tour.call(region, 'CreateVolume', { AvailabilityZone: zone, Size: 1 })
      seen.volumeId = id!
      seen.volumeText = uniqueText()
      await volumeIs(tour, region, id!, 'available')
      await attach(tour, seen, seen.child)
      const write = `sudo mke2fs -q $D && ${mount} && echo ${seen.volumeText} | sudo tee /data/file && sudo umount /data`
      await tour.ssh(login(seen, seen.child), `${diskOf(id!)}; ${write}`)
      return `${id} is attached, and a file on it says "${seen.volumeText}".`
    },
  },
  {
    title: 'Terminate: what the root held is gone, from the disk too',
    async run(tour, seen) {
      const folder = join(tour.home.instanceStoreDir, seen.child.id)
      if (!existsSync(folder)) throw new Error(`${seen.child.id} had no ${folder}`)
      await tour.call(region, 'TerminateInstances', { InstanceIds: [seen.child.id] })
      await terminated(tour, region, [seen.child.id])
      tour.show(`ls ${folder}`)
      if (existsSync(folder)) throw new Error(`${folder} is still there`)
      seen.store.outcome = `terminated ${seen.child.id}: its root's file is gone from this disk`
      return `${folder}, where its root lay, does not exist any more.`
    },
  },
  {
    title: 'The volume outlived it, and another instance finds its file',
    async run(tour, seen) {
      await volumeIs(tour, region, seen.volumeId, 'available')
      await attach(tour, seen, seen.sibling)
      const read = `${diskOf(seen.volumeId)}; ${mount} && cat /data/file`
      await find(tour, seen, seen.sibling, read, seen.volumeText)
      return `${seen.sibling.id} reads "${seen.volumeText}" from ${seen.volumeId}.`
    },
  },
  {
    title: 'Beside it, an EBS-backed instance of the same type',
    async run(tour, seen) {
      const { id, rootDevice } = seen.ebsImage
      const devices = [{ DeviceName: rootDevice, Ebs: { DeleteOnTermination: false } }]
      const wish = { ImageId: id, InstanceType: type, BlockDeviceMappings: devices } as const
      const { machine, tookMs } = await launchToLogin(tour, seen, region, wish)
      seen.backed = machine
      seen.ebs = { creationMs: 0, bootMs: tookMs, outcome: '' }
      await tour.ssh(login(seen, machine), `echo ${seen.rootText} > ${kept} && sync`)
      return `${machine.id} at ${machine.address} took a login after ${duration(tookMs)}; its root is ${machine.rootVolumeId}.`
    },
  },
  {
    title: 'It stops, starts, and has its file',
    async run(tour, seen) {
      const { id } = seen.backed
      const startedAtMs = performance.now()
      await tour.call(region, 'StopInstances', { InstanceIds: [id] })
      await stopped(tour, region, id)
      await tour.call(region, 'StartInstances', { InstanceIds: [id] })
      const [machine] = await boots(tour, region, [id])
      seen.backed = machine!
      await find(tour, seen, machine!, `cat ${kept}`, seen.rootText)
      seen.stopStartMs = performance.now() - startedAtMs
      return `${kept} still says "${seen.rootText}".`
    },
  },
  {
    title: 'An image of it is one command',
    async run(tour, seen) {
      const wish = { InstanceId: seen.backed.id, Name: 'tour-backed', NoReboot: true }
      const startedAtMs = performance.now()
      const { ImageId: id } = await tour.call(region, 'CreateImage', wish)
      await imageAvailable(tour, region, id!)
      seen.ebs.creationMs = performance.now() - startedAtMs
      return `${id} is available after ${duration(seen.ebs.creationMs)}.`
    },
  },
  {
    title: 'Terminate all but one: the EBS-backed root is left',
    async run(tour, seen) {
      const ids = [seen.maker, seen.backed].map((machine) => machine.id)
      await tour.call(region, 'TerminateInstances', { InstanceIds: ids })
      await terminated(tour, region, ids)
      const root = seen.backed.rootVolumeId!
      await volumeIs(tour, region, root, 'available')
      seen.ebs.outcome = `terminated ${seen.backed.id}: its root ${root} is still available`
      return `${ids.length} instances are terminated; ${root}, launched with DeleteOnTermination=false, is available. ${seen.sibling.id} runs on.`
    },
  },
  everythingDown,
]

export const instanceStore: Walk<Seen> = {
  heading: 'Instances whose roots last as long as they do, on real virtual machines',
  steps,
  conclusion: comparison,
}

function publicImage(images: readonly Image[], rootDeviceType: string): Image {
  const found = images.find((one) => one.Name?.startsWith('kiln-linux-') && one.RootDeviceType === rootDeviceType)
  if (found) return found
  throw new Error(`there is no public image of type ${rootDeviceType} whose name begins with kiln-linux-`)
}

async function attach(tour: Tour, seen: Seen, machine: Machine): Promise<void> {
  const wish = { VolumeId: seen.volumeId, InstanceId: machine.id, Device: '/dev/sdf' }
  await tour.call(region, 'AttachVolume', wish)
  await volumeIs(tour, region, seen.volumeId, 'in-use')
}

/** Shell text that waits for the volume's disk and sets D to it: the serial of an EBS disk is its volume's id. */
function diskOf(volumeId: string): string {
  const serial = volumeId.replace('-', '')
  return `until D=$(grep -l ${serial} /sys/block/vd*/serial); do sleep 1; done; D=/dev/$(echo $D | cut -d/ -f4)`
}

async function find(tour: Tour, seen: Seen, machine: Machine, command: string, text: string): Promise<void> {
  const found = await tour.ssh(login(seen, machine), command)
  if (found !== text) throw new Error(`${machine.id} says "${found}", not "${text}"`)
}
