/** Who may use S3, and how they prove it: ACLs, presigned URLs, forms, old signatures, no signature at all. */
import { createHash, createHmac } from 'node:crypto'
import { request } from 'node:http'
import {
  CreateBucketCommand,
  GetBucketAclCommand,
  GetBucketOwnershipControlsCommand,
  GetBucketPolicyCommand,
  GetBucketTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  GetPublicAccessBlockCommand,
  ListObjectsV2Command,
  type ObjectCannedACL,
  PutBucketAclCommand,
  PutBucketVersioningCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import { beforeAll, describe, expect, test } from 'vitest'
import { objectFiles, refusalOf } from '../support/object-files.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const stranger = '000000000002'
const served = useServedCloud()
const Bucket = 'guarded'
let s3: S3Client
let others: S3Client
beforeAll(async () => {
  s3 = served().s3(account)
  others = served().s3(stranger)
  await s3.send(new CreateBucketCommand({ Bucket }))
  await s3.send(new PutObjectCommand({ Bucket, Key: 'secret', Body: 'secret' }))
})

interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** A request as any program could send it. */
function send(
  path: string,
  { body, ...options }: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(served().url + path, { agent: false, ...options }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(pieces).toString() }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const codeOf = ({ body }: Reply) => /<Code>([^<]*)<\/Code>/.exec(body)?.[1]
const shared = (Key: string, ACL: ObjectCannedACL) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body: `${Key} is ${ACL}`, ACL }))
const asStranger = (Key: string) => refusalOf(others.send(new GetObjectCommand({ Bucket, Key })))

describe('ACLs', () => {
  test('keep others out, until one lets them in', async () => {
    expect(await asStranger('secret')).toBe('AccessDenied 403')
    // Not even whether it is there.
    expect(await asStranger('no such key')).toBe('AccessDenied 403')
    const put = () => refusalOf(others.send(new PutObjectCommand({ Bucket, Key: 'theirs', Body: 'x' })))
    expect(await put()).toBe('AccessDenied 403')
    expect(await refusalOf(others.send(new ListObjectsV2Command({ Bucket })))).toBe('AccessDenied 403')
    expect(await refusalOf(others.send(new GetBucketAclCommand({ Bucket })))).toBe('AccessDenied 403')
    expect(await refusalOf(others.send(new PutObjectAclCommand({ Bucket, Key: 'secret', ACL: 'public-read' })))).toBe(
      'AccessDenied 403',
    )
    await shared('for accounts', 'authenticated-read')
    await shared('for all', 'public-read')
    await shared('for the cloud', 'aws-exec-read')
    expect(await asStranger('for accounts')).toBe('accepted')
    expect(await asStranger('for all')).toBe('accepted')
    expect(await asStranger('for the cloud')).toBe('AccessDenied 403')
    const open = await send(`/${Bucket}/for%20all`)
    expect(open.body).toBe('for all is public-read')
    // Nothing that is kept here runs in a browser as a page of Kiln's.
    expect([open.headers['content-security-policy'], open.headers['x-content-type-options']]).toEqual([
      'sandbox',
      'nosniff',
    ])
    expect(codeOf(await send(`/${Bucket}/for%20accounts`))).toBe('AccessDenied')
    expect(codeOf(await send(`/${Bucket}/secret`))).toBe('AccessDenied')
    expect(codeOf(await send(`/${Bucket}`))).toBe('AccessDenied')
    expect((await send(`/${Bucket}/for%20all`, { headers: { origin: 'http://evil.example' } })).status).toBe(403)
    const without = await send(`/${Bucket}/for%20all`, { method: 'PUT', body: 'x' })
    expect([without.status, codeOf(without)]).toEqual([403, 'MissingAuthenticationToken'])
  })

  test('are shown, and set by grants as well as by name', async () => {
    await shared('listed', 'aws-exec-read')
    const { Grants, Owner } = await s3.send(new GetObjectAclCommand({ Bucket, Key: 'listed' }))
    expect(Grants!.map(({ Grantee, Permission }) => `${Grantee!.DisplayName} ${Permission}`)).toEqual([
      `${account} FULL_CONTROL`,
      'za-team READ',
    ])
    const mine = { Grantee: { Type: 'CanonicalUser' as const, ID: Owner!.ID }, Permission: 'FULL_CONTROL' as const }
    const { Owner: them } = await others
      .send(new CreateBucketCommand({ Bucket: 'theirs' }))
      .then(() => others.send(new GetBucketAclCommand({ Bucket: 'theirs' })))
    const grant = (ID: string) => ({ Grantee: { Type: 'CanonicalUser' as const, ID }, Permission: 'READ' as const })
    const set = (ID: string) =>
      s3.send(
        new PutObjectAclCommand({
          Bucket,
          Key: 'listed',
          AccessControlPolicy: { Owner: Owner!, Grants: [mine, grant(ID)] },
        }),
      )
    await set(them!.ID!)
    expect(await asStranger('listed')).toBe('accepted')
    expect(await refusalOf(set('0'.repeat(64)))).toBe('InvalidArgument 400')
    await s3.send(
      new PutObjectCommand({
        Bucket,
        Key: 'by header',
        Body: 'x',
        GrantRead: `id="${them!.ID}"`,
        GrantReadACP: `id=${them!.ID}`,
      }),
    )
    expect(await asStranger('by header')).toBe('accepted')
    expect(await refusalOf(others.send(new GetObjectAclCommand({ Bucket, Key: 'by header' })))).toBe('accepted')
    await s3.send(new PutBucketAclCommand({ Bucket, GrantWrite: `id="${them!.ID}"` }))
    await others.send(new PutObjectCommand({ Bucket, Key: 'their own', Body: 'x' }))
    // Whoever writes an object owns it; the bucket's owner may remove it.
    expect(await refusalOf(s3.send(new GetObjectCommand({ Bucket, Key: 'their own' })))).toBe('AccessDenied 403')
    await others.send(new PutObjectCommand({ Bucket, Key: 'their own', Body: 'x', ACL: 'bucket-owner-full-control' }))
    expect(await refusalOf(s3.send(new GetObjectCommand({ Bucket, Key: 'their own' })))).toBe('accepted')
    await s3.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }))
  })

  test('whose owner is another than the request thinks are not served', async () => {
    const ask = (ExpectedBucketOwner: string) =>
      refusalOf(s3.send(new GetObjectCommand({ Bucket, Key: 'secret', ExpectedBucketOwner })))
    expect(await ask(account)).toBe('accepted')
    expect(await ask(stranger)).toBe('AccessDenied 403')
  })
})

