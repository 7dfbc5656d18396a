/** The AMI tools where they belong: a running guest bundles its own root, as Packer's amazon-instance builder has it do. */
import { createPrivateKey } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DescribeImagesCommand, RegisterImageCommand } from '@aws-sdk/client-ec2'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BundleManifest, parseManifest } from '../../src/bundles/manifest.ts'
import { openKey, signerOf } from '../../src/bundles/seals.ts'
import { openBundle } from '../../src/bundles/unbundle.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { useFleet } from './support/fleet.ts'

const account = '111122223333'
const Bucket = 'guest-bundles'
const mib = 1024 * 1024
const rootStart = 32 * mib
const on = useFleet({ accountId: account, hasInstance: false })
const inGuest = (command: string) => on.fleet.ssh(instance, command)
let instance: string
let folder: string
let s3: S3Client

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-ami-tools-'))
  // A root on a volume, and a disk in the instance store beside it.
  ;[instance] = (await on.fleet.launch({ instanceType: 'c5d.large' })) as [string]
  const credentials = { accessKeyId: account, secretAccessKey: 'any' }
  s3 = new S3Client({ endpoint: on.kiln.url, region: 'us-east-1', credentials })
})
afterAll(async () => {
  s3?.destroy()
  await rm(folder, { recursive: true, force: true })
})

