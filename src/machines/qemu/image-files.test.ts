import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { DiskFormat, ImageFormat } from '../driver.ts'
import { createDiskTools } from './disk-tools.ts'
import { createImageFileTools } from './image-files.ts'
import { writeSealedLayer } from './sealed-layer.ts'

const mib = 1024 ** 2
/** More than the disk has. */
const filledBytes = 128 * mib
/** No multiple of a MiB, nor of a cylinder. */
const rawBytes = 40 * mib + 512

let folder: string
let raw: string
let disks: ReturnType<typeof createDiskTools>
let tools: ReturnType<typeof createImageFileTools>
const place = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-img-'))
  disks = createDiskTools({ runDir: place('run'), clock: systemClock, random: systemRandom, log: silentLog })
  tools = createImageFileTools(disks)
  raw = place('disk.raw')
  await writeFile(raw, '')
  await truncate(raw, rawBytes)
  const file = await open(raw, 'r+')
  for (const at of [0, 3 * mib + 512, 17 * mib, rawBytes - 512]) {
    await file.write(createHash('sha512').update(String(at)).digest(), 0, 64, at)
  }
  await file.close()
})
afterAll(async () => {
  await disks.reapStale()
  await rm(folder, { recursive: true, force: true })
})

/** The disk in the file, as it is served. */
async function contentOf(path: string, declared: ImageFormat | null, index = 0): Promise<Buffer> {
  const found = await tools.inspect(path, declared)
  const disk = found.disks[index]!
  const served = await tools.openForReading(path, disk, filledBytes, place('scratch.qcow2'))
  try {
    const node = { driver: 'nbd', server: { type: 'unix', path: served.socketPath }, export: served.exportName }
    await run('qemu-img', ['convert', '-O', 'raw', `json:${JSON.stringify(node)}`, place('read.raw')])
    const all = await open(place('read.raw'), 'r')
    expect((await all.stat()).size).toBe(filledBytes)
    const content = Buffer.alloc(rawBytes)
    await all.read(content, 0, rawBytes, 0)
    // What the file does not have is zeros.
    const rest = Buffer.alloc(mib)
    await all.read(rest, 0, mib, rawBytes + 64 * 1024)
    expect(rest.equals(Buffer.alloc(mib))).toBe(true)
    await all.close()
    return content
  } finally {
    await served.close()
    await rm(place('read.raw'))
  }
}

async function archive(path: string, entries: readonly { name: string; content: string | Buffer; more?: object }[]) {
  const tar = pack()
  for (const { name, content, more } of entries) tar.entry({ name, ...more }, content)
  tar.finalize()
  await pipeline(tar, createWriteStream(path))
}

const ovf = (disks: readonly string[], more = '') => `<?xml version="1.0"?>${more}
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"><ovf:References>${disks
  .map((href, i) => `<ovf:File ovf:id="f${i}" ovf:href="${href}"/>`)
  .join('')}</ovf:References><ovf:DiskSection>${disks
  .map((_, i) => `<ovf:Disk ovf:diskId="d${i}" ovf:fileRef="f${i}" ovf:capacity="1"/>`)
  .join('')}</ovf:DiskSection><ovf:VirtualSystem><ovf:VirtualHardwareSection>${disks
  // The disks stand on the controller in the reverse of their order in the file.
  .map(
    (_, i) =>
      `<ovf:Item><rasd:AddressOnParent>${disks.length - i}</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d${i}</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></ovf:Item>`,
  )
  .join('')}</ovf:VirtualHardwareSection></ovf:VirtualSystem></ovf:Envelope>`

