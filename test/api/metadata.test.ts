/** The metadata of a launched instance, read by what reads it on EC2: SDKs, cloud-init, ec2-metadata, OpenSSL. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateKeyPairCommand,
  CreateTagsCommand,
  DeleteTagsCommand,
  DescribeImagesCommand,
  type EC2Client,
  type Instance,
  ModifyInstanceMetadataOptionsCommand,
  type ModifyInstanceMetadataOptionsCommandInput,
  RunInstancesCommand,
  waitUntilInstanceRunning,
} from '@aws-sdk/client-ec2'
import { MetadataService } from '@aws-sdk/ec2-metadata-service'
import { fromInstanceMetadata } from '@smithy/credential-provider-imds'
import { afterAll, beforeAll, beforeEach, describe, expect, type TestContext, test, vi } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { type UnpackedPrograms, unpackPrograms } from '../support/debian-programs.ts'
import { type GuestMetadata, openGuestMetadata } from '../support/guest-metadata.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const owner = '000000000031'
/** As gzip begins, and no text in any encoding. */
const userData = Buffer.concat([Buffer.from([0x1f, 0x8b, 0x08, 0, 0xff]), randomBytes(200)])

let ec2: EC2Client
let instance: Instance
let metadata: GuestMetadata

beforeAll(async () => {
  ec2 = served().client(owner)
  instance = await launch()
  metadata = await openGuestMetadata(served(), { vpcId: instance.VpcId!, privateIp: instance.PrivateIpAddress! })
})
afterAll(() => metadata?.close())
beforeEach(() => {
  vi.stubEnv('AWS_EC2_METADATA_SERVICE_ENDPOINT', metadata.url)
  return () => vi.unstubAllEnvs()
})

async function launch(): Promise<Instance> {
  await ec2.send(new CreateKeyPairCommand({ KeyName: 'mine', KeyType: 'ed25519' }))
  const { Images: images } = await ec2.send(new DescribeImagesCommand({ Owners: ['amazon'] }))
  const { Instances: launched } = await ec2.send(
    new RunInstancesCommand({
      ...{ ImageId: images![0]!.ImageId!, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1, KeyName: 'mine' },
      UserData: userData.toString('base64'),
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } }],
      MetadataOptions: { HttpTokens: 'required', InstanceMetadataTags: 'enabled' },
      TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'web 1' }] }],
    }),
  )
  const { reservations } = await waitUntilInstanceRunning(
    { client: ec2, minDelay: 1, maxDelay: 1, maxWaitTime: 60 },
    { InstanceIds: [launched![0]!.InstanceId!] },
  ).then(({ reason }) => ({ reservations: reason.Reservations as { Instances: Instance[] }[] }))
  return reservations[0]!.Instances[0]!
}

const set = (options: Omit<ModifyInstanceMetadataOptionsCommandInput, 'InstanceId'>) =>
  ec2.send(new ModifyInstanceMetadataOptionsCommand({ InstanceId: instance.InstanceId, ...options }))

const works = (program: string, ...words: string[]) =>
  run(program, words).then(
    () => true,
    () => false,
  )

