import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { probeHost } from './accelerator.ts'

let cacheDir: string
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'kiln-accelerator-'))
})
afterEach(() => rm(cacheDir, { recursive: true, force: true }))

it('takes KVM only when a guest ran under it, and says why', async () => {
  const probe = await probeHost(cacheDir)
  expect(probe.version).toMatch(/^QEMU emulator version \d/)
  if (probe.accelerator === 'kvm') expect(probe.reason).toBe('a guest ran under KVM')
  else expect(probe.reason).toMatch(/is missing|permission denied|guest did not run: \S/)
})

it('emulates where there is no KVM', async () => {
  const path = join(cacheDir, 'kvm')
  expect(await probeHost(cacheDir, path)).toMatchObject({ accelerator: 'tcg', reason: `${path} is missing` })
})

it('forgets what it found when the host or QEMU is another, or the file is torn', async () => {
  const first = await probeHost(cacheDir)
  const file = join(cacheDir, 'qemu-host.json')
  const kept = JSON.parse(await readFile(file, 'utf8'))
  // What was found under another boot, or half written, counts for nothing.
  await writeFile(file, JSON.stringify({ ...kept, key: `another ${kept.key}`, probe: { ...first, reason: 'stale' } }))
  expect((await probeHost(cacheDir)).reason).toBe(first.reason)
  await writeFile(file, '{"key":')
  expect(await probeHost(cacheDir)).toEqual(first)
})

it('uses what it remembers', async () => {
  await probeHost(cacheDir)
  const file = join(cacheDir, 'qemu-host.json')
  const kept = JSON.parse(await readFile(file, 'utf8'))
  await writeFile(file, JSON.stringify({ ...kept, probe: { ...kept.probe, reason: 'as remembered' } }))
  expect((await probeHost(cacheDir)).reason).toBe('as remembered')
})