describe('an image file', () => {
  test.each<[string, ImageFormat, string[]]>([
    ['raw', 'raw', ['-O', 'raw']],
    ['qcow2', 'qcow2', ['-O', 'qcow2']],
    ['qcow2 of the old version, packed', 'qcow2', ['-c', '-O', 'qcow2', '-o', 'compat=0.10']],
    ['VMDK, monolithicSparse', 'vmdk', ['-O', 'vmdk']],
    ['VMDK, streamOptimized', 'vmdk', ['-O', 'vmdk', '-o', 'subformat=streamOptimized']],
    ['VHD, dynamic', 'vhd', ['-O', 'vpc', '-o', 'force_size=on']],
    ['VHD, fixed', 'vhd', ['-O', 'vpc', '-o', 'subformat=fixed,force_size=on']],
    ['VHDX, dynamic', 'vhdx', ['-O', 'vhdx']],
    ['VHDX, fixed', 'vhdx', ['-O', 'vhdx', '-o', 'subformat=fixed']],
  ])('is read: %s', async (_, format, args) => {
    const path = place('image')
    await run('qemu-img', ['convert', '-f', 'raw', ...args, raw, path])
    for (const declared of [format, null]) {
      const found = await tools.inspect(path, declared)
      expect(found.format).toBe(format)
      expect(found.disks).toMatchObject([{ format, window: null, name: null }])
      expect(found.disks[0]!.sizeBytes).toBeGreaterThanOrEqual(rawBytes)
      expect(found.disks[0]!.sizeBytes).toBeLessThan(rawBytes + mib)
    }
    expect((await contentOf(path, format)).equals(await readFile(raw))).toBe(true)
    const start = await tools.startOf(path, (await tools.inspect(path, null)).disks[0]!, 4096, place('start'))
    expect(start.equals((await readFile(raw)).subarray(0, 4096))).toBe(true)
  })

  test.each<DiskFormat>(['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx'])('is written and read back: %s', async (format) => {
    const source = await tools.openForReading(
      raw,
      (await tools.inspect(raw, 'raw')).disks[0]!,
      filledBytes,
      place('s.qcow2'),
    )
    const path = place('written')
    const percents: number[] = []
    const disk = { source, sizeBytes: filledBytes }
    await tools.write(
      { disks: [disk], format, path, name: 'x' },
      { onPercent: (percent) => void percents.push(percent) },
    )
    await source.close()
    expect(percents.at(-1)).toBe(100)
    const found = await tools.inspect(path, format)
    expect(found.disks).toMatchObject([{ format, sizeBytes: filledBytes }])
    expect((await contentOf(path, format)).equals(await readFile(raw))).toBe(true)
    // Sparse, whatever the format.
    expect((await stat(path)).blocks * 512).toBeLessThan(16 * mib)
  })

  test('an OVA of several disks is written and read back', async () => {
    const open = async (path: string, scratch: string) => ({
      source: await tools.openForReading(
        path,
        (await tools.inspect(path, 'raw')).disks[0]!,
        filledBytes,
        place(scratch),
      ),
      sizeBytes: filledBytes,
    })
    const other = place('other.raw')
    await writeFile(other, Buffer.alloc(rawBytes, 'other'))
    const two = [await open(raw, 'a.qcow2'), await open(other, 'b.qcow2')]
    const path = place('machine.ova')
    await tools.write({ disks: two, format: 'ova', path, name: 'ami-1' })
    for (const { source } of two) await source.close()
    const found = await tools.inspect(path, 'ova')
    expect(found.disks).toMatchObject([
      { format: 'vmdk', name: 'ami-1-disk1.vmdk', sizeBytes: filledBytes },
      { format: 'vmdk', name: 'ami-1-disk2.vmdk', sizeBytes: filledBytes },
    ])
    expect((await contentOf(path, 'ova', 0)).equals(await readFile(raw))).toBe(true)
    expect((await contentOf(path, 'ova', 1)).equals(await readFile(other))).toBe(true)
    // Others' tools read it too, and its digests are right.
    expect((await run('tar', ['-tf', path])).split('\n')).toContain('ami-1.ovf')
    await run('tar', ['-xf', path, '-C', folder])
    for (const line of (await readFile(place('ami-1.mf'), 'utf8')).trim().split('\n')) {
      const [, name, digest] = /^SHA256\((.*)\)= ([0-9a-f]{64})$/.exec(line)!
      const hash = createHash('sha256')
      await pipeline(createReadStream(place(name!)), hash)
      expect(hash.digest('hex')).toBe(digest)
    }
    expect((await readdir(folder)).filter((name) => name.includes('.ova.'))).toEqual([])
  })

  test('the disks of an OVA come in the order of their places on the controller', async () => {
    await run('qemu-img', ['convert', '-O', 'vmdk', '-o', 'subformat=streamOptimized', raw, place('one.vmdk')])
    const content = await readFile(place('one.vmdk'))
    const path = place('order.ova')
    await archive(path, [
      { name: 'machine.ovf', content: ovf(['one.vmdk', 'two.vmdk']) },
      { name: 'one.vmdk', content },
      { name: 'two.vmdk', content },
    ])
    const found = await tools.inspect(path, null)
    expect(found.disks.map((disk) => disk.name)).toEqual(['two.vmdk', 'one.vmdk'])
    expect((await contentOf(path, 'ova', 1)).equals(await readFile(raw))).toBe(true)
  })

  test('a write that is broken off leaves its server and says so', async () => {
    const source = await tools.openForReading(
      raw,
      (await tools.inspect(raw, 'raw')).disks[0]!,
      filledBytes,
      place('s.qcow2'),
    )
    const stop = AbortSignal.abort(new Error('it was stopped'))
    const disk = { source, sizeBytes: filledBytes }
    await expect(
      tools.write({ disks: [disk], format: 'vmdk', path: place('no'), name: 'x' }, { signal: stop }),
    ).rejects.toThrow('it was stopped')
    await source.close()
  })
})