describe('the SDK for JavaScript', () => {
  const service = (more = {}) => new MetadataService({ endpoint: metadata.url, retries: 0, ...more })

  test('reads metadata in a session', async () => {
    const read = (path: string) => service().request(path, {})
    expect(await read('/latest/meta-data/instance-id')).toBe(instance.InstanceId)
    expect(await read('/latest/meta-data/placement/region')).toBe('eu-west-1')
    expect(await read('/latest/meta-data/ami-manifest-path')).toBe('(unknown)')
    expect(await read('/latest/meta-data/block-device-mapping/')).toBe('ami\nebs1\nroot')
    expect(await read('/latest/meta-data/tags/instance/Name')).toBe('web 1')
    expect(await read('/latest/dynamic/fws/instance-monitoring')).toBe('disabled')
    const nic = `/latest/meta-data/network/interfaces/macs/${instance.NetworkInterfaces![0]!.MacAddress}`
    expect(await read(`${nic}/subnet-id`)).toBe(instance.SubnetId)
    expect(await read(`${nic}/ipv4-associations/${instance.PublicIpAddress}`)).toBe(instance.PrivateIpAddress)
  })

  test('without a session it is refused, until tokens are optional', async () => {
    const withoutSession = () => service({ disableFetchToken: true }).request('/latest/meta-data/instance-id', {})
    await expect(withoutSession()).rejects.toThrow('401')
    await set({ HttpTokens: 'optional' })
    expect(await withoutSession()).toBe(instance.InstanceId)
    await set({ HttpTokens: 'required' })
  })

  test('finds no credentials, as on an instance without a role', async () => {
    await expect(fromInstanceMetadata({ maxRetries: 0 })()).rejects.toMatchObject({ statusCode: 404 })
  })

  test('tags are told when they may be, as they are now', async () => {
    await ec2.send(
      new CreateTagsCommand({ Resources: [instance.InstanceId!], Tags: [{ Key: 'Stage', Value: 'beta' }] }),
    )
    expect(await service().request('/latest/meta-data/tags/instance/', {})).toBe('Name\nStage')
    await set({ InstanceMetadataTags: 'disabled' })
    await expect(service().request('/latest/meta-data/tags/instance/', {})).rejects.toThrow('404')
    await set({ InstanceMetadataTags: 'enabled' })
  })

  test('an endpoint that is off tells nothing', async () => {
    await set({ HttpEndpoint: 'disabled' })
    await expect(service().fetchMetadataToken()).rejects.toThrow('403')
    await expect(service().request('/latest/meta-data/', {})).rejects.toThrow('403')
    await set({ HttpEndpoint: 'enabled' })
    expect(await service().request('/latest/meta-data/instance-id', {})).toBe(instance.InstanceId)
  })
})

test.each(['Patch Group', 'a/b', '.', '..', '_index', 'Größe'])(
  '%j is no key of a tag that an instance reads',
  async (Key) => {
    const refused = (request: Promise<unknown>) =>
      expectRefusal(request, 'InvalidParameterValue', `'${Key}' is not a valid`)
    const Tags = [{ Key, Value: 'x' }]
    const tag = () => ec2.send(new CreateTagsCommand({ Resources: [instance.InstanceId!], Tags }))
    await refused(tag())
    await refused(
      ec2.send(
        new RunInstancesCommand({
          ...{ ImageId: instance.ImageId!, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1 },
          MetadataOptions: { InstanceMetadataTags: 'enabled' },
          TagSpecifications: [{ ResourceType: 'instance', Tags }],
        }),
      ),
    )
    await set({ InstanceMetadataTags: 'disabled' })
    await tag()
    await refused(set({ InstanceMetadataTags: 'enabled' }))
    await ec2.send(new DeleteTagsCommand({ Resources: [instance.InstanceId!], Tags: [{ Key }] }))
    await set({ InstanceMetadataTags: 'enabled' })
  },
)

test("boto3's fetcher finds the region, and no role", async (context) => {
  if (!(await works('python3', '-c', 'import boto3'))) return context.skip('boto3 is not there')
  const found = JSON.parse(await run('python3', [join(import.meta.dirname, 'metadata_boto3.py')]))
  expect(found).toEqual({ region: 'eu-west-1', credentials: null, instanceId: instance.InstanceId })
})

