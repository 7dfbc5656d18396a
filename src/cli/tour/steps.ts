/** What the tour shows, in order. A step acts through the public API alone, and says in a sentence what came of it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Ec2Error } from '../client.ts'
import {
  boots,
  type Doors,
  imageAvailable,
  launch,
  login,
  type Machine,
  openDoor,
  stopped,
  terminated,
} from './moves.ts'
import { regions, type Tour, uniqueText } from './tour.ts'
import { everythingDown, keyAndDoor, ownKiln, type Step, type Walk } from './walk.ts'

/** What steps hand on; each reads only what those before it wrote. */
interface Seen extends Doors {
  /** The public image, the one registered from its snapshot, the one made of an instance, and that one's copy. */
  base: { id: string; rootDevice: string; snapshotId: string }
  registeredId: string
  createdId: string
  copiedId: string
  /** The two of the first launch, the one of the other configuration, the one of the made image, the one of the copy. */
  pair: [Machine, Machine]
  other: Machine
  child: Machine
  abroad: Machine
  /** What was written into the first machine's file. */
  text: string
}

const file = '/home/ec2-user/tour.txt'
const configuration = '/home/ec2-user/configured.txt'
const otherSizeGib = 3
const userData = `#!/bin/sh\necho configured by user data > ${configuration}\n`

