import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { extract } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../lib/programs.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'
import { mirrorSources, sourceLines } from './apt-sources.ts'
import { installedPackages } from './build.ts'
import { partitionTable, placedGrub } from './disk.ts'
import { overlayArchive } from './overlay.ts'
import { imageName, imageVersion, layout, packages } from './recipe.ts'

const rootfsDir = join(import.meta.dirname, 'rootfs')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-debian-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('where Debian comes from', () => {
  const archive = 'http://archive.example/debian/'

  test('is what of this release the host has, and nothing of others', () => {
    const targets = [
      `http://packages.example/ bookworm bookworm main Example`,
      `${archive} bookworm-security bookworm-security main Debian`,
      `${archive} bookworm bookworm contrib Debian`,
      `file:/srv/debian/ bookworm bookworm main Debian`,
      `${archive} stable bookworm main Debian`,
      `${archive} bookworm-backports bookworm-backports main Debian`,
      `${archive} trixie trixie main Debian`,
      '',
    ]
    expect(sourceLines(targets.join('\n'))).toEqual([
      `deb ${archive} bookworm main`,
      `deb ${archive} bookworm-security main`,
    ])
    expect(sourceLines(targets.filter((line) => !line.includes('stable')).join('\n'))).toEqual([])
    expect(sourceLines('')).toEqual([])
  })

  test('is one line of a mirror that is named, if it is one', () => {
    expect(mirrorSources(archive)).toEqual([`deb ${archive} bookworm main`])
    for (const mirror of ['file:///srv/debian', 'debian', 'http://a.example/ bookworm main\ndeb http://b.example/'])
      expect(() => mirrorSources(mirror)).toThrow('is no http or https URL')
  })
})

test('our files come with the modes of the image, whatever a checkout made of them', async () => {
  const bytes = await overlayArchive(rootfsDir)
  expect(await overlayArchive(rootfsDir)).toEqual(bytes)
  const found = new Map<string, { mode: number; owner: string; text: string }>()
  for await (const entry of Readable.from([bytes]).pipe(extract())) {
    const { name, mode, uid, gid } = entry.header
    found.set(name, { mode: mode!, owner: `${uid}:${gid}`, text: await new Response(entry as never).text() })
  }
  const names = [...found.keys()]
  for (const name of names) {
    const parent = `${name.replace(/\/$/, '').split('/').slice(0, -1).join('/')}/`
    if (parent !== '/') expect(names.indexOf(parent), name).toBeLessThan(names.indexOf(name))
  }
  expect([...found.values()].every(({ owner }) => owner === '0:0')).toBe(true)
  expect(found.get('usr/lib/kiln/finish-image')).toMatchObject({ mode: 0o755 })
  expect(found.get('etc/default/grub')).toMatchObject({ mode: 0o644 })
  expect(found.get('etc/fstab')!.text).toBe(`UUID=${layout.rootUuid} / ext4 errors=remount-ro 0 1\n`)
  expect(found.get('usr/lib/kiln/grub.cfg')!.text).toContain(`root=UUID=${layout.rootUuid} `)
})

const hasSfdisk = await run('sfdisk', ['--version'], { env: hostEnvironment }).then(
  () => true,
  () => false,
)

test.skipIf(!hasSfdisk)('the root is the last on the disk, so that it can grow', async () => {
  const path = join(folder, 'disk.raw')
  await writeFile(path, '')
  await truncate(path, layout.diskBytes)
  await run('sfdisk', ['--quiet', path], { env: hostEnvironment, input: partitionTable() })
  const { partitiontable: table } = JSON.parse(await run('sfdisk', ['--json', path], { env: hostEnvironment }))
  expect(table).toMatchObject({ label: 'gpt', id: layout.diskGuid })
  expect(table.partitions).toMatchObject([
    { node: `${path}1`, start: layout.root.startBytes / 512, size: layout.root.sizeBytes / 512 },
    { node: `${path}14`, start: layout.grub.startBytes / 512, size: layout.grub.sizeBytes / 512 },
  ])
  expect(layout.grub.startBytes + layout.grub.sizeBytes).toBe(layout.root.startBytes)
})

test('the parts of GRUB know where the other lies, and the rest of them is left as it was', () => {
  const boot = Buffer.alloc(512, 1)
  const core = Buffer.alloc(40_000, 2)
  const placed = placedGrub(boot, core)
  expect(placed.bootCode).toHaveLength(440)
  expect(placed.bootCode.readBigUInt64LE(0x5c)).toBe(2048n)
  expect(placed.core.readBigUInt64LE(0x1f4)).toBe(2049n)
  expect([placed.bootCode[0x5b], placed.bootCode[0x64], placed.core[0x1f3], placed.core[0x1fc]]).toEqual([1, 1, 2, 2])
  expect(() => placedGrub(boot, Buffer.alloc(layout.grub.sizeBytes + 1))).toThrow('has no room')
})

test('what is installed decides the number behind the day', () => {
  const stanza = (name: string, version: string, status = 'install ok installed') =>
    `Package: ${name}\nStatus: ${status}\nVersion: ${version}\nDescription: Version: 9\n`
  const status = [stanza('zlib1g', '1:1.2'), stanza('gone', '3', 'deinstall ok config-files'), stanza('apt', '2.6.1')]
  expect(installedPackages(status.join('\n'))).toEqual(['apt 2.6.1', 'zlib1g 1:1.2'])
  expect(imageVersion(Date.UTC(2026, 0, 31, 23, 59), `${'0'.repeat(60)}2710`)).toBe('20260131-0000')
  expect(imageName(imageVersion(Date.UTC(2026, 1, 1), 'ff'))).toBe('debian-12-amd64-20260201-0255')
  expect(new Set(packages).size).toBe(packages.length)
})
