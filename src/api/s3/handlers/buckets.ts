/** Buckets: made, found, listed, removed. */
import { KilnError } from '../../../lib/errors.ts'
import { regionNames } from '../../../lib/regions.ts'
import { element, textElement } from '../../xml-writer.ts'
import { canonicalId, requestedAcl } from '../access-control.ts'
import { invalidArgument, notImplemented } from '../errors.ts'
import type { S3Handlers } from '../handler.ts'
import { readNumber } from '../parameters.ts'
import type { S3Request } from '../request.ts'
import { readWhole } from '../upload-body.ts'
import { isoTime, parseXml, textOf, xmlAnswer } from '../xml.ts'

const bucketsMax = 10_000
/** The region whose buckets have no location, since it was the first. */
const firstRegion = 'us-east-1'
/** Names of locations from before regions had theirs. */
const oldLocations: Readonly<Record<string, string>> = { EU: 'eu-west-1' }

export const bucketHandlers = {
  async ListBuckets({ requester, query }, cloud) {
    const prefix = query.get('prefix') ?? ''
    const limit = readNumber(query, 'max-buckets', { min: 1, max: bucketsMax, usual: bucketsMax })
    const region = query.get('bucket-region')
    const after = query.get('continuation-token') ?? ''
    const list = { prefix, after, limit, ...(region === undefined ? {} : { region }) }
    const { buckets, next } = await cloud.buckets.list(requester, list)
    const owner = [textElement('ID', canonicalId(requester)), textElement('DisplayName', requester)]
    return xmlAnswer('ListAllMyBucketsResult', [
      element('Owner', ...owner),
      element(
        'Buckets',
        ...buckets.map(({ name, createdAtMs, region: at }) =>
          element(
            'Bucket',
            textElement('Name', name),
            textElement('CreationDate', isoTime(createdAtMs)),
            textElement('BucketRegion', at),
          ),
        ),
      ),
      ...(prefix === '' ? [] : [textElement('Prefix', prefix)]),
      ...(next === null ? [] : [textElement('ContinuationToken', next)]),
    ])
  },

  async CreateBucket(request, cloud) {
    const { requester, bucket, headers } = request
    if (headers.get('x-amz-bucket-object-lock-enabled') === 'true') throw notImplemented('A lock of objects')
    const ownership = headers.get('x-amz-object-ownership') ?? 'ObjectWriter'
    if (ownership !== 'ObjectWriter') throw notImplemented(`The object ownership '${ownership.slice(0, 64)}'`)
    const region = await locationOf(request)
    const scope = { accountId: requester, region }
    await cloud.enter(scope)
    try {
      await cloud.buckets.create(scope, bucket, requestedAcl(headers) ?? { canned: 'private' })
    } catch (error) {
      // As it was in the first region from the beginning: who has the bucket may ask for it again.
      const isAgain = error instanceof KilnError && error.code === 'BucketAlreadyOwnedByYou' && region === firstRegion
      if (!isAgain) throw error
    }
    return { status: 200, headers: { location: `/${bucket}` }, body: '' }
  },

  async HeadBucket({ requester, bucket }, cloud) {
    const { region } = await cloud.buckets.find(requester, bucket)
    return { status: 200, headers: { 'x-amz-bucket-region': region }, body: '' }
  },

  async DeleteBucket({ requester, bucket }, cloud) {
    await cloud.buckets.remove(requester, bucket)
    return { status: 204, body: '' }
  },

  async GetBucketLocation({ requester, bucket }, cloud) {
    const { region } = await cloud.buckets.own(requester, bucket)
    return xmlAnswer('LocationConstraint', region === firstRegion ? [] : [region])
  },
} satisfies Partial<S3Handlers>

/**
 * Where a new bucket shall be: what its body says; without, where the request was signed for, if that is the first region.
 * Throws `IllegalLocationConstraintException`, `InvalidLocationConstraint`.
 */
async function locationOf(request: S3Request): Promise<string> {
  const body = await readWhole(request)
  const configuration = body.length === 0 ? {} : parseXml(body, 'CreateBucketConfiguration')
  const constraint = textOf(configuration, 'LocationConstraint') ?? ''
  if (configuration.Tags !== undefined || configuration.Bucket !== undefined) {
    throw notImplemented('A tag or a type of buckets')
  }
  const { region, isRegionSigned } = request
  const isElsewhere = isRegionSigned && region !== firstRegion
  if (constraint === '') {
    if (!isElsewhere) return firstRegion
    throw new KilnError(
      'IllegalLocationConstraintException',
      'The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.',
    )
  }
  const wanted = oldLocations[constraint] ?? constraint
  if (!Object.hasOwn(regionNames, wanted) || wanted === firstRegion) {
    throw new KilnError('InvalidLocationConstraint', 'The specified location-constraint is not valid')
  }
  if (isElsewhere && wanted !== region) {
    throw new KilnError(
      'IllegalLocationConstraintException',
      `The ${constraint.slice(0, 64)} location constraint is incompatible for the region specific endpoint this request was sent to.`,
    )
  }
  return wanted
}

export function checkBucketOwner({ headers }: S3Request, accountId: string): void {
  const expected = headers.get('x-amz-expected-bucket-owner')
  if (expected === undefined || expected === accountId) return
  if (!/^\d{12}$/.test(expected)) throw invalidArgument('x-amz-expected-bucket-owner must be an account id.')
  throw new KilnError('AccessDenied', 'Access Denied')
}
