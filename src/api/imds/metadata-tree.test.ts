import { describe, expect, it } from 'vitest'
import { mac, useImdsBench, web } from './imds.fixture.ts'
import { metadataVersions } from './metadata-versions.ts'

const { call } = useImdsBench()

describe('what an instance reads of itself', () => {
  it.each([
    ['/', metadataVersions.join('\n')],
    ['/latest/', 'dynamic\nmeta-data\nuser-data'],
    ['/latest/meta-data/ami-id', web.imageId],
    ['/latest/meta-data/ami-launch-index', '0'],
    ['/latest/meta-data/ami-manifest-path', '(unknown)'],
    ['/latest/meta-data/block-device-mapping/', 'ami\nebs1\nebs2\nephemeral0\nroot'],
    ['/latest/meta-data/block-device-mapping/ami', '/dev/xvda'],
    ['/latest/meta-data/block-device-mapping/root', '/dev/xvda'],
    ['/latest/meta-data/block-device-mapping/ebs2', 'sdg'],
    ['/latest/meta-data/block-device-mapping/ephemeral0', 'sdb'],
    ['/latest/meta-data/events/maintenance/history', '[]'],
    ['/latest/meta-data/events/maintenance/scheduled', '[]'],
    ['/latest/meta-data/hibernation/configured', 'false'],
    ['/latest/meta-data/hostname', web.network.privateHostname],
    ['/latest/meta-data/instance-action', 'none'],
    ['/latest/meta-data/instance-id', web.instanceId],
    ['/latest/meta-data/instance-life-cycle', 'on-demand'],
    ['/latest/meta-data/instance-type', 't3.nano'],
    ['/latest/meta-data/local-hostname', web.network.privateHostname],
    ['/latest/meta-data/local-ipv4', '172.31.0.10'],
    ['/latest/meta-data/mac', mac],
    ['/latest/meta-data/network/interfaces/macs/', `${mac}/`],
    [`/latest/meta-data/network/interfaces/macs/${mac}/subnet-ipv4-cidr-block`, '172.31.0.0/20'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/vpc-ipv4-cidr-blocks`, '172.31.0.0/16'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/security-group-ids`, 'sg-1\nsg-2'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/ipv4-associations/127.5.6.7`, '172.31.0.10'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/owner-id`, '123456789012'],
    ['/latest/meta-data/placement/', 'availability-zone\navailability-zone-id\nregion'],
    ['/latest/meta-data/placement/availability-zone', 'eu-west-1a'],
    ['/latest/meta-data/placement/region', 'eu-west-1'],
    ['/latest/meta-data/placement/availability-zone-id', 'euw1-az1'],
    ['/latest/meta-data/profile', 'default-hvm'],
    ['/latest/meta-data/public-ipv4', '127.5.6.7'],
    ['/latest/meta-data/public-keys/', '0=my key'],
    ['/latest/meta-data/public-keys/0/', 'openssh-key'],
    ['/latest/meta-data/public-keys/0/openssh-key', 'ssh-ed25519 AAAA my key'],
    ['/latest/meta-data/reservation-id', web.reservationId],
    ['/latest/meta-data/security-groups', 'default\nweb'],
    ['/latest/meta-data/services/domain', 'amazonaws.com'],
    ['/latest/meta-data/services/partition', 'aws'],
    ['/latest/meta-data/system', 'nitro'],
    ['/latest/meta-data/tags/instance/', 'Name'],
    ['/latest/meta-data/tags/instance/Name', 'web 1'],
    ['/latest/dynamic/', 'fws/\ninstance-identity/'],
    ['/latest/dynamic/fws/instance-monitoring', 'disabled'],
    ['/latest/dynamic/instance-identity/', 'document\npkcs7\nrsa2048\nsignature'],
    ['/latest', 'dynamic\nmeta-data\nuser-data'],
    ['/latest//meta-data/ami-id', web.imageId],
    ['/latest/meta-data/placement', 'availability-zone\navailability-zone-id\nregion'],
    ['/2009-04-04/meta-data/instance-id', web.instanceId],
    ['/1.0/meta-data/instance-id', web.instanceId],
    ['/2021-03-23/meta-data/instance-id', web.instanceId],
  ])('%s', async (path, text) => {
    const reply = await call('GET', path)
    expect([reply.status, reply.text]).toEqual([200, text])
    expect(reply.headers.server).toBe('EC2ws')
    expect(reply.headers['content-type']).toBe('text/plain')
  })

  it('every name that a listing shows can be read', async () => {
    const visited: string[] = []
    const walk = async (path: string): Promise<void> => {
      const listing = await call('GET', path)
      expect(listing.status, path).toBe(200)
      for (const line of listing.text.split('\n')) {
        const child = path + (path.endsWith('public-keys/') ? `${line.split('=')[0]}/` : line)
        visited.push(child)
        if (child.endsWith('/')) await walk(child)
        else expect((await call('GET', encodeURI(child))).status, child).toBe(200)
      }
    }
    await walk('/latest/meta-data/')
    await walk('/latest/dynamic/')
    expect(visited.length).toBeGreaterThan(60)
  })

  it('user data comes back byte for byte', async () => {
    const reply = await call('GET', '/latest/user-data')
    expect(reply.body).toEqual(web.userData)
    expect(reply.headers['content-type']).toBe('application/octet-stream')
  })

  it('the identity document is JSON, laid out as scripts split it', async () => {
    const reply = await call('GET', '/latest/dynamic/instance-identity/document')
    expect(JSON.parse(reply.text)).toEqual({
      accountId: '123456789012',
      architecture: 'x86_64',
      availabilityZone: 'eu-west-1a',
      billingProducts: null,
      devpayProductCodes: null,
      imageId: web.imageId,
      instanceId: web.instanceId,
      instanceType: 't3.nano',
      kernelId: null,
      marketplaceProductCodes: null,
      pendingTime: '2026-01-02T03:04:05Z',
      privateIp: '172.31.0.10',
      ramdiskId: null,
      region: 'eu-west-1',
      version: '2017-09-30',
    })
    expect(reply.text.split('\n')).toEqual(expect.arrayContaining(['{', '  "accountId" : "123456789012",', '}']))
  })

  it('the signatures are over the document as it is served', async () => {
    const read = async (name: string) => (await call('GET', `/latest/dynamic/instance-identity/${name}`)).text
    const document = await read('document')
    expect(await read('signature')).toBe(`signed ${document}`)
    expect(await read('pkcs7')).toBe(`contains ${document}`)
    expect(await read('rsa2048')).toBe(`contains ${document}`)
  })

  it('the account is told, too, where EC2 keeps credentials of its own', async () => {
    const reply = await call('GET', '/latest/meta-data/identity-credentials/ec2/info')
    expect(JSON.parse(reply.text)).toMatchObject({ Code: 'Success', AccountId: '123456789012' })
    expect((await call('GET', '/latest/meta-data/identity-credentials/ec2/')).text).toBe('info')
  })

  it('two VPCs may use one address', async () => {
    const reply = await call('GET', '/latest/meta-data/instance-id', {}, '172.31.0.10', 'vpc-2')
    expect(reply.text).toBe('i-02222222222222220')
  })

  it('HEAD tells the length and sends nothing', async () => {
    const reply = await call('HEAD', '/latest/meta-data/instance-id')
    expect([reply.status, reply.text, reply.headers['content-length']]).toEqual([200, '', '19'])
  })
})

