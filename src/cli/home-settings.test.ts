import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { homeAt } from '../lib/home.ts'
import { type HomeSettings, readHomeSettings, settle, writeHomeSettings } from './home-settings.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-settings-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const simulated: HomeSettings = { machines: 'simulated', network: 'user', database: 'sqlite' }

describe('what a home was served with', () => {
  test('is found again, and is for its owner alone', async () => {
    const home = homeAt(join(folder, 'a'))
    expect(await readHomeSettings(home)).toBeUndefined()
    await writeHomeSettings(home, simulated)
    expect(await readHomeSettings(home)).toEqual(simulated)
    expect((await stat(home.settingsPath)).mode & 0o777).toBe(0o600)
  })

  test('is what it is served with next, unless told otherwise', () => {
    const home = homeAt('/home/x')
    expect(settle(home, undefined, {})).toEqual({ machines: 'qemu', network: 'auto', database: 'sqlite' })
    expect(settle(home, simulated, {})).toEqual(simulated)
    expect(settle(home, simulated, { network: 'namespace' })).toEqual({ ...simulated, network: 'namespace' })
  })

  test('keeps its price sheet, wherever the command is typed, until it is given another', () => {
    const home = homeAt('/home/x')
    const priced = settle(home, simulated, { prices: '/etc/prices.csv' })
    expect(priced.prices).toBe('/etc/prices.csv')
    expect(settle(home, simulated, { prices: 'prices.csv' }).prices).toBe(join(process.cwd(), 'prices.csv'))
    expect(settle(home, priced, {}).prices).toBe('/etc/prices.csv')
    expect(settle(home, priced, { prices: 'default' }).prices).toBeUndefined()
  })

  test('does not change kind below its instances', () => {
    const home = homeAt('/home/x')
    expect(() => settle(home, simulated, { machines: 'qemu' })).toThrow('has simulated machines, not qemu ones')
    expect(() => settle(home, simulated, { databaseUrl: 'postgres://x' })).toThrow('lies in the home itself')
    expect(() => settle(home, { ...simulated, database: 'postgres' }, {})).toThrow('give its --database-url')
  })
})