test('what buckets have not is told as S3 tells it of a bucket without', async () => {
  const ask = (command: object) => refusalOf(s3.send(command as never))
  expect(await ask(new GetBucketPolicyCommand({ Bucket }))).toBe('NoSuchBucketPolicy 404')
  expect(await ask(new GetBucketTaggingCommand({ Bucket }))).toBe('NoSuchTagSet 404')
  expect(await ask(new GetPublicAccessBlockCommand({ Bucket }))).toBe('NoSuchPublicAccessBlockConfiguration 404')
  expect((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBeUndefined()
  expect((await s3.send(new GetBucketOwnershipControlsCommand({ Bucket }))).OwnershipControls!.Rules).toEqual([
    { ObjectOwnership: 'ObjectWriter' },
  ])
  const versioning = { VersioningConfiguration: { Status: 'Enabled' as const } }
  expect(await ask(new PutBucketVersioningCommand({ Bucket, ...versioning }))).toBe('NotImplemented 501')
})

test('a bucket may stand in the host', async () => {
  const { host } = new URL(served().url)
  const port = host.split(':')[1]
  await shared('pub', 'public-read')
  for (const name of [`${Bucket}.s3.localhost`, `${Bucket}.localhost`, `${Bucket}.s3.eu-west-1.localhost`]) {
    expect((await send('/pub', { headers: { host: `${name}:${port}` } })).body).toBe('pub is public-read')
    expect(codeOf(await send('/', { headers: { host: `${name}:${port}` } }))).toBe('AccessDenied')
  }
  expect((await send('/pub', { headers: { host: `${Bucket}.s3.evil.example` } })).status).toBe(403)
})

/** The hash that the official signer asks for. */
class Sha256 {
  readonly #hash
  constructor(secret?: string | ArrayBuffer | Uint8Array) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', Buffer.from(secret as Uint8Array))
  }
  update(data: string | Uint8Array) {
    this.#hash.update(data)
  }
  async digest() {
    return new Uint8Array(this.#hash.digest())
  }
  reset() {}
}

describe('presigned URLs', () => {
  const presign = (method: string, Key: string, query: Record<string, string> = {}) => {
    const { hostname, port } = new URL(served().url)
    const signer = new SignatureV4({
      service: 's3',
      region: 'eu-west-1',
      credentials: { accessKeyId: account, secretAccessKey: 'any' },
      sha256: Sha256 as never,
      uriEscapePath: false,
    })
    return signer.presign(
      {
        ...{ method, protocol: 'http:', hostname, port: Number(port) },
        ...{ path: `/${Bucket}/${Key}`, query, headers: { host: `${hostname}:${port}` } },
      },
      { expiresIn: 300 },
    )
  }
  const target = async (...args: Parameters<typeof presign>) => {
    const { path, query } = await presign(...args)
    return `${path}?${new URLSearchParams(query as Record<string, string>)}`
  }

  test('read and write without any header of ours', async () => {
    const put = await send(await target('PUT', 'presigned'), { method: 'PUT', body: 'from outside' })
    expect(put.status).toBe(200)
    const got = await send(await target('GET', 'presigned', { 'response-content-type': 'text/x' }))
    expect([got.body, got.headers['content-type']]).toEqual(['from outside', 'text/x'])
    const old = `/${Bucket}/presigned?AWSAccessKeyId=${account}&Expires=9999999999&Signature=any`
    expect((await send(old)).body).toBe('from outside')
  })
})

describe('a form', () => {
  const boundary = 'the-boundary'
  const policyOf = (conditions: unknown[], expiration = '2099-01-01T00:00:00Z') =>
    Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64')
  const form = (fields: Record<string, string>, file?: string, end = `--${boundary}--\r\n`) =>
    [
      ...Object.entries(fields).map(
        ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      ),
      file === undefined
        ? ''
        : `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\nContent-Type: text/plain\r\n\r\n${file}\r\n`,
      end,
    ].join('')
  const post = (body: string) =>
    send(`/${Bucket}`, {
      method: 'POST',
      body,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
  const key = { AWSAccessKeyId: account, signature: 'any' }
  const conditions = [
    { bucket: Bucket },
    ['starts-with', '$key', 'forms/'],
    { acl: 'public-read' },
    ['content-length-range', 3, 2000],
  ]

  test('uploads what its policy allows, and no more', async () => {
    const before = (await objectFiles(served())).length
    const policy = policyOf(conditions)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: so S3 names the file's own name.
    const fields = { key: 'forms/${filename}', acl: 'public-read', policy, ...key }
    expect((await post(form(fields, 'form data'))).status).toBe(204)
    expect((await send(`/${Bucket}/forms/a%20b.txt`)).body).toBe('form data')
    const created = await post(form({ ...fields, success_action_status: '201' }, 'x'))
    expect(codeOf(created)).toBe('AccessDenied')
    const more = policyOf([...conditions, ['eq', '$success_action_status', '201']])
    const answered = await post(form({ ...fields, policy: more, success_action_status: '201' }, 'form data'))
    expect([answered.status, answered.body]).toEqual([201, expect.stringContaining('<Key>forms/a b.txt</Key>')])

    const refused = async (changed: Record<string, string>, file: string | undefined = 'form data') =>
      codeOf(await post(form({ ...fields, ...changed }, file)))
    expect(await refused({ key: 'elsewhere' })).toBe('AccessDenied')
    expect(await refused({ acl: 'private' })).toBe('AccessDenied')
    const anyName = policyOf([
      ...conditions,
      ['starts-with', '$x-amz-meta-name', ''],
      ['starts-with', '$x-amz-meta-a b', ''],
    ])
    expect(await refused({ policy: anyName, 'x-amz-meta-name': '名' })).toBe('InvalidArgument')
    expect(await refused({ policy: anyName, 'x-amz-meta-name': 'a\r\nset-cookie: b' })).toBe('InvalidArgument')
    expect(await refused({ policy: anyName, 'x-amz-meta-a b': 'c' })).toBe('InvalidArgument')
    expect(await refused({ 'x-amz-meta-more': '1' })).toBe('AccessDenied')
    expect(await refused({ policy: policyOf(conditions, '2020-01-01T00:00:00Z') })).toBe('AccessDenied')
    expect(await refused({ policy: 'nonsense' })).toBe('InvalidPolicyDocument')
    expect(await refused({}, 'xy')).toBe('EntityTooSmall')
    expect(await refused({}, 'x'.repeat(2001))).toBe('EntityTooLarge')
    expect(codeOf(await post(form({ ...fields, long: 'x'.repeat(30_000) }, 'x')))).toBe('MaxMessageLengthExceeded')
    expect(codeOf(await post(form(fields)))).toBe('InvalidArgument')
    expect(codeOf(await post(form(fields, 'broken off', '')))).toBe('MalformedPOSTRequest')
    const { policy: _, ...unsigned } = fields
    expect(codeOf(await post(form(unsigned, 'x')))).toBe('AccessDenied')
    expect(await objectFiles(served())).toHaveLength(before + 1)
  })
})
