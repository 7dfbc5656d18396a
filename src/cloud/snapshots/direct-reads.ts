/**
 * Snapshots as the EBS direct APIs read them. Source: "Read Amazon EBS snapshots with EBS direct APIs" in the EBS user
 * guide.
 *
 * A list has the blocks that are not zeros. AWS lists the blocks that were written; one that was written as zeros is
 * left out here, because the block store keeps none: whoever takes what is not listed for zeros gets the same disk. A
 * list of changes is another matter, for what is not in it is taken for unchanged: a block that became zeros is listed,
 * and its token reads zeros.
 */
import { KilnError } from '../../lib/errors.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { directBlockKey } from '../encryption/direct-keys.ts'
import { completedSnapshot } from './direct-access.ts'
import { blockTokenLivesMs, pageTokenLivesMs, readToken, writeToken } from './direct-tokens.ts'
import { areUnrelated } from './lineage.ts'

export interface BlockListRequest {
  /** Ignored with a page token. */
  startIndex: number
  limit: number
  pageToken?: string
}

export interface BlockList<T> {
  blocks: T[]
  sizeGib: number
  tokensExpireAtMs: number
  /** Null on the last page. */
  nextPageToken: string | null
}

export interface ListedBlock {
  index: number
  token: string
}

export interface ChangedBlock {
  index: number
  /** Null where the first snapshot has no block. */
  firstToken: string | null
  secondToken: string
}

export class DirectReads {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  async blocks(scope: Scope, snapshotId: string, request: BlockListRequest): Promise<BlockList<ListedBlock>> {
    const { state, blocks } = this.#deps
    const { snapshot, root } = await completedSnapshot(state, scope, snapshotId)
    const pages = this.#pages(scope, [snapshotId], request)
    const page = await blocks.contents.blocksFrom({ region: scope.region, root, ...pages.range })
    return pages.answer(snapshot.sizeGib, page.next, (expiresAtMs) =>
      page.items.map(({ index, hash }) => ({ index, token: blockToken(scope, snapshotId, index, hash, expiresAtMs) })),
    )
  }

  /** What is different in the second snapshot. Throws ValidationException when the two have no common origin. */
  async changedBlocks(
    scope: Scope,
    firstId: string,
    secondId: string,
    request: BlockListRequest,
  ): Promise<BlockList<ChangedBlock>> {
    const { state, blocks } = this.#deps
    const first = await completedSnapshot(state, scope, firstId)
    const second = await completedSnapshot(state, scope, secondId)
    if (await areUnrelated(state, first.snapshot, second.snapshot)) {
      throw new KilnError(
        'ValidationException.UnrelatedSnapshots',
        `The snapshots '${firstId}' and '${secondId}' are not of the same volume or snapshot lineage.`,
      )
    }
    const pages = this.#pages(scope, [firstId, secondId], request)
    const roots = { first: first.root, second: second.root }
    const page = await blocks.contents.changesFrom({ region: scope.region, ...roots, ...pages.range })
    return pages.answer(second.snapshot.sizeGib, page.next, (expiresAtMs) =>
      page.items.map(({ index, first: was, second: is }) => ({
        index,
        firstToken: was === null ? null : blockToken(scope, firstId, index, was, expiresAtMs),
        secondToken: blockToken(scope, secondId, index, is, expiresAtMs),
      })),
    )
  }

  /** A listed block's content and its SHA-256. The buffer may be shared: nobody may write into it. */
  async block(
    scope: Scope,
    snapshotId: string,
    wanted: { index: number; token: string },
  ): Promise<{ content: Buffer; hash: string }> {
    const { state, blocks, clock } = this.#deps
    const { snapshot, root } = await completedSnapshot(state, scope, snapshotId)
    const hash = await blocks.contents.hashAt(scope.region, root, wanted.index)
    if (hash === undefined) {
      throw new KilnError('ValidationException.InvalidBlock', `Block ${wanted.index} is beyond the volume's end.`)
    }
    const claim = readToken(boundOf(scope, snapshotId, hash), wanted.token, clock.now())
    if (claim?.blockIndex !== wanted.index) {
      throw new KilnError(
        'ValidationException.InvalidBlockToken',
        `The token for block ${wanted.index} of '${snapshotId}' is not valid, or has expired. List the blocks again.`,
      )
    }
    const sealKey = await directBlockKey(this.#deps, scope.accountId, snapshot.dataKeyId)
    const content = await blocks.contents.read(scope.region, hash, sealKey)
    // A sealed block's name says nothing of its content.
    return { content, hash: sealKey ? blocks.contents.hashOf(content) : hash }
  }

  /** Where the page of a list begins, and how its answer is made. */
  #pages(scope: Scope, snapshotIds: readonly string[], { startIndex, limit, pageToken }: BlockListRequest) {
    const nowMs = this.#deps.clock.now()
    const bound = ['page', scope.accountId, scope.region, ...snapshotIds]
    const claim = pageToken === undefined ? undefined : readToken(bound, pageToken, nowMs)
    if (pageToken !== undefined && !claim) {
      throw new KilnError('ValidationException.InvalidPageToken', 'The page token is not valid, or has expired.')
    }
    const nextToken = (blockIndex: number) => writeToken(bound, { expiresAtMs: nowMs + pageTokenLivesMs, blockIndex })
    return {
      range: { fromIndex: claim?.blockIndex ?? startIndex, limit },
      answer<T>(sizeGib: number, next: number | null, blocksUntil: (expiresAtMs: number) => T[]): BlockList<T> {
        const tokensExpireAtMs = nowMs + blockTokenLivesMs
        const nextPageToken = next === null ? null : nextToken(next)
        return { blocks: blocksUntil(tokensExpireAtMs), sizeGib, tokensExpireAtMs, nextPageToken }
      },
    }
  }
}

const boundOf = ({ region }: Scope, snapshotId: string, hash: string) => ['block', region, snapshotId, hash]

function blockToken(scope: Scope, snapshotId: string, blockIndex: number, hash: string, expiresAtMs: number): string {
  return writeToken(boundOf(scope, snapshotId, hash), { expiresAtMs, blockIndex })
}
