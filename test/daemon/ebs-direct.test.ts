/** The EBS direct APIs of a daemon: what a crash may cost a writer is nothing, and clients sign as theirs do. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { EBSClient } from '@aws-sdk/client-ebs'
import { EC2Client } from '@aws-sdk/client-ec2'
import { afterEach, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { type RunningKiln, type StartOptions, startKiln } from '../e2e/support/kiln.ts'
import { blockOf, DirectSnapshots, diskOf, sha256 } from '../support/direct-snapshots.ts'

const account = '111122223333'
const region = 'us-east-1'
const aggregateOf = (disk: ReadonlyMap<number, Uint8Array>) => ({
  Checksum: sha256(...[...disk].sort(([a], [b]) => a - b).map(([, content]) => sha256(content))).toString('base64'),
  ChecksumAlgorithm: 'SHA256' as const,
  ChecksumAggregationMethod: 'LINEAR' as const,
})

let kiln: RunningKiln | undefined
afterEach(async () => {
  await kiln?.cleanup()
  kiln = undefined
})

async function start(options: StartOptions): Promise<RunningKiln> {
  kiln = await startKiln(options)
  return kiln
}

function connect(credentials = { accessKeyId: account, secretAccessKey: 'any' }): DirectSnapshots {
  const settings = { endpoint: kiln!.url, region, credentials }
  return new DirectSnapshots(new EBSClient(settings), new EC2Client(settings))
}

test('blocks that were acknowledged survive kill -9, before completion and after', async () => {
  await start({ machines: 'simulated' })
  const before = connect()
  const parent = await before.make(diskOf({ 0: 'base', 700: 'kept' }))
  const id = await before.start({ ParentSnapshotId: parent })
  const disk = diskOf({ 0: 'changed', 5: 'five', 1500: 'far' })
  await before.put(id, 0, blockOf('changed'))
  await before.put(id, 5, blockOf('five'))
  await kiln!.kill9()
  await kiln!.restart()
  const after = connect()
  expect((await after.describe(id)).State).toBe('pending')
  await after.put(id, 1500, blockOf('far'))
  expect((await after.complete(id, 3, aggregateOf(disk))).Status).toBe('pending')
  await kiln!.kill9()
  await kiln!.restart()
  const last = connect()
  expect((await last.settled(id)).State).toBe('completed')
  expect(await last.read(id)).toEqual(diskOf({ 0: 'changed', 5: 'five', 700: 'kept', 1500: 'far' }))
})

const hasAws = await run('aws', ['--version']).then(
  () => true,
  () => false,
)

async function newKey(): Promise<{ accessKeyId: string; secretAccessKey: string }> {
  const key = JSON.parse(await kiln!.command('key', 'create', '--account', account, '--json'))
  return { accessKeyId: key.id, secretAccessKey: key.secret }
}

test('with verified signatures the official client leaves blocks unsigned, and nobody else gets in', async () => {
  await start({ machines: 'simulated', auth: 'verify' })
  const key = await newKey()
  const direct = connect(key)
  const id = await direct.start()
  await direct.put(id, 3, blockOf('three'))
  const four = blockOf('four')
  const checksum = sha256(four).toString('base64')
  // A stream has no length before it ends: it comes in pieces.
  await direct.put(id, 4, Readable.from([four.subarray(0, 1000), four.subarray(1000)]), { Checksum: checksum })
  await direct.complete(id, 2)
  await direct.settled(id)
  expect(await direct.read(id)).toEqual(diskOf({ 3: 'three', 4: 'four' }))
  const forger = connect({ ...key, secretAccessKey: 'x'.repeat(40) })
  await expect(forger.start()).rejects.toMatchObject({ name: 'InvalidSignatureException' })
  await expect(forger.put(id, 0, blockOf('x'))).rejects.toMatchObject({ name: 'InvalidSignatureException' })
})

test.skipIf(!hasAws)('the AWS CLI reads and writes blocks, with verified signatures', async () => {
  await start({ machines: 'simulated', auth: 'verify' })
  const { accessKeyId, secretAccessKey } = await newKey()
  const env = { ...kiln!.env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
  const aws = async (...words: string[]) => JSON.parse(await run('aws', ['ebs', ...words], { env }))
  const [sent, got] = [join(kiln!.home, 'sent'), join(kiln!.home, 'got')]
  const content = blockOf('by the command line')
  await writeFile(sent, content)
  const { SnapshotId: id } = await aws('start-snapshot', '--volume-size', '1', '--description', 'mine')
  const place = ['--snapshot-id', id, '--block-index', '9']
  const checksum = sha256(content).toString('base64')
  const told = ['--block-data', sent, '--data-length', '524288', '--checksum-algorithm', 'SHA256']
  expect(await aws('put-snapshot-block', ...place, ...told, '--checksum', checksum)).toEqual({
    Checksum: checksum,
    ChecksumAlgorithm: 'SHA256',
  })
  const wrong = aws('put-snapshot-block', ...place, ...told, '--checksum', sha256(Buffer.of(0)).toString('base64'))
  await expect(wrong).rejects.toThrow(/ValidationException.*PutSnapshotBlock/)
  expect(await aws('complete-snapshot', '--snapshot-id', id, '--changed-blocks-count', '1')).toEqual({
    Status: 'pending',
  })
  await run('aws', ['ec2', 'wait', 'snapshot-completed', '--snapshot-ids', id], { env, timeoutMs: 60_000 })
  const { Blocks: blocks } = await aws('list-snapshot-blocks', '--snapshot-id', id)
  expect(blocks).toEqual([{ BlockIndex: 9, BlockToken: expect.any(String) }])
  await aws('get-snapshot-block', ...place, '--block-token', blocks[0].BlockToken, got)
  expect(await readFile(got)).toEqual(content)
})
