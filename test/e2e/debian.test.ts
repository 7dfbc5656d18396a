/**
 * Debian as `kiln image build` makes it: from RunInstances to cloud-init's last word, with user data of every kind. A guest
 * of its size takes its time without KVM, so that the one that starts here proves many things.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  DescribeImagesCommand,
  GetConsoleOutputCommand,
  StopInstancesCommand,
  waitUntilInstanceStatusOk,
  waitUntilInstanceStopped,
} from '@aws-sdk/client-ec2'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import { beforeAll, describe, expect, test } from 'vitest'
import { hostSources } from '../../src/builder/debian/apt-sources.ts'
import { requirePrograms } from '../../src/builder/debian/root-archive.ts'
import { messageOf } from '../../src/lib/errors.ts'
import { run } from '../../src/lib/programs.ts'
import { prepareFleet, useFleet, waiting } from './support/fleet.ts'
import { kilnProgram } from './support/kiln.ts'
import { packer, usePacker } from './support/packer.ts'

const owner = '111122223333'
const region = 'us-east-1'
/** A minute or two where nothing else runs. */
const buildWithinMs = 1_200_000
const guestApi = '169.254.169.254:4566'

const whyNot = await reasonToSkip()

async function reasonToSkip(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-lists-'))
  try {
    await requirePrograms()
    await hostSources(folder)
    return undefined
  } catch (error) {
    return messageOf(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe.skipIf(whyNot)(`Debian 12${whyNot ? ` (skipped: ${whyNot})` : ''}`, () => {
  const on = useFleet({ hasInstance: false, accountId: owner })
  const workshop = usePacker(on)
  let imageId: string
  /** Its user data is a packed message of several parts. */
  let instance: string

  const asAdmin = (instanceId: string, command: string) => on.fleet.ssh(instanceId, command, 'admin')
  /** What cloud-init says once it is through. */
  async function finished(instanceId: string): Promise<{ status: string; errors: string[]; datasource: string }> {
    await waitUntilInstanceStatusOk({ client: on.fleet.ec2, ...waiting }, { InstanceIds: [instanceId] })
    return JSON.parse(await asAdmin(instanceId, 'cloud-init status --wait --format json'))
  }
  const console = async (instanceId: string) => {
    const { Output: output = '' } = await on.fleet.ec2.send(
      new GetConsoleOutputCommand({ InstanceId: instanceId, Latest: true }),
    )
    return Buffer.from(output, 'base64').toString()
  }
  const debian = (name: string, userData: Buffer) =>
    on.fleet.launch({
      ...{ imageId, instanceType: 't3.micro', isWaitedFor: false },
      more: {
        UserData: userData.toString('base64'),
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 8 } }],
        TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: name }] }],
      },
    })

  /** Lays a text into a bucket; the address at which guests may read it for an hour. */
  async function included(key: string, text: string): Promise<string> {
    const credentials = { accessKeyId: owner, secretAccessKey: 'any' }
    const s3 = new S3Client({ endpoint: on.kiln.url, region, credentials, forcePathStyle: true })
    await s3.send(new CreateBucketCommand({ Bucket: 'configs' }))
    await s3.send(new PutObjectCommand({ Bucket: 'configs', Key: key, Body: text }))
    const signer = new SignatureV4({
      credentials,
      region,
      service: 's3',
      sha256: s3.config.sha256,
      uriEscapePath: false,
    })
    const { query } = await signer.presign(
      {
        ...{ method: 'GET', protocol: 'http:', hostname: '169.254.169.254', port: 4566 },
        ...{ path: `/configs/${key}`, headers: { host: guestApi } },
      },
      { expiresIn: 3600 },
    )
    s3.destroy()
    return `http://${guestApi}/configs/${key}?${new URLSearchParams(query as Record<string, string>)}`
  }

  beforeAll(async () => {
    const words = ['image', 'build', 'debian-12', '--json']
    imageId = JSON.parse(await run(kilnProgram, words, { env: on.kiln.env, timeoutMs: buildWithinMs })).imageId
    const config = [
      '#cloud-config',
      'hostname: furnace',
      'users: [default, {name: potter, groups: [adm], shell: /bin/bash}]',
      "write_files: [{path: /etc/glaze, content: 'celadon', permissions: '0640', owner: 'root:adm'}]",
      "bootcmd: ['echo config >>/root/parts']",
      "runcmd: [[sh, -c, 'cat /etc/glaze >/root/ran; echo , and run >>/root/ran']]",
    ].join('\n')
    const parts = multipart([
      ['text/x-shellscript', '#!/bin/bash\necho "$(id -un) on $(hostname)" >>/root/parts\n'],
      ['text/cloud-config', `${config}\n`],
      ['text/x-include-url', `#include\n${await included('part.txt', '#!/bin/sh\necho included >>/root/parts\n')}\n`],
    ])
    ;[instance] = (await debian('parts', gzipSync(parts))) as [string]
  }, buildWithinMs)

  test('the image is found as Debian has it on EC2', async () => {
    const { Images: images } = await on.fleet.ec2.send(
      new DescribeImagesCommand({
        Owners: ['136693071363'],
        Filters: [{ Name: 'name', Values: ['debian-12-amd64-*'] }],
      }),
    )
    expect(images).toMatchObject([
      {
        ...{ ImageId: imageId, Public: true, Architecture: 'x86_64', EnaSupport: true, RootDeviceName: '/dev/xvda' },
        ...{ Name: expect.stringMatching(/^debian-12-amd64-\d{8}-\d{4}$/), ImageOwnerAlias: 'amazon' },
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 2, VolumeType: 'gp3' } }],
      },
    ])
  })

  test('cloud-init finds EC2 by the hardware, and ends without an error', async () => {
    expect(await finished(instance)).toMatchObject({ status: 'done', errors: [], datasource: 'ec2local' })
    expect(
      await asAdmin(instance, 'cloud-init status --long; grep -c WARNING /var/log/cloud-init.log || true'),
    ).toMatch(/^status: done\n[\s\S]*\n0$/)
    const { PrivateDnsName: name, Placement: placement } = await on.fleet.describe(instance)
    const query = (word: string) => asAdmin(instance, `cloud-init query ${word}`)
    expect(await asAdmin(instance, 'ec2metadata --instance-id')).toBe(instance)
    expect(await asAdmin(instance, 'ec2metadata --ami-id')).toBe(imageId)
    expect(await query('instance_id')).toBe(instance)
    expect(await query('cloud_name')).toBe('aws')
    expect(await query('region')).toBe(region)
    expect(await query('availability_zone')).toBe(placement!.AvailabilityZone)
    // With or without its domain.
    expect(`${name}.`).toMatch(new RegExp(`^${await query('local_hostname')}\\.`))
    // Without being told where to look, by what SMBIOS says.
    const detect =
      'mkdir -p /tmp/found/cloud-init; sudo env PATH_ETC_CLOUD=/none PATH_ETC_CI_CFG_D=/none PATH_RUN=/tmp/found DI_LOG=stderr /usr/lib/cloud-init/ds-identify --force 2>&1; cat /tmp/found/cloud-init/cloud.cfg'
    expect(await asAdmin(instance, detect)).toMatch(/^datasource_list: \[ Ec2, None \]$/m)
    expect(await console(instance)).toMatch(/Cloud-init v\. .* finished at /)
  })

  test('cloud-config and a message of parts do what they say, a script and what is included among them', async () => {
    expect(await asAdmin(instance, 'hostname; id -nG potter; stat -c %a:%G /etc/glaze; sudo cat /root/ran')).toBe(
      'furnace\npotter adm\n640:adm\nceladon, and run',
    )
    expect((await asAdmin(instance, 'sudo sort /root/parts')).split('\n')).toEqual([
      'config',
      'included',
      'root on furnace',
    ])
  })

  test('the root has grown, and volumes have their names on EC2', async () => {
    expect(Number(await asAdmin(instance, 'df --output=size -B1M / | tail -n 1'))).toBeGreaterThan(7500)
    const [volume] = (await on.fleet.describe(instance)).BlockDeviceMappings!
    const byId = `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${volume!.Ebs!.VolumeId!.replace('-', '')}`
    expect(await asAdmin(instance, `readlink -f /dev/xvda /dev/xvda1 ${byId} ${byId}-part1`)).toBe(
      '/dev/vda\n/dev/vda1\n/dev/vda\n/dev/vda1',
    )
    expect(await asAdmin(instance, 'systemctl is-active qemu-guest-agent; systemctl --failed --no-legend')).toBe(
      'active',
    )
  })

  test('it goes down when it is asked to', async () => {
    await on.fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
    await waitUntilInstanceStopped({ client: on.fleet.ec2, ...waiting }, { InstanceIds: [instance] })
    expect(await console(instance)).toMatch(/reboot: Power down\s*$/)
    await on.fleet.terminate([instance])
  })

  test.skipIf(packer.isMissing)(
    `Packer's amazon-ebs provisions it, and the copy in another region launches${packer.note}`,
    async () => {
      const said = await workshop.build('amazon-ebs', {
        ...{ access_key: owner, instance_type: 't3.micro', ssh_username: 'admin' },
        source_ami_filter: { filters: { name: 'debian-12-*' }, owners: ['136693071363'], most_recent: true },
      })
      const there = await prepareFleet(on.kiln, 'eu-west-1', owner)
      const copy = /^eu-west-1: (ami-[0-9a-f]{17})$/m.exec(said)![1]!
      const [instance] = (await there.launch({ imageId: copy, instanceType: 't3.micro' })) as [string]
      expect(await there.ssh(instance, 'cat ~/hello; . /etc/os-release; echo $ID', 'admin')).toBe('hello\ndebian')
      await there.terminate([instance])
    },
  )
})

/** User data of several parts, each with its type. */
function multipart(parts: readonly (readonly [type: string, text: string])[]): string {
  const boundary = '==parts=='
  const bodies = parts.map(
    ([type, text], index) =>
      `--${boundary}\nContent-Type: ${type}; charset="us-ascii"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Disposition: attachment; filename="part-${index}"\n\n${text}\n`,
  )
  return `Content-Type: multipart/mixed; boundary="${boundary}"\nMIME-Version: 1.0\n\n${bodies.join('')}--${boundary}--\n`
}
