/** Packer with the templates of docs/clients/packer.md, on a Kiln with real machines. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeKeyPairsCommand,
  DescribeSecurityGroupsCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  type EC2Client,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll } from 'vitest'
import { run } from '../../../src/lib/programs.ts'
import { type Block, blocksOf, runBlocks } from '../../support/printed-blocks.ts'
import { type Stage, useFleet } from './fleet.ts'
import { kilnProgram } from './kiln.ts'

/** The page's sections, each a builder. */
export const packerSections = ['amazon-ebs', 'amazon-ebssurrogate', 'amazon-instance'] as const

/** The account of the page's templates. */
export const accountId = '123456789012'
const buildWithinMs = 480_000

const hasPacker = await run('packer', ['version']).then(
  () => true,
  () => false,
)
export const packer = { isMissing: !hasPacker, note: hasPacker ? '' : ' (skipped: there is no packer; Debian: packer)' }

export interface PackerStage extends Readonly<Stage> {
  /** Does what that section of the page says, with another builder's settings where some are given; what Packer said. */
  build(section: (typeof packerSections)[number], settings?: object): Promise<string>
}

/** A fleet, that of the templates' account on a Kiln of its own unless given, and a folder with the templates. */
export function usePacker(on: Readonly<Stage> = useFleet({ hasInstance: false, accountId })): PackerStage {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kiln-packer-'))
    await mkdir(join(folder, 'bin'))
    await symlink(kilnProgram, join(folder, 'bin/kiln'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return Object.assign(on, {
    async build(section: string, settings = {}) {
      // All that Packer keeps, and the sockets of its plugins, lie in the test's folder.
      const env = { ...on.kiln.env, HOME: folder, TMPDIR: folder, CHECKPOINT_DISABLE: '1', PACKER_NO_COLOR: '1' }
      const blocks = (await blocksOf('packer', section)).map((block) => withSettings(block, settings))
      return runBlocks(blocks, { folder, env, url: on.kiln.url, timeoutMs: buildWithinMs })
    },
  })
}

function withSettings(block: Block, settings: object): Block {
  if (!block.file?.endsWith('.json')) return block
  const { builders, ...rest } = JSON.parse(block.text)
  return { ...block, text: JSON.stringify({ ...rest, builders: [{ ...builders[0], ...settings }] }) }
}

/** What the account has in that region: of what Packer needs for a while, and of what it was to make. */
export async function belongingsOf(ec2: EC2Client) {
  const { Reservations: reservations } = await ec2.send(new DescribeInstancesCommand({}))
  const { KeyPairs: keys } = await ec2.send(new DescribeKeyPairsCommand({}))
  const { SecurityGroups: groups } = await ec2.send(new DescribeSecurityGroupsCommand({}))
  const { Volumes: volumes } = await ec2.send(new DescribeVolumesCommand({}))
  const { Images: images } = await ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))
  const { Snapshots: snapshots } = await ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
  return {
    images: images!.map(({ ImageId }) => ImageId!),
    snapshots: snapshots!.map(({ SnapshotId }) => SnapshotId!),
    besides: {
      instances: reservations!
        .flatMap(({ Instances }) => Instances!)
        .filter(({ State }) => State!.Name !== 'terminated').length,
      volumes: volumes!.length,
      keys: keys!.map(({ KeyName }) => KeyName),
      groups: groups!.map(({ GroupName }) => GroupName).sort(),
    },
  }
}

/** {@link belongingsOf}'s `besides`, when nothing but the test's own fleet is there. */
export const nothingBesides = { instances: 0, volumes: 0, keys: ['fleet'], groups: ['default', 'fleet'] }