describe('what a dated version tells', () => {
  it.each([
    ['/1.0/', 'meta-data\nuser-data'],
    [
      '/1.0/meta-data/',
      'ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-id\nlocal-ipv4\nprofile\npublic-keys/\nreservation-id\nsecurity-groups',
    ],
    ['/2009-04-04/', 'dynamic\nmeta-data\nuser-data'],
    ['/2009-04-04/meta-data/placement/', 'availability-zone'],
    ['/2014-02-25/meta-data/services/', 'domain'],
    ['/2015-10-20/meta-data/services/', 'domain\npartition'],
    ['/2019-10-01/meta-data/placement/', 'availability-zone\navailability-zone-id'],
    ['/2020-10-27/meta-data/placement/', 'availability-zone\navailability-zone-id\nregion'],
    ['/2021-03-23/meta-data/tags/', 'instance/'],
    [`/2016-06-30/meta-data/network/interfaces/macs/${mac}/vpc-ipv4-cidr-blocks`, '172.31.0.0/16'],
  ])('%s', async (path, text) => {
    const reply = await call('GET', path)
    expect([reply.status, reply.text]).toEqual([200, text])
  })

  it.each([
    '/2008-09-01/dynamic/',
    '/2009-04-04/meta-data/mac',
    '/2009-04-04/meta-data/network/',
    `/2016-04-19/meta-data/network/interfaces/macs/${mac}/vpc-ipv4-cidr-blocks`,
    '/2018-03-28/meta-data/events/',
    '/2021-01-03/meta-data/tags/instance/',
    '/2021-07-15/meta-data/system',
  ])('%s had not come yet', async (path) => {
    expect((await call('GET', path)).status).toBe(404)
  })
})
