/** Snapshots read and written block by block, by the official client of the EBS direct APIs. */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import {
  CompleteSnapshotCommand,
  type CompleteSnapshotCommandInput,
  type EBSClient,
  GetSnapshotBlockCommand,
  ListChangedBlocksCommand,
  type ListChangedBlocksCommandInput,
  ListSnapshotBlocksCommand,
  type ListSnapshotBlocksCommandInput,
  PutSnapshotBlockCommand,
  type PutSnapshotBlockCommandInput,
  StartSnapshotCommand,
  type StartSnapshotCommandInput,
} from '@aws-sdk/client-ebs'
import { DescribeSnapshotsCommand, type EC2Client, type Snapshot } from '@aws-sdk/client-ec2'
import { systemClock, waitFor } from '../../src/lib/clock.ts'

export const blockBytes = 524_288

/** A block of one repeated text. */
export const blockOf = (text: string) => Buffer.alloc(blockBytes, text)

export const sha256 = (...pieces: readonly Uint8Array[]): Buffer => {
  const digest = createHash('sha256')
  for (const piece of pieces) digest.update(piece)
  return digest.digest()
}

/** By block index. */
export type Disk = ReadonlyMap<number, Uint8Array>

export const diskOf = (texts: Readonly<Record<number, string>>): Disk =>
  new Map(Object.entries(texts).map(([index, text]) => [Number(index), blockOf(text)]))

export class DirectSnapshots {
  readonly ebs: EBSClient
  readonly ec2: EC2Client

  constructor(ebs: EBSClient, ec2: EC2Client) {
    this.ebs = ebs
    this.ec2 = ec2
  }

  async start(input: Partial<StartSnapshotCommandInput> = {}): Promise<string> {
    return (await this.ebs.send(new StartSnapshotCommand({ VolumeSize: 1, ...input }))).SnapshotId!
  }

  /** With the checksum of the content, unless it is a stream: then `more` must bring it. */
  put(
    snapshotId: string,
    index: number,
    content: Uint8Array | Readable,
    more: Partial<PutSnapshotBlockCommandInput> = {},
  ) {
    return this.ebs.send(
      new PutSnapshotBlockCommand({
        SnapshotId: snapshotId,
        BlockIndex: index,
        BlockData: content,
        DataLength: blockBytes,
        Checksum: content instanceof Uint8Array ? sha256(content).toString('base64') : undefined,
        ChecksumAlgorithm: 'SHA256',
        ...more,
      }),
    )
  }

  complete(snapshotId: string, count: number, more: Partial<CompleteSnapshotCommandInput> = {}) {
    return this.ebs.send(new CompleteSnapshotCommand({ SnapshotId: snapshotId, ChangedBlocksCount: count, ...more }))
  }

  /** Writes all blocks at once and seals the snapshot with the checksum of their checksums. */
  async write(snapshotId: string, disk: Disk): Promise<void> {
    await Promise.all([...disk].map(([index, content]) => this.put(snapshotId, index, content)))
    const inOrder = [...disk].sort(([a], [b]) => a - b).map(([, content]) => sha256(content))
    await this.complete(snapshotId, disk.size, {
      Checksum: sha256(...inOrder).toString('base64'),
      ChecksumAlgorithm: 'SHA256',
      ChecksumAggregationMethod: 'LINEAR',
    })
  }

  /** A completed snapshot of that content. */
  async make(disk: Disk, input: Partial<StartSnapshotCommandInput> = {}): Promise<string> {
    const id = await this.start(input)
    await this.write(id, disk)
    await this.settled(id)
    return id
  }

  async describe(snapshotId: string): Promise<Snapshot> {
    const { Snapshots: found } = await this.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [snapshotId] }))
    return found![0]!
  }

  /** The snapshot, once it is no longer pending. */
  async settled(snapshotId: string, withinMs = 60_000): Promise<Snapshot> {
    const found = await waitFor(
      systemClock,
      async () => {
        const snapshot = await this.describe(snapshotId)
        return snapshot.State === 'pending' ? undefined : snapshot
      },
      { everyMs: 50, timeoutMs: withinMs },
    )
    if (!found) throw new Error(`${snapshotId} was still pending after ${withinMs} ms`)
    return found
  }

  async list(snapshotId: string, more: Partial<ListSnapshotBlocksCommandInput> = {}) {
    const pages = []
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const input = { SnapshotId: snapshotId, NextToken: token, ...more }
      const page = await this.ebs.send(new ListSnapshotBlocksCommand(input))
      pages.push(page)
      token = page.NextToken
    }
    return { pages, blocks: pages.flatMap((page) => page.Blocks!) }
  }

  async changes(first: string, second: string, more: Partial<ListChangedBlocksCommandInput> = {}) {
    const pages = []
    for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
      const input = { FirstSnapshotId: first, SecondSnapshotId: second, NextToken: token, ...more }
      const page = await this.ebs.send(new ListChangedBlocksCommand(input))
      pages.push(page)
      token = page.NextToken
    }
    return { pages, blocks: pages.flatMap((page) => page.ChangedBlocks!) }
  }

  /** A block's content, which must have the checksum that came with it. */
  async get(snapshotId: string, index: number, token: string): Promise<Buffer> {
    const input = { SnapshotId: snapshotId, BlockIndex: index, BlockToken: token }
    const answer = await this.ebs.send(new GetSnapshotBlockCommand(input))
    const content = Buffer.from(await answer.BlockData!.transformToByteArray())
    const told = [answer.DataLength, answer.ChecksumAlgorithm, answer.Checksum]
    const actual = [content.length, 'SHA256', sha256(content).toString('base64')]
    if (String(told) !== String(actual)) throw new Error(`block ${index}: told ${told}, came ${actual}`)
    return content
  }

  /** Everything that the snapshot lists. */
  async read(snapshotId: string): Promise<Map<number, Buffer>> {
    const { blocks } = await this.list(snapshotId)
    const contents = await Promise.all(
      blocks.map(async ({ BlockIndex: index, BlockToken: token }) => {
        return [index!, await this.get(snapshotId, index!, token!)] as const
      }),
    )
    return new Map(contents)
  }
}
