/** The six operations: a request into the domain's words, and what the domain says into an answer. */
import type { ListChangedBlocksResponse, ListSnapshotBlocksResponse, StartSnapshotResponse } from '@aws-sdk/client-ebs'
import type { Cloud } from '../../cloud/cloud.ts'
import type { Scope } from '../../cloud/deps.ts'
import type { BlockList, BlockListRequest } from '../../cloud/snapshots/direct-reads.ts'
import { KilnError } from '../../lib/errors.ts'
import { readClientToken } from '../ec2/shared/client-tokens.ts'
import { ec2Tags } from '../ec2/shared/views.ts'
import type { HttpAnswer } from '../service.ts'
import {
  base64Of,
  readBlockIndex,
  readChecksum,
  readChoice,
  readInteger,
  readSnapshotId,
  readStartSnapshot,
} from './codec.ts'
import type { EbsOperation, EbsRoute } from './routes.ts'

export type EbsCloud = Pick<Cloud, 'enter' | 'directReads' | 'directUploads' | 'encryption'>

export interface EbsRequest {
  route: EbsRoute
  query: ReadonlyMap<string, string>
  headers: ReadonlyMap<string, string>
  body: Buffer
  scope: Scope
  cloud: EbsCloud
}

const blockBytes = 524_288
const checksumAlgorithm = 'SHA256'
const pageMin = 100
const pageMax = 10_000
const timeoutDefaultMinutes = 60

export const ebsHandlers: Readonly<Record<EbsOperation, (request: EbsRequest) => Promise<HttpAnswer>>> = {
  async ListSnapshotBlocks({ route, query, scope, cloud }) {
    const list = await cloud.directReads.blocks(scope, snapshotIdOf(route), readListRequest(query))
    const blocks = list.blocks.map(({ index, token }) => ({ BlockIndex: index, BlockToken: token }))
    return json(200, { Blocks: blocks, ...listFacts(list) } satisfies JsonOf<ListSnapshotBlocksResponse>)
  },

  async ListChangedBlocks({ route, query, scope, cloud }) {
    const first = readSnapshotId('FirstSnapshotId', query.get('firstSnapshotId'))
    const list = await cloud.directReads.changedBlocks(scope, first, snapshotIdOf(route), readListRequest(query))
    const blocks = list.blocks.map(({ index, firstToken, secondToken }) => ({
      BlockIndex: index,
      FirstBlockToken: firstToken ?? undefined,
      SecondBlockToken: secondToken,
    }))
    return json(200, { ChangedBlocks: blocks, ...listFacts(list) } satisfies JsonOf<ListChangedBlocksResponse>)
  },

  async GetSnapshotBlock({ route, query, scope, cloud }) {
    const wanted = { index: readBlockIndex(route.blockIndex), token: query.get('blockToken') ?? '' }
    const { content, hash } = await cloud.directReads.block(scope, snapshotIdOf(route), wanted)
    const headers = { 'x-amz-data-length': String(content.length), ...checksumHeaders(hash) }
    return { status: 200, contentType: 'application/octet-stream', headers, body: content }
  },

  async PutSnapshotBlock({ route, headers, body, scope, cloud }) {
    const snapshotId = snapshotIdOf(route)
    const index = readBlockIndex(route.blockIndex)
    readInteger('DataLength', headers.get('x-amz-data-length'), { min: blockBytes, max: blockBytes })
    checkAlgorithm(headers, true)
    const checksum = readChecksum('Checksum', headers.get('x-amz-checksum'))
    const progress = headers.has('x-amz-progress')
      ? readInteger('Progress', headers.get('x-amz-progress'), { min: 0, max: 100 })
      : null
    if (body.length !== blockBytes) {
      throw new KilnError(
        'ValidationException.InvalidBlock',
        `The data of a block are ${blockBytes} bytes, and ${body.length} came.`,
      )
    }
    await cloud.directUploads.put(scope, snapshotId, { index, content: body, checksum, progress })
    return { ...json(201, {}), headers: checksumHeaders(checksum) }
  },

  async StartSnapshot({ body, scope, cloud }) {
    const input = readStartSnapshot(body)
    const tags = (input.Tags ?? []).map(({ Key, Value }) => ({ key: Key!, value: Value! }))
    const snapshot = await cloud.directUploads.start(scope, {
      sizeGib: input.VolumeSize!,
      parentSnapshotId: input.ParentSnapshotId ?? null,
      encryption: { encrypted: input.Encrypted ?? null, kmsKeyId: input.KmsKeyArn || null },
      description: input.Description ?? '',
      tags,
      timeoutMinutes: input.Timeout ?? timeoutDefaultMinutes,
      clientToken: readClientToken(input),
    })
    return json(201, {
      SnapshotId: snapshot.id,
      OwnerId: snapshot.accountId,
      // Also when it was asked for before: the answer is that of the first time.
      Status: 'pending',
      StartTime: snapshot.startedAt / 1000,
      VolumeSize: snapshot.sizeGib,
      BlockSize: blockBytes,
      ParentSnapshotId: input.ParentSnapshotId,
      Description: input.Description,
      Tags: ec2Tags(tags),
      KmsKeyArn: (await cloud.encryption.arnsOf([snapshot])).get(snapshot.dataKeyId ?? ''),
    } satisfies JsonOf<StartSnapshotResponse>)
  },

  async CompleteSnapshot({ route, headers, scope, cloud }) {
    const count = { min: 0, max: Number.MAX_SAFE_INTEGER }
    const changedBlocks = readInteger('ChangedBlocksCount', headers.get('x-amz-changedblockscount'), count)
    const text = headers.get('x-amz-checksum')
    checkAlgorithm(headers, text !== undefined)
    readChoice('ChecksumAggregationMethod', headers.get('x-amz-checksum-aggregation-method'), ['LINEAR'])
    const checksum = text === undefined ? null : readChecksum('Checksum', text)
    const state = await cloud.directUploads.complete(scope, snapshotIdOf(route), { changedBlocks, checksum })
    return json(202, { Status: state })
  },
}

