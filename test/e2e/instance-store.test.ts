/**
 * The instance store on real machines: from within an instance its root is bundled and uploaded with the names of the
 * classic tools, the bundle is registered, and two instances are launched from it.
 */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateVolumeCommand,
  DescribeImagesCommand,
  DescribeVolumesCommand,
  RebootInstancesCommand,
  RegisterImageCommand,
  StopInstancesCommand,
  waitUntilImageAvailable,
} from '@aws-sdk/client-ec2'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { signatureHeaders } from '../../src/api/signature/signing.ts'
import { createIdentity } from '../../src/bundles/identity.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { useFleet, waiting } from './support/fleet.ts'

const accountId = '111122223333'
const on = useFleet({ hasInstance: false, accountId })
const store = () => homeAt(on.kiln.home).instanceStoreDir

/** What `aws iam upload-signing-certificate` sends. */
async function uploadCertificate(certificate: string): Promise<void> {
  const form = { Action: 'UploadSigningCertificate', Version: '2010-05-08', CertificateBody: certificate }
  const body = Buffer.from(String(new URLSearchParams(form)))
  const headers = { 'content-type': 'application/x-www-form-urlencoded', host: new URL(on.kiln.url).host }
  const key = { accessKeyId: accountId, secret: 'any', region: 'us-east-1', service: 'iam' }
  const request = { method: 'POST', target: '/', headers: Object.entries(headers), body }
  const signed = signatureHeaders(request, key, systemClock.now())
  const answer = await fetch(on.kiln.url, { method: 'POST', headers: { ...headers, ...signed }, body })
  expect(answer.status, await answer.text()).toBe(200)
}

test('an instance bundles itself; two are launched from the bundle, keep what they write over reboots, and lose it at their end', async () => {
  const { fleet } = on
  const { Images: found } = await fleet.ec2.send(
    new DescribeImagesCommand({
      Owners: ['amazon'],
      Filters: [{ Name: 'root-device-type', Values: ['instance-store'] }],
    }),
  )
  expect(found!.map(({ Name }) => Name)).toEqual([expect.stringMatching(/^kiln-linux-.*-x86_64-s3$/)])
  const [maker] = (await fleet.launch({ imageId: found![0]!.ImageId!, instanceType: 'm1.small' })) as [string]
  expect((await fleet.describe(maker)).RootDeviceType).toBe('instance-store')

  // The user's certificate, and what shall be found again.
  const user = await createIdentity({ commonName: 'user', serialNumber: '01', nowMs: systemClock.now() })
  await uploadCertificate(user.certificate)
  const s3 = new S3Client({
    endpoint: on.kiln.url,
    region: 'us-east-1',
    credentials: { accessKeyId: accountId, secretAccessKey: 'any' },
  })
  await s3.send(new CreateBucketCommand({ Bucket: 'my-images' }))
  const write = (path: string, text: string) => fleet.ssh(maker, `cat > ${path} <<'EOF'\n${text}\nEOF`)
  await write('cert.pem', user.certificate)
  await write('key.pem', user.privateKey)
  await write('golden', 'what the image is made for')
  const bundle = `ec2-bundle-vol -k key.pem -c cert.pem -u ${accountId} -r x86_64 -s 256 -d /tmp -p golden`
  await fleet.ssh(
    maker,
    `cd && sudo -i -n sh -c 'cd ~ec2-user && ${bundle} --batch --no-filter -e /home/ec2-user/key.pem'`,
  )
  const upload = `ec2-upload-bundle -b my-images/golden -m /tmp/golden.manifest.xml -a ${accountId} -s any --region us-east-1`
  await fleet.ssh(maker, `sudo -i -n ${upload} --batch --retry`)

  const { ImageId: imageId } = await fleet.ec2.send(
    new RegisterImageCommand({ Name: 'golden', ImageLocation: 'my-images/golden/golden.manifest.xml' }),
  )
  await waitUntilImageAvailable({ client: fleet.ec2, ...waiting }, { ImageIds: [imageId!] })
  const ids = await fleet.launch({ imageId: imageId!, instanceType: 'm1.small', count: 2 })
  const [one, two] = ids as [string, string]
  for (const id of ids) expect(await fleet.ssh(id, 'cat ~/golden')).toBe('what the image is made for')
  const keys = await Promise.all(ids.map((id) => fleet.ssh(id, 'cat /etc/dropbear/*host_key | sha1sum; hostname')))
  expect(new Set(keys).size).toBe(2)

  await expect(fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [one] }))).rejects.toMatchObject({
    name: 'UnsupportedOperation',
  })
  await fleet.ssh(one, 'echo kept > ~/kept; sync')
  const bootId = () => fleet.ssh(one, 'cat /proc/sys/kernel/random/boot_id')
  const before = await bootId()
  await fleet.ec2.send(new RebootInstancesCommand({ InstanceIds: [one] }))
  await expect.poll(() => bootId().catch(() => before), { timeout: 120_000, interval: 500 }).not.toBe(before)
  expect(await fleet.ssh(one, 'cat ~/kept')).toBe('kept')

  const zone = (await fleet.describe(one)).Placement!.AvailabilityZone!
  const { VolumeId: volume } = await fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1 }))
  const disk = await fleet.attach(volume!, one, '/dev/sdf')
  await fleet.ssh(
    one,
    `sudo mke2fs -q ${disk} && sudo mkdir /data && sudo mount ${disk} /data && echo data | sudo tee /data/file && sudo umount /data`,
  )
  expect(existsSync(join(store(), one))).toBe(true)
  await fleet.terminate([one])
  expect(existsSync(join(store(), one))).toBe(false)
  const { Volumes } = await fleet.ec2.send(new DescribeVolumesCommand({ VolumeIds: [volume!] }))
  expect(Volumes![0]!.State).toBe('available')
  const there = await fleet.attach(volume!, two, '/dev/sdf')
  expect(await fleet.ssh(two, `sudo mkdir /data && sudo mount ${there} /data && cat /data/file`)).toBe('data')

  await fleet.terminate([two, maker])
  expect(await readdir(store())).toEqual(['images'])
  expect(await readdir(join(store(), 'images'))).toEqual([])
})