/** What a hostile file is and what is said about it. */
type Hostile = [what: string, make: (path: string) => Promise<unknown>, said: string, declared?: ImageFormat]

/** Writes over a part of a qcow2 header. */
async function patched(
  path: string,
  format: string,
  patch: (file: Awaited<ReturnType<typeof open>>) => Promise<unknown>,
) {
  await run('qemu-img', ['create', '-q', '-f', format, path, '10M'])
  const file = await open(path, 'r+')
  await patch(file)
  await file.close()
}

const vmdkDescriptor = (extent: string) =>
  `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicSparse"\n${extent}\n`

async function vmdkSaying(path: string, descriptor: string, capacity?: bigint) {
  await patched(path, 'vmdk', async (file) => {
    await file.write(Buffer.alloc(20 * 512), 0, 20 * 512, 512)
    await file.write(descriptor, 512)
    if (capacity !== undefined) {
      const sectors = Buffer.alloc(8)
      sectors.writeBigUInt64LE(capacity)
      await file.write(sectors, 0, 8, 12)
    }
  })
}

const hostile: Hostile[] = [
  ['an empty file', (path) => writeFile(path, ''), 'an empty file'],
  [
    'a qcow2 with a backing file',
    (path) => run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', path, '10M']),
    'a qcow2 file with a backing file',
  ],
  [
    'a qcow2 with an external data file',
    (path) =>
      run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${path}.data,data_file_raw=on`, path, '10M']),
    'a qcow2 file with an external data file',
  ],
  [
    'a qcow2 with LUKS inside',
    (path) => writeSealedLayer(path, 10 * 1024 ** 2, Buffer.alloc(32, 'k'), systemRandom),
    'encrypted',
  ],
  [
    'a qcow2 of a later version',
    (path) => patched(path, 'qcow2', (file) => file.write(Buffer.from([0, 0, 0, 9]), 0, 4, 4)),
    'version 9',
  ],
  [
    'a qcow2 whose table lies where none can',
    (path) => patched(path, 'qcow2', (file) => file.write(Buffer.from([0, 0, 0, 0, 0, 3, 0, 1]), 0, 8, 40)),
    'QEMU cannot read',
  ],
  ['a qcow2 that is cut off', (path) => writeFile(path, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1')), 'ends at byte 8'],
  [
    'a VMDK descriptor that names a file of the host',
    (path) => writeFile(path, vmdkDescriptor('RW 8 FLAT "/etc/passwd" 0')),
    'the descriptor of a VMDK',
  ],
  [
    'a VMDK whose inner descriptor names a file of the host',
    (path) => vmdkSaying(path, vmdkDescriptor('RW 8 FLAT "/etc/passwd" 0')),
    'names other files',
  ],
  [
    'a VMDK with two extents',
    (path) => vmdkSaying(path, vmdkDescriptor('RW 8 SPARSE "a.vmdk"\nRW 8 SPARSE "b.vmdk"')),
    'names other files',
  ],
  [
    'a VMDK without a capacity of its own',
    (path) => vmdkSaying(path, vmdkDescriptor('RW 8 SPARSE "a.vmdk"'), 0n),
    'names other files',
  ],
  [
    'a VMDK with a parent',
    (path) => vmdkSaying(path, `${vmdkDescriptor('RW 20480 SPARSE "x"').replace('ffffffff', '1234abcd')}`),
    'a parent disk',
  ],
  [
    'a VMDK of pieces',
    (path) =>
      vmdkSaying(path, vmdkDescriptor('RW 20480 SPARSE "x"').replace('monolithicSparse', 'twoGbMaxExtentSparse')),
    "of type 'twogbmaxextentsparse'",
  ],
  ['an old VMDK', (path) => writeFile(path, `COWD${'\0'.repeat(1020)}`), 'the old ESX kind'],
  [
    'a differencing VHD',
    (path) =>
      patched(path, 'vpc', async (file) => {
        const footer = Buffer.alloc(512)
        const { size } = await file.stat()
        await file.read(footer, 0, 512, size - 512)
        footer.writeUInt32BE(4, 60)
        footer.writeUInt32BE((footer.readUInt32BE(64) - 1) >>> 0, 64)
        await file.write(footer, 0, 512, size - 512)
        await file.write(footer, 0, 512, 0)
      }),
    'a differencing VHD',
  ],
  [
    'a VHD with a damaged footer',
    (path) => patched(path, 'vpc', async (file) => file.write(Buffer.from([9]), 0, 1, (await file.stat()).size - 100)),
    'footer is damaged',
  ],
  [
    'a VHDX with a parent',
    (path) =>
      patched(path, 'vhdx', async (file) => {
        const all = Buffer.alloc((await file.stat()).size)
        await file.read(all, 0, all.length, 0)
        const entry = all.indexOf(Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex'))
        const table = all.indexOf('metadata')
        await file.write(Buffer.from([2]), 0, 1, table + all.readUInt32LE(entry + 16) + 4)
      }),
    'a differencing VHDX',
  ],
  [
    'a VHDX that was not closed',
    (path) =>
      patched(path, 'vhdx', async (file) => {
        for (const at of [64 * 1024, 128 * 1024]) await file.write(Buffer.alloc(16, 7), 0, 16, at + 48)
      }),
    'a VHDX that was not closed',
  ],
  [
    'a VHDX without its tables',
    (path) => writeFile(path, Buffer.concat([Buffer.from('vhdxfile'), Buffer.alloc(mib)])),
    'VHDX whose headers',
  ],
  [
    'a LUKS disk',
    (path) => writeFile(path, Buffer.from(`LUKS\xba\xbe${'\0'.repeat(1018)}`, 'latin1')),
    'a LUKS-encrypted disk',
  ],
  ['a packed file', (path) => writeFile(path, Buffer.from([0x1f, 0x8b, ...Buffer.alloc(510)])), 'a gzip file'],
  [
    'a qcow2 that is declared as raw',
    (path) => run('qemu-img', ['create', '-q', '-f', 'qcow2', path, '10M']),
    'it is declared as RAW, and is QCOW2',
    'raw',
  ],
  [
    'a raw disk that is declared as VMDK',
    (path) => writeFile(path, Buffer.alloc(1024)),
    'declared as VMDK, and is RAW',
    'vmdk',
  ],
  ['an OVA without an OVF', (path) => archive(path, [{ name: 'x.vmdk', content: 'x' }]), 'without an OVF'],
  [
    'an OVA whose entry leads out',
    (path) => archive(path, [{ name: '../../etc/cron.d/x', content: 'x' }]),
    'whose name leads elsewhere',
  ],
  [
    'an OVA with a link',
    (path) => archive(path, [{ name: 'disk.vmdk', content: '', more: { type: 'symlink', linkname: '/etc/passwd' } }]),
    'which is a symlink and no file',
  ],
  [
    'an OVA whose OVF leads out',
    (path) => archive(path, [{ name: 'm.ovf', content: ovf(['../../etc/passwd']) }]),
    'lies outside of the archive',
  ],
  [
    'an OVA whose OVF leads to the network',
    (path) => archive(path, [{ name: 'm.ovf', content: ovf(['http://169.254.169.254/x']) }]),
    'lies outside of the archive',
  ],
  [
    'an OVA whose OVF names what is not there',
    (path) => archive(path, [{ name: 'm.ovf', content: ovf(['disk.vmdk']) }]),
    'which is not in the archive',
  ],
  [
    'an OVA whose OVF has entities',
    (path) =>
      archive(path, [
        { name: 'm.ovf', content: ovf(['&x;'], '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>') },
      ]),
    'a document type',
  ],
  [
    'an OVA whose OVF is no XML',
    (path) => archive(path, [{ name: 'm.ovf', content: '<Envelope' }]),
    'an OVF that is no XML',
  ],
  [
    'an OVA whose OVF is huge',
    (path) => archive(path, [{ name: 'm.ovf', content: Buffer.alloc(2 * mib, ' ') }]),
    'whose OVF has more than',
  ],
  [
    'an OVA whose disk has a backing file',
    async (path) => {
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', `${path}.d`, '10M'])
      const content = await readFile(`${path}.d`)
      await archive(path, [
        { name: 'm.ovf', content: ovf(['d.vmdk']) },
        { name: 'd.vmdk', content },
      ])
    },
    'a backing file',
  ],
  [
    'an OVA that is cut off',
    async (path) => {
      await archive(path, [
        { name: 'm.ovf', content: ovf(['d.vmdk']) },
        { name: 'd.vmdk', content: Buffer.alloc(mib) },
      ])
      await truncate(path, 100_000)
    },
    'an OVA whose archive cannot be read',
  ],
]

test.each(hostile)('%s is refused', async (_, make, said, declared = undefined) => {
  const path = place('hostile')
  await rm(path, { force: true })
  await make(path)
  const error = await tools.inspect(path, declared ?? null).then(
    (found) => found,
    (thrown: Error) => thrown,
  )
  expect(error).toBeInstanceOf(UnusableImage)
  expect((error as Error).message).toContain(said)
  // Where things lie on this host is not told.
  expect((error as Error).message).not.toContain(folder)
})

test('a virtual size beyond all bounds costs nothing', async () => {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', place('huge'), '1E'])
  const found = await tools.inspect(place('huge'), 'qcow2')
  expect(found.disks[0]!.sizeBytes).toBe(1024 ** 6)
})