/** Times are numbers of seconds in this protocol. */
type JsonOf<Response> = { [Name in keyof Response]: Response[Name] | (Date extends Response[Name] ? number : never) }

const snapshotIdOf = ({ snapshotId }: EbsRoute) => readSnapshotId('SnapshotId', snapshotId)

/** Fewer than a hundred are a hundred: "the API will return at least 100 results" ("Frequently asked questions"). */
function readListRequest(query: ReadonlyMap<string, string>): BlockListRequest {
  const startIndex = query.get('startingBlockIndex')
  const maxResults = query.get('maxResults')
  return {
    startIndex: startIndex === undefined ? 0 : readBlockIndex(startIndex),
    limit:
      maxResults === undefined
        ? pageMax
        : Math.max(pageMin, readInteger('MaxResults', maxResults, { min: 1, max: pageMax })),
    pageToken: query.get('pageToken'),
  }
}

function listFacts({ sizeGib, tokensExpireAtMs, nextPageToken }: BlockList<unknown>) {
  return {
    ExpiryTime: tokensExpireAtMs / 1000,
    VolumeSize: sizeGib,
    BlockSize: blockBytes,
    NextToken: nextPageToken ?? undefined,
  }
}

function checksumHeaders(hash: string) {
  return { 'x-amz-checksum': base64Of(hash), 'x-amz-checksum-algorithm': checksumAlgorithm }
}

function checkAlgorithm(headers: ReadonlyMap<string, string>, isRequired: boolean): void {
  const algorithm = readChoice('ChecksumAlgorithm', headers.get('x-amz-checksum-algorithm'), [checksumAlgorithm])
  if (isRequired && algorithm === undefined) {
    throw new KilnError('ValidationException.InvalidParameterValue', 'ChecksumAlgorithm is missing.')
  }
}

function json(status: number, body: object): HttpAnswer {
  return { status, contentType: 'application/json', body: JSON.stringify(body) }
}
