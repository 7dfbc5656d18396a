/** The README's template for Packer's amazon-instance builder, run as it is printed: its image launches with what was provisioned. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeKeyPairsCommand,
  DescribeSecurityGroupsCommand,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIdentity } from '../../src/bundles/identity.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { useFleet } from './support/fleet.ts'
import { cleanEnvironment, repositoryRoot } from './support/kiln.ts'

/** The account of the README's template. */
const accountId = '123456789012'
const buildWithinMs = 480_000
const hasPacker = await run('packer', ['version']).then(
  () => true,
  () => false,
)

describe.skipIf(!hasPacker)(`Packer${hasPacker ? '' : ' (skipped: there is no packer; Debian: packer)'}`, () => {
  const on = useFleet({ hasInstance: false, accountId })
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kiln-packer-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** The README's template on this Kiln, with what shall be set on the image besides. */
  async function template(): Promise<string> {
    const readme = await readFile(join(repositoryRoot, 'README.md'), 'utf8')
    const printed = /### Images with Packer\n.*?```json\n(.*?)```/s.exec(readme)![1]!
    const { builders, provisioners } = JSON.parse(printed)
    const more = { custom_endpoint_ec2: on.kiln.url, ami_description: 'Golden', tags: { Role: 'golden' } }
    return JSON.stringify({ builders: [{ ...builders[0], ...more }], provisioners })
  }

  /** What Packer said. */
  async function build(): Promise<string> {
    // All that it keeps, and the sockets of its plugins, lie in the test's folder.
    const env = { ...cleanEnvironment(), HOME: folder, TMPDIR: folder, CHECKPOINT_DISABLE: '1' }
    let said = ''
    const onOutput = (text: string) => {
      said += text
    }
    const options = { cwd: folder, env, timeoutMs: buildWithinMs, onOutput }
    await run('packer', ['build', '-color=false', 'web.json'], options).catch((cause) => {
      throw new Error(`packer build failed:\n${said}`, { cause })
    })
    return said
  }

  test('amazon-instance provisions, bundles, uploads and registers; its image launches, and all else that it made is gone', async () => {
    const { ec2, ssh, launch, terminate, describe: instanceOf } = on.fleet
    const user = await createIdentity({ commonName: 'user', serialNumber: '01', nowMs: systemClock.now() })
    await writeFile(join(folder, 'cert.pem'), user.certificate)
    await writeFile(join(folder, 'key.pem'), user.privateKey, { mode: 0o600 })
    await on.kiln.command('cert', 'add', join(folder, 'cert.pem'), '--account', accountId)
    await writeFile(join(folder, 'web.json'), await template())

    const imageId = /^us-east-1: (ami-[0-9a-f]{17})$/m.exec(await build())?.[1]
    const { Images: images } = await ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))
    expect(images).toMatchObject([
      {
        ...{ ImageId: imageId, Name: 'web', Description: 'Golden', State: 'available', Architecture: 'x86_64' },
        RootDeviceType: 'instance-store',
        ImageLocation: expect.stringMatching(/^my-images\/image-\d+\.manifest\.xml$/),
        Tags: [{ Key: 'Role', Value: 'golden' }],
      },
    ])
    const { Reservations: made } = await ec2.send(new DescribeInstancesCommand({}))
    expect(made!.flatMap(({ Instances }) => Instances!.map(({ State }) => State!.Name))).toEqual(['terminated'])
    const { KeyPairs: keys } = await ec2.send(new DescribeKeyPairsCommand({}))
    expect(keys!.map(({ KeyName }) => KeyName)).toEqual(['fleet'])
    const { SecurityGroups: groups } = await ec2.send(new DescribeSecurityGroupsCommand({}))
    expect(groups!.map(({ GroupName }) => GroupName).sort()).toEqual(['default', 'fleet'])

    const [instance] = (await launch({ imageId: imageId!, instanceType: 'm1.small' })) as [string]
    expect((await instanceOf(instance)).RootDeviceType).toBe('instance-store')
    expect(await ssh(instance, 'cat ~/hello')).toBe('hello')
    await terminate([instance])
  })
})