describe('programs of Debian', () => {
  const packages = ['cloud-init', 'amazon-ec2-utils', 'python3-configobj', 'python3-requests', 'python3-yaml']
  const theirs = ['python3-urllib3', 'python3-idna', 'python3-certifi', 'python3-chardet', 'python3-six']
  let programs: UnpackedPrograms | Error
  const unpacked = (context: TestContext) =>
    programs instanceof Error ? context.skip(`no such packages: ${programs.message}`) : programs.root

  beforeAll(async () => {
    programs = await unpackPrograms([...packages, ...theirs]).catch((error: Error) => error)
  })
  afterAll(async () => {
    if (!(programs instanceof Error)) await programs.remove()
  })

  test('cloud-init crawls all of it, and makes a network of it', async (context) => {
    const root = unpacked(context)
    const env = { ...process.env, no_proxy: '*', PYTHONPATH: join(root, 'usr/lib/python3/dist-packages') }
    const script = join(import.meta.dirname, 'metadata_cloud_init.py')
    const { crawled, network } = JSON.parse(await run('/usr/bin/python3', [script, metadata.url, root], { env }))
    const { MacAddress: mac } = instance.NetworkInterfaces![0]!
    expect(crawled._metadata_api_version).toBe('2021-03-23')
    expect(Buffer.from(crawled['user-data'], 'base64')).toEqual(userData)
    expect(crawled['meta-data']).toMatchObject({
      'instance-id': instance.InstanceId,
      'local-hostname': instance.PrivateDnsName,
      placement: { 'availability-zone': instance.Placement!.AvailabilityZone, region: 'eu-west-1' },
      'public-keys': { mine: expect.stringMatching(/^ssh-ed25519 /) },
      'block-device-mapping': { ami: '/dev/xvda', ebs1: 'sdf', root: '/dev/xvda' },
      tags: { instance: { Name: 'web 1' } },
      network: { interfaces: { macs: { [mac!]: { 'device-number': '0', 'vpc-id': instance.VpcId } } } },
    })
    expect(crawled.dynamic['instance-identity'].document).toMatchObject({ accountId: owner, region: 'eu-west-1' })
    expect(network.ethernets).toEqual({
      eth0: { dhcp4: true, dhcp6: false, match: { macaddress: mac }, 'set-name': 'eth0' },
    })
  })

  test('ec2-metadata shows what there is, and says what is not', async (context) => {
    const root = unpacked(context)
    if (!(await works('curl', '--version'))) return context.skip('curl is not there')
    // The program knows one address; curl's own settings lead from there to the relay.
    const to = new URL(metadata.url).host
    await writeFile(join(root, '.curlrc'), `connect-to = "169.254.169.254:80:${to}"\n`)
    const env = { ...process.env, no_proxy: '*', CURL_HOME: root }
    const ask = (option: string) => run('bash', [join(root, 'usr/bin/ec2-metadata'), option], { env })
    expect(await ask('--ami-id')).toBe(`ami-id: ${instance.ImageId}\n`)
    expect(await ask('--availability-zone')).toBe(`placement: ${instance.Placement!.AvailabilityZone}\n`)
    expect(await ask('--block-device-mapping')).toBe(
      'block-device-mapping: \n\t ami: /dev/xvda\n\t ebs1: sdf\n\t root: /dev/xvda\n',
    )
    expect(await ask('--kernel-id')).toBe('kernel-id: not available\n')
    expect(await ask('--public-keys')).toMatch(
      /^public-keys: \nkeyname:mine\nindex:0\nformat:openssh-key\n.*\nssh-ed25519 /,
    )
    expect(await ask('--tags')).toContain('\t Name: web 1\n')
  })
})

test('the identity document is proved by the commands that AWS documents', async (context) => {
  if (!(await works('curl', '--version'))) return context.skip('curl is not there')
  const folder = await mkdtemp(join(tmpdir(), 'kiln-identity-'))
  const { certificate } = await served().cloud.certificates.cloudIdentity()
  await writeFile(join(folder, 'certificate'), certificate)
  const commands = `
    TOKEN=$(curl -s -X PUT "$IMDS/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 21600")
    identity() { curl -s -H "X-aws-ec2-metadata-token: $TOKEN" "$IMDS/latest/dynamic/instance-identity/$1"; }
    for name in pkcs7 rsa2048; do
      (echo "-----BEGIN PKCS7-----"; identity $name; echo; echo "-----END PKCS7-----") > $name
      openssl smime -verify -in $name -inform PEM -certfile certificate -noverify -out document.$name -binary 2>&1
    done
    identity document > document
    cmp document document.pkcs7 && cmp document document.rsa2048
    identity signature | base64 -d > signature
    openssl x509 -pubkey -noout -in certificate > key
    openssl dgst -sha256 -verify key -signature signature document`
  try {
    const env = { ...process.env, no_proxy: '*', IMDS: metadata.url }
    const said = await run('bash', ['-euc', commands], { cwd: folder, env })
    expect(said).toBe('Verification successful\nVerification successful\nVerified OK\n')
    const document = JSON.parse(await readFile(join(folder, 'document'), 'utf8'))
    expect(document).toMatchObject({ instanceId: instance.InstanceId, privateIp: instance.PrivateIpAddress })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
