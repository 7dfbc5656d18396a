/** What files changed between two snapshots: the whole way, from disks that are imported to the files inside. */
import { mkdir, open, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { writeBootableDisk } from '../support/disk-images.ts'
import { object, region, useTransfers } from '../support/image-transfers.ts'

const { served, place, putFile, importSnapshot, snapshotTask } = useTransfers()
/** Where the disk's only partition begins. */
const offsetBytes = 1024 ** 2

async function snapshotOf(path: string, isEncrypted = false): Promise<string> {
  await putFile(path.split('/').at(-1)!, path)
  const { ImportTaskId } = await importSnapshot(
    { Format: 'RAW', UserBucket: object(path.split('/').at(-1)!) },
    { Encrypted: isEncrypted },
  )
  return (await snapshotTask(ImportTaskId!)).SnapshotId!
}

test.each([false, true])('files that were added, removed and changed are told; encrypted: %s', async (isEncrypted) => {
  await writeBootableDisk(place('a.raw'))
  await mkdir(place('tree'), { recursive: true })
  await writeFile(place('tree/kept'), 'kept')
  await writeFile(place('tree/gone'), 'gone')
  await writeFile(place('new'), 'new')
  const fileSystem = `${place('a.raw')}?offset=${offsetBytes}`
  await run('mke2fs', [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-d',
    place('tree'),
    '-E',
    `offset=${offsetBytes}`,
    place('a.raw'),
    '20M',
  ])
  const before = await snapshotOf(place('a.raw'), isEncrypted)
  await run('cp', [place('a.raw'), place('b.raw')])
  await run('debugfs', ['-w', '-f', '-', fileSystem.replace('a.raw', 'b.raw')], {
    input: `rm gone\nwrite ${place('new')} new\nsif kept uid 7\n`,
  })
  const after = await snapshotOf(place('b.raw'), isEncrypted)
  const difference = await served().cloud.snapshotCosts.fileDifference(region, before, after)
  expect(difference.blocks.changed).toBeGreaterThan(0)
  expect(difference.fileSystems).toMatchObject([
    {
      partition: 1,
      kind: { before: 'ext4', after: 'ext4' },
      unread: null,
      counts: { added: 1, removed: 1, changed: 1 },
      changes: [
        { change: 'removed', path: '/gone', sizeBytes: { before: 4, after: null } },
        { change: 'changed', path: '/kept', aspects: ['owner'] },
        { change: 'added', path: '/new', kind: 'file', sizeBytes: { before: null, after: 3 } },
      ],
    },
  ])

  const other = await open(place('b.raw'), 'r+')
  await other.write('XFSB'.padEnd(4096, '\0'), offsetBytes)
  await other.close()
  const xfs = await snapshotOf(place('b.raw'))
  const [unread] = (await served().cloud.snapshotCosts.fileDifference(region, xfs, xfs)).fileSystems
  expect(unread).toMatchObject({
    kind: { after: 'xfs' },
    unread: 'xfs: only ext2, ext3 and ext4 are read',
    changes: [],
  })
})