const objectOf = async (Key: string) => (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body as Readable

async function textOf(key: string): Promise<string> {
  return Buffer.concat(await (await objectOf(key)).toArray()).toString()
}

/** The image of a bundle in the bucket, as a file. */
async function unpack(manifest: BundleManifest, privateKeyPem: string, path: string): Promise<void> {
  const { userEncryptedKey, userEncryptedIv } = manifest.image
  const key = openKey({ key: userEncryptedKey, iv: userEncryptedIv }, createPrivateKey(privateKeyPem))
  const readPart = async function* ({ filename }: { filename: string }) {
    yield* (await objectOf(`web/${filename}`)) as AsyncIterable<Uint8Array>
  }
  await pipeline(Readable.from(openBundle({ manifest, key, readPart })), createWriteStream(path))
}

/** A command of debugfs on the root of that disk. */
const inRoot = (disk: string, command: string) => run('debugfs', ['-R', command, `${disk}?offset=${rootStart}`])

test('a guest bundles its root and uploads it; outside it is a bootable disk, and becomes an image', async () => {
  await inGuest(
    [
      'mkdir keys && cd keys',
      'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=me -keyout pk.pem -out cert.pem 2>/dev/null',
      'echo "made inside" >~/carried && echo secret >~/left.pem && echo "not this" >~/private',
      'sudo sh -c "echo temporary >/tmp/file; echo ran >/var/log/user-data.log; ln -s carried /home/ec2-user/link"',
    ].join(' && '),
  )
  const keys = '/home/ec2-user/keys'
  const failed = `sudo ec2-bundle-vol -k keys/pk.pem -u ${account} -c keys/cert.pem -s 128 --script /usr/bin/false`
  expect(await inGuest(`${failed} 2>&1 || sudo losetup -a; grep /dev/loop /proc/mounts; ls /mnt`)).toMatch(
    /\nec2-bundle-vol: --script: \/usr\/bin\/false ended with 1\nlost\+found$/,
  )

  const bundled = await inGuest(
    `sudo -i -n ec2-bundle-vol -k ${keys}/pk.pem -u ${account} -c ${keys}/cert.pem -r x86_64 ` +
      `-e ${keys}/* -e /home/ec2-user/private -d /mnt -p guest --batch -s 192`,
  )
  expect(bundled).toContain('Created guest.part.00\n')
  expect(bundled).toMatch(/\nCreated guest\.manifest\.xml\nec2-bundle-vol complete\.$/)
  expect(await inGuest('sudo losetup -a; grep -c /dev/loop /proc/mounts; ls /mnt')).toMatch(
    /^0\nguest\.manifest\.xml\nguest\.part\.00\n/,
  )
  const uploaded = await inGuest(
    `sudo -i -n ec2-upload-bundle -b ${Bucket}/web -m /mnt/guest.manifest.xml -a ${account} -s any -d /mnt ` +
      '--batch --region us-east-1 --retry',
  )
  expect(uploaded).toContain('Bundle upload completed.')

  const document = await textOf('web/guest.manifest.xml')
  const manifest = parseManifest(document)
  const certificate = await inGuest('cat keys/cert.pem')
  expect(signerOf(document, manifest.signature, [certificate])).toBe(certificate)
  expect(manifest).toMatchObject({ architecture: 'x86_64', image: { user: account, sizeBytes: 192 * mib } })
  expect(manifest.blockDeviceMapping.map(({ virtual }) => virtual)).toEqual(expect.arrayContaining(['ami', 'root']))
  const { Contents: objects } = await s3.send(new ListObjectsV2Command({ Bucket }))
  const names = ['guest.manifest.xml', ...manifest.image.parts.map(({ filename }) => filename)]
  expect(objects!.map((object) => object.Key)).toEqual(names.map((name) => `web/${name}`))

  // A boot record and a boot partition like the running disk's, and the root's files: what is the guest's own is not there.
  const disk = join(folder, 'disk.raw')
  await unpack(manifest, await inGuest('cat keys/pk.pem'), disk)
  await using file = await open(disk)
  const { buffer: sector } = await file.read(Buffer.alloc(512), 0, 512, 0)
  expect(sector.readUInt16LE(510)).toBe(0xaa55)
  expect(await inGuest('sudo head -c 33554432 /dev/vda | sha1sum')).toBe(
    (await run('bash', ['-c', 'head -c 33554432 "$1" | sha1sum', 'sum', disk])).trim(),
  )
  await run('e2fsck', ['-f', '-n', `${disk}?offset=${rootStart}`])
  expect(await inRoot(disk, 'cat /home/ec2-user/carried')).toBe('made inside\n')
  expect(await inRoot(disk, 'stat /home/ec2-user/link')).toContain('Fast link dest: "carried"')
  expect(await inRoot(disk, 'stat /usr/bin/sudo')).toMatch(/Mode: +04755/)
  expect(await inRoot(disk, 'stat /home/ec2-user')).toMatch(/User: +1000 /)
  expect(await inRoot(disk, 'stat /tmp')).toMatch(/Mode: +01777/)
  const listing = async (path: string) =>
    (await inRoot(disk, `ls -p ${path}`))
      .split('\n')
      .map((line) => line.split('/')[5])
      .filter((name) => name && name !== '.' && name !== '..')
  expect((await listing('/home/ec2-user')).sort()).toEqual(['.ssh', 'carried', 'keys', 'link'])
  for (const empty of ['/home/ec2-user/keys', '/home/ec2-user/.ssh', '/tmp', '/mnt', '/proc', '/sys', '/dev', '/run']) {
    expect({ [empty]: await listing(empty) }).toEqual({ [empty]: [] })
  }
  for (const own of ['/etc/dropbear', '/var/lib/kiln/instances']) expect(await listing(own)).toEqual([])
  expect(await listing('/var/lib/kiln')).toEqual(['instances'])
  expect(await listing('/var/log')).not.toContain('user-data.log')

  // The cloud opens it with its own key, once it knows whose certificate it is.
  const form = { Action: 'UploadSigningCertificate', Version: '2010-05-08', CertificateBody: certificate }
  const answer = await fetch(on.kiln.url, {
    method: 'POST',
    headers: {
      authorization: `AWS4-HMAC-SHA256 Credential=${account}/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0`,
    },
    body: new URLSearchParams(form),
  })
  expect({ status: answer.status, body: await answer.text() }).toMatchObject({ status: 200 })
  const { ImageId: id } = await on.fleet.ec2.send(
    new RegisterImageCommand({ Name: 'from within', ImageLocation: `${Bucket}/web/guest.manifest.xml` }),
  )
  const image = await waitFor(
    systemClock,
    async () => {
      const { Images: found } = await on.fleet.ec2.send(new DescribeImagesCommand({ ImageIds: [id!] }))
      return found![0]!.State === 'pending' ? undefined : found![0]!
    },
    { everyMs: 200, timeoutMs: 120_000 },
  )
  expect(image).toMatchObject({ State: 'available', RootDeviceType: 'instance-store', Architecture: 'x86_64' })

  expect(await inGuest(`ec2-delete-bundle -b ${Bucket}/web -p guest -a ${account} -s any -y --clear`)).toContain(
    `Deleted the bucket ${Bucket}`,
  )
})
