/** What docs/clients/boto3.md prints; and what its program reads of costs is what `kiln cost` says. */
import { describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { blocksOf, runBlocks } from '../support/printed-blocks.ts'
import { useReader } from '../support/reader.ts'

/** The account of the page's terminal. */
const account = '123456789012'
/** Of what the page has made, snapshots are still there and cost more every second. */
const end = `from cloud import client
for region in ("us-east-1", "eu-west-1"):
    ec2 = client("ec2", region)
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        ec2.deregister_image(ImageId=image["ImageId"])
        for device in image["BlockDeviceMappings"]:
            ec2.delete_snapshot(SnapshotId=device["Ebs"]["SnapshotId"])
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
`

const hasBoto3 = await run('python3', ['-c', 'import boto3']).then(
  () => true,
  () => false,
)

describe.skipIf(!hasBoto3)(
  `boto3${hasBoto3 ? '' : ' (skipped: python3 cannot import boto3; Debian: python3-boto3)'}`,
  () => {
    const reader = useReader()
    const python = (...words: string[]) => {
      const endpoint = { AWS_ENDPOINT_URL: reader.url, AWS_DEFAULT_REGION: 'us-east-1' }
      const env = { ...reader.env, ...endpoint, AWS_ACCESS_KEY_ID: account, AWS_SECRET_ACCESS_KEY: 'any' }
      return run('python3', words, { cwd: reader.folder, env })
    }

    test('the page works as printed', async () => {
      await runBlocks(await blocksOf('boto3'), reader)
    })

    test('what it reads of costs is what kiln cost says, however it is grouped', async () => {
      await python('-c', end)
      for (const [dimension, group] of [
        ['SERVICE', 'service'],
        ['USAGE_TYPE', 'usage-type'],
        ['INSTANCE_TYPE', 'instance-type'],
        ['REGION', 'region'],
        ['LINKED_ACCOUNT', 'account'],
        ['tag:team', 'tag:team'],
      ] as const) {
        const printed = (await python('costs.py', dimension)).trimEnd().split('\n')
        const theirs = printed.map((row) => row.replace(/^team\$/, '').split('\t') as [name: string, cost: string])
        const own = JSON.parse(await reader.kiln.command('cost', '--by', group, '--account', account, '--json'))
        const sum = theirs.reduce((so, [, cost]) => so + Number(cost), 0)
        expect(Number(own.total)).toBeGreaterThan(0)
        // Each row is rounded to ten places.
        expect(Math.abs(sum - own.total), `${dimension}: ${sum}, ${own.total}`).toBeLessThan(
          1e-10 * (theirs.length + 1),
        )
        // AWS names services, usage and instance types in ways of its own; the others are the same, row by row.
        const rows = own.groups.map(({ keys, cost }: { keys: [string]; cost: string }) => [keys[0], cost])
        if (group === 'region' || group === 'account' || group === 'tag:team') expect(theirs).toEqual(rows)
      }
    })
  },
)
