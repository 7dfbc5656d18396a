/** ext2, ext3 and ext4 as mke2fs and debugfs write them: what is read, what differs, and what damage does. */
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../lib/programs.ts'
import { type ByteSource, UnreadableFileSystem } from './disk-bytes.ts'
import { ExtFileSystem, rootInode } from './ext.ts'
import { type FileDifference, fileDifference } from './file-difference.ts'
import { kindOf, partitionsOf } from './partitions.ts'

const blockBytes = 512 * 1024
const mib = 1024 ** 2
let folder: string
const place = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-ext-'))
  await mkdir(place('tree/etc/deep/er'), { recursive: true })
  await mkdir(place('tree/many'))
  await writeFile(place('tree/etc/motd'), 'hello\n')
  await writeFile(place('tree/etc/same'), 'the same')
  await writeFile(place('tree/etc/large'), Buffer.alloc(3 * mib + 17, 'large'))
  await writeFile(place('tree/etc/deep/er/file'), 'deep')
  await writeFile(place('tree/with\nnewline and ünïcode'), 'x')
  await writeFile(Buffer.concat([Buffer.from(place('tree/bad-')), Buffer.from([0xff, 0xfe])]), 'x')
  await symlink('motd', place('tree/etc/short'))
  await symlink(`/${'long/'.repeat(20)}`, place('tree/etc/long'))
  // Enough for a directory of many blocks, to which e2fsck gives an index.
  for (let i = 0; i < 600; i++) await writeFile(place(`tree/many/${String(i).padStart(60, 'x')}`), '')
  await writeFile(place('tree/hole'), '')
  await truncate(place('tree/hole'), 20 * mib)
  const file = await open(place('tree/hole'), 'r+')
  await file.write(Buffer.from('far out'), 0, 7, 15 * mib)
  await file.close()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const bytesOf = (content: Buffer): ByteSource => ({
  sizeBytes: content.length,
  async read(at, length) {
    if (!(at >= 0 && at + length <= content.length)) throw new UnreadableFileSystem(`byte ${at}`)
    return Buffer.from(content.subarray(at, at + length))
  },
})

/** Compared as two snapshots of one volume would be: whole blocks are known to be equal, or not. */
async function compare(a: string, b: string): Promise<FileDifference> {
  const [before, after] = [await readFile(a), await readFile(b)]
  const differsIn = (at: number, length: number) => {
    const [from, to] = [Math.floor(at / blockBytes) * blockBytes, Math.ceil((at + length) / blockBytes) * blockBytes]
    return !before.subarray(from, to).equals(after.subarray(from, to))
  }
  return await fileDifference(bytesOf(before), bytesOf(after), differsIn)
}

const told = ({ changes }: FileDifference) =>
  changes.map(({ change, path, aspects }) =>
    [{ added: '+', removed: '-', changed: '~' }[change], path, ...aspects].join(' '),
  )

async function make(path: string, ...options: string[]): Promise<void> {
  await rm(path, { force: true })
  await run('mke2fs', ['-q', '-F', '-N', '2000', ...options, '-d', place('tree'), path, '24M'])
}

async function debugfs(path: string, ...commands: string[]): Promise<void> {
  const said = await run('debugfs', ['-w', '-f', '-', path], { input: `${commands.join('\n')}\n` })
  expect(said).not.toMatch(/File not found|Usage|denied/)
}