const steps: readonly Step<Seen>[] = [
  ownKiln,
  {
    title: 'The image to begin with',
    async run(tour, seen) {
      const { Images: images = [] } = await tour.call(regions.first, 'DescribeImages', { Owners: ['amazon'] })
      const image = images.find((one) => one.Name?.startsWith('kiln-linux-') && one.RootDeviceType === 'ebs')
      const root = image?.BlockDeviceMappings?.find((device) => device.DeviceName === image.RootDeviceName)
      if (!image || !root) throw new Error('there is no public image whose name begins with kiln-linux-')
      seen.base = { id: image.ImageId!, rootDevice: image.RootDeviceName!, snapshotId: root.Ebs!.SnapshotId! }
      return `${image.ImageId} is ${image.Name}, ${root.Ebs!.VolumeSize} GiB in snapshot ${root.Ebs!.SnapshotId}.`
    },
  },
  keyAndDoor,
  {
    title: 'Two instances from one image',
    async run(tour, seen) {
      const [one, two] = await launch(tour, seen, regions.first, { ImageId: seen.base.id, InstanceType: 't3.nano' }, 2)
      seen.pair = [one!, two!]
      return `${one!.id} at ${one!.address} and ${two!.id} at ${two!.address} run and pass their checks.`
    },
  },
  {
    title: 'Another image, for another configuration',
    async run(tour, seen) {
      const { rootDevice, snapshotId } = seen.base
      const { ImageId: id } = await tour.call(regions.first, 'RegisterImage', {
        Name: 'tour-other',
        Architecture: 'x86_64',
        VirtualizationType: 'hvm',
        RootDeviceName: rootDevice,
        BlockDeviceMappings: [{ DeviceName: rootDevice, Ebs: { SnapshotId: snapshotId, VolumeSize: otherSizeGib } }],
        EnaSupport: true,
      })
      seen.registeredId = id!
      return `${id} is registered from the first one's snapshot, with a root of ${otherSizeGib} GiB.`
    },
  },
  {
    title: 'One instance from it: other type, other disk, its own user data, a root that outlives it',
    async run(tour, seen) {
      const userDataPath = join(tour.home.root, 'user-data.sh')
      await writeFile(userDataPath, userData)
      const wish = {
        ImageId: seen.registeredId,
        InstanceType: 't3.small' as const,
        UserData: Buffer.from(userData).toString('base64'),
        BlockDeviceMappings: [{ DeviceName: seen.base.rootDevice, Ebs: { DeleteOnTermination: false } }],
      }
      const [other] = await launch(tour, seen, regions.first, wish, 1, { UserData: `file://${userDataPath}` })
      seen.other = other!
      const said = await tour.ssh(login(seen, other!), `df -h / | tail -n 1; free -m | grep Mem; cat ${configuration}`)
      if (!said.includes('configured by user data')) throw new Error(`its user data did not run: ${said}`)
      const [disk, memory] = said.split('\n').map((line) => line.split(/\s+/)[1])
      return `${other!.id} at ${other!.address} has a root of ${disk} and ${memory} MiB of memory, and ran its user data.`
    },
  },
  {
    title: 'A file, written in the guest',
    async run(tour, seen) {
      seen.text = uniqueText()
      await tour.ssh(login(seen, seen.pair[0]), `echo ${seen.text} > ${file} && sync`)
      return `${file} in ${seen.pair[0].id} says "${seen.text}".`
    },
  },
  {
    title: 'Stop, start, and find the file',
    async run(tour, seen) {
      const [{ id, address: before }] = seen.pair
      await tour.call(regions.first, 'StopInstances', { InstanceIds: [id] })
      await stopped(tour, regions.first, id)
      await tour.call(regions.first, 'StartInstances', { InstanceIds: [id] })
      const [machine] = await boots(tour, regions.first, [id])
      seen.pair[0] = machine!
      await findFile(tour, seen, machine!)
      return `The file is there. The public address, as on EC2, is a new one: ${before} became ${machine!.address}.`
    },
  },
  {
    title: 'An image made of that instance',
    async run(tour, seen) {
      const wish = { InstanceId: seen.pair[0].id, Name: 'tour-with-file' }
      const { ImageId: id } = await tour.call(regions.first, 'CreateImage', wish)
      seen.createdId = id!
      const image = await imageAvailable(tour, regions.first, id!)
      const [machine] = await boots(tour, regions.first, [seen.pair[0].id])
      seen.pair[0] = machine!
      await findFile(tour, seen, machine!)
      return `${id} is available, with snapshot ${image.BlockDeviceMappings?.[0]?.Ebs?.SnapshotId}; the instance runs again.`
    },
  },
  {
    title: 'An instance of the new image has the file',
    async run(tour, seen) {
      const wish = { ImageId: seen.createdId, InstanceType: 't3.nano' as const }
      const [child] = await launch(tour, seen, regions.first, wish, 1)
      seen.child = child!
      await findFile(tour, seen, child!)
      return `${child!.id} at ${child!.address} was born with "${seen.text}".`
    },
  },
  {
    title: `The image, copied to ${regions.second}`,
    async run(tour, seen) {
      const wish = { SourceRegion: regions.first, SourceImageId: seen.createdId, Name: 'tour-with-file' }
      const { ImageId: id } = await tour.call(regions.second, 'CopyImage', wish)
      seen.copiedId = id!
      await imageAvailable(tour, regions.second, id!)
      return `${id} is available there, with blocks of its own.`
    },
  },
  {
    title: `An instance in ${regions.second} has the file`,
    async run(tour, seen) {
      const publicKeyPath = join(tour.home.root, 'tour.pub')
      await writeFile(publicKeyPath, seen.publicKey)
      const key = { KeyName: 'tour', PublicKeyMaterial: Buffer.from(seen.publicKey) }
      const shown = { PublicKeyMaterial: `fileb://${publicKeyPath}` }
      await tour.call(regions.second, 'ImportKeyPair', key, { shown })
      seen.groups[regions.second] = await openDoor(tour, regions.second)
      const wish = { ImageId: seen.copiedId, InstanceType: 't3.nano' as const }
      const [abroad] = await launch(tour, seen, regions.second, wish, 1)
      seen.abroad = abroad!
      await findFile(tour, seen, abroad!)
      return `${abroad!.id} at ${abroad!.address} has "${seen.text}".`
    },
  },
  {
    title: 'Deregister: nothing new is launched, what runs goes on',
    async run(tour, seen) {
      await tour.call(regions.first, 'DeregisterImage', { ImageId: seen.createdId })
      const wish = { ImageId: seen.createdId, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1 } as const
      const refusal = await tour.call(regions.first, 'RunInstances', wish).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (!(refusal instanceof Ec2Error) || !refusal.code.startsWith('InvalidAMIID.')) {
        throw new Error(`a launch from the deregistered image was not refused with InvalidAMIID: ${String(refusal)}`)
      }
      await findFile(tour, seen, seen.child)
      return `EC2 refuses: ${refusal.message}. ${seen.child.id}, which came from it, still answers.`
    },
  },
  {
    title: 'Terminate all but one',
    async run(tour, seen) {
      const here = [seen.pair[0], seen.other, seen.child].map((machine) => machine.id)
      await tour.call(regions.first, 'TerminateInstances', { InstanceIds: here })
      await tour.call(regions.second, 'TerminateInstances', { InstanceIds: [seen.abroad.id] })
      await terminated(tour, regions.first, here)
      await terminated(tour, regions.second, [seen.abroad.id])
      return `${here.length + 1} instances are terminated; ${seen.pair[1].id} runs on.`
    },
  },
  {
    title: 'Of the terminated, only the root volume with DeleteOnTermination=false is left',
    async run(tour, seen) {
      const { Volumes: here = [] } = await tour.call(regions.first, 'DescribeVolumes', {})
      const { Volumes: abroad = [] } = await tour.call(regions.second, 'DescribeVolumes', {})
      const found = [...here, ...abroad].map((volume) => `${volume.VolumeId} (${volume.State})`)
      const kept = `${seen.other.rootVolumeId} (available)`
      const expected = [kept, `${seen.pair[1].rootVolumeId} (in-use)`]
      if (found.sort().join() !== expected.sort().join()) {
        throw new Error(`expected ${expected.join(', ')} and found ${found.join(', ') || 'none'}`)
      }
      return `${kept} was the root of ${seen.other.id}; the other volumes went with their instances.`
    },
  },
  everythingDown,
]

export const lifeOfAnImage: Walk<Seen> = {
  heading: 'The life of a machine image, on real virtual machines',
  steps,
}

async function findFile(tour: Tour, seen: Seen, machine: Machine): Promise<void> {
  const found = await tour.ssh(login(seen, machine), `cat ${file}`)
  if (found !== seen.text) throw new Error(`${file} in ${machine.id} says "${found}", not "${seen.text}"`)
}