const kinds: [string, string[]][] = [
  ['ext4', ['-t', 'ext4']],
  ['ext4', ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^64bit']],
  ['ext3', ['-t', 'ext3']],
  ['ext2', ['-t', 'ext2', '-b', '1024']],
]

describe.each(kinds)('%s (%s)', (kind, options) => {
  test('is read whole, and does not differ from itself', async () => {
    await make(place('a'), ...options)
    await run('e2fsck', ['-f', '-y', '-D', place('a')]).catch(() => {})
    const difference = await compare(place('a'), place('a'))
    expect(difference).toMatchObject({ kind: { before: kind, after: kind }, changes: [] })
    const fileSystem = await ExtFileSystem.open(bytesOf(await readFile(place('a'))))
    const names: string[] = []
    for await (const { name } of fileSystem.entries(await fileSystem.inode(rootInode)))
      names.push(name.toString('latin1'))
    expect(names.sort()).toEqual(
      [
        'bad-\xff\xfe',
        'etc',
        'hole',
        'lost+found',
        'many',
        Buffer.from('with\nnewline and ünïcode').toString('latin1'),
      ].sort(),
    )
  })

  test('tells what was added, removed and changed', async () => {
    await make(place('a'), ...options)
    await run('cp', [place('a'), place('b')])
    await writeFile(place('new'), 'good morning\n')
    await debugfs(
      place('b'),
      'rm etc/motd',
      `write ${place('new')} etc/motd`,
      `write ${place('new')} etc/added`,
      'rm etc/deep/er/file',
      'rmdir etc/deep/er',
      'sif etc/same mode 0100600',
      'sif etc/large mtime 1234567890',
      `rm many/${'0'.padStart(60, 'x')}`,
      'symlink link etc/added',
    )
    expect(told(await compare(place('a'), place('b')))).toEqual([
      '+ /etc/added',
      '- /etc/deep/er',
      '- /etc/deep/er/file',
      '~ /etc/large times',
      '~ /etc/motd content',
      '~ /etc/same mode',
      '+ /link',
      `- /many/${'0'.padStart(60, 'x')}`,
    ])
    const { changes } = await compare(place('a'), place('b'))
    const motd = changes.find(({ path }) => path === '/etc/motd')!
    expect(motd.sizeBytes).toEqual({ before: 6, after: 13 })
    expect(changes.find(({ path }) => path === '/link')!.kind).toBe('link')
  })

  test('finds content that changed behind the back of all times', async () => {
    await make(place('a'), ...options)
    const content = await readFile(place('a'))
    const at = content.indexOf('far out')
    content.write('far off', at)
    await writeFile(place('b'), content)
    expect(told(await compare(place('a'), place('b')))).toEqual(['~ /hole content'])
  })
})

test('names are whatever a guest wrote', async () => {
  await make(place('a'), '-t', 'ext4')
  await run('cp', [place('a'), place('b')])
  await debugfs(place('b'), 'sif <2> mtime 5')
  const names = async (a: string, b: string) => told(await compare(a, b))
  expect(await names(place('a'), place('b'))).toEqual([])
  await run('mke2fs', ['-q', '-F', '-t', 'ext4', place('empty'), '24M'])
  const all = await names(place('empty'), place('a'))
  expect(all).toContain('+ /with\nnewline and ünïcode')
  expect(all).toContain('+ /bad-\\xff\\xfe')
  expect(all.length).toBeGreaterThan(600)
})

describe('a journal that was not replayed', () => {
  /** Puts the newer content of some blocks of `b` into the journal of a copy of `a`. */
  async function journalled(name: string, changed: Buffer, original: Buffer, more: string[] = []): Promise<string> {
    const path = place(name)
    await writeFile(path, original)
    const commands = ['jo -c', ...more]
    for (let block = 1; block < original.length / 4096; block++) {
      const [from, to] = [block * 4096, (block + 1) * 4096]
      if (original.subarray(from, to).equals(changed.subarray(from, to))) continue
      const part = place(`block-${block}`)
      await writeFile(part, changed.subarray(from, to))
      commands.push(`jw -b ${block} ${part}`)
    }
    await debugfs(path, ...commands, 'jc')
    return path
  }

  test('is read as if it had been', async () => {
    await make(place('a'), '-t', 'ext4', '-b', '4096')
    await run('cp', [place('a'), place('b')])
    await writeFile(place('new'), 'good morning\n')
    await debugfs(place('b'), 'rm etc/motd', `write ${place('new')} etc/added`, 'sif etc/same mode 0100600')
    const expected = told(await compare(place('a'), place('b')))
    expect(expected).toEqual(['+ /etc/added', '- /etc/motd', '~ /etc/same mode'])
    const dirty = await journalled('dirty', await readFile(place('b')), await readFile(place('a')))
    // The blocks themselves are as they were: only the journal has what is new.
    expect((await run('dumpe2fs', ['-h', dirty])).toString()).toContain('needs_recovery')
    expect(told(await compare(place('a'), dirty))).toEqual(expected)
    expect(told(await compare(place('b'), dirty))).toEqual([])
    // And the kernel's own tool comes to the same.
    await run('e2fsck', ['-p', dirty]).catch(() => {})
    expect(told(await compare(place('b'), dirty))).toEqual([])
  })
})

describe('damage', () => {
  test('is told, and never ends in anything else', async () => {
    await make(place('a'), '-t', 'ext4')
    const whole = await readFile(place('a'))
    let refused = 0
    let seed = 42
    const next = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return seed % below
    }
    for (let round = 0; round < 15; round++) {
      const damaged = Buffer.from(whole)
      // Superblock, descriptors, inode tables and directories lie in the first MiBs.
      for (let i = 0; i < 40; i++) damaged[1024 + next(2 * mib)] = next(256)
      damaged.writeUInt16LE(0xef53, 1024 + 0x38)
      try {
        await fileDifference(bytesOf(whole), bytesOf(damaged), () => true)
      } catch (error) {
        expect(error).toBeInstanceOf(UnreadableFileSystem)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(0)
  })

  test.each([
    [0x8000, 'inodes'],
    [0x10000, 'encrypted'],
    [0x10, 'meta groups'],
    [0x40000000, 'not known'],
  ])('features that change what is read are refused: %i', async (flag, said) => {
    await make(place('a'), '-t', 'ext4')
    const content = await readFile(place('a'))
    content.writeUInt32LE((content.readUInt32LE(1024 + 0x60) | flag) >>> 0, 1024 + 0x60)
    await expect(ExtFileSystem.open(bytesOf(content))).rejects.toThrow(said)
  })

  test('a directory that leads into itself ends', async () => {
    await make(place('a'), '-t', 'ext4')
    await debugfs(place('a'), 'ln etc etc/deep/loop')
    await expect(compare(place('a'), place('a'))).rejects.toThrow('in a circle')
  })
})

function writeEntry(disk: Buffer, sector: number, index: number, type: number, first: number, sectors: number) {
  const at = sector * 512 + 446 + index * 16
  disk[at + 4] = type
  disk.writeUInt32LE(first, at + 8)
  disk.writeUInt32LE(sectors, at + 12)
  disk.writeUInt16LE(0xaa55, sector * 512 + 510)
}

/** A primary partition, and two logical ones in an extended one. */
function writeMbr(disk: Buffer): void {
  writeEntry(disk, 0, 0, 0x83, 2048, 4096)
  writeEntry(disk, 0, 1, 0x05, 8192, 16_384)
  writeEntry(disk, 8192, 0, 0x83, 2048, 2048)
  writeEntry(disk, 8192, 1, 0x05, 4096, 4096)
  writeEntry(disk, 8192 + 4096, 0, 0x83, 2048, 2048)
}

function writeGpt(disk: Buffer): void {
  writeEntry(disk, 0, 0, 0xee, 1, 0xffffffff)
  disk.write('EFI PART', 512)
  disk.writeBigUInt64LE(2n, 512 + 72)
  disk.writeUInt32LE(128, 512 + 80)
  disk.writeUInt32LE(128, 512 + 84)
  for (const [index, first, last] of [
    [0, 2048n, 6143n],
    [1, 8192n, 10_239n],
  ] as const) {
    const at = 1024 + index * 128
    disk.fill(0xaf, at, at + 16)
    disk.writeBigUInt64LE(first, at + 32)
    disk.writeBigUInt64LE(last, at + 40)
  }
}

describe('partitions', () => {
  test('of an MBR with logical ones, and of a GPT', async () => {
    for (const label of ['dos', 'gpt'] as const) {
      const disk = Buffer.alloc(16 * mib)
      if (label === 'dos') writeMbr(disk)
      else writeGpt(disk)
      const found = await partitionsOf(bytesOf(disk))
      expect(found.map(({ number, offsetBytes, sizeBytes }) => [number, offsetBytes / 512, sizeBytes / 512])).toEqual(
        label === 'dos'
          ? [
              [1, 2048, 4096],
              [5, 10_240, 2048],
              [6, 14_336, 2048],
            ]
          : [
              [1, 2048, 4096],
              [2, 8192, 2048],
            ],
      )
    }
  })

  test('a file system without a table is the whole disk, and its kind is told', async () => {
    await make(place('a'), '-t', 'ext4')
    const disk = bytesOf(await readFile(place('a')))
    expect(await partitionsOf(disk)).toEqual([{ number: 0, offsetBytes: 0, sizeBytes: 24 * mib }])
    expect(await kindOf(disk)).toBe('ext')
    expect(await kindOf(bytesOf(Buffer.from('XFSB'.padEnd(4096))))).toBe('xfs')
    expect(await kindOf(bytesOf(Buffer.alloc(mib)))).toBe('empty')
    expect(await kindOf(bytesOf(Buffer.alloc(mib, 1)))).toBe('unknown')
  })
})
