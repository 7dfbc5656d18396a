/**
 * A daemon as far as machines go, for the test that kills it: starts the machine whose spec lies in a file, after it has
 * said that it is about to, and stays. Arguments: run folder, machines folder, spec file, file to make when ready.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import type { MachineSpec } from '../driver.ts'
import { createQemuDriver } from './driver.ts'

const [runDir, machinesDir, specFile, readyFile] = process.argv.slice(2) as [string, string, string, string]
const host = { accelerator: 'tcg', sandbox: true } as const
const spec = JSON.parse(await readFile(specFile, 'utf8')) as MachineSpec
const driver = await createQemuDriver({ runDir, machinesDir, host, clock: systemClock, log: silentLog })
await writeFile(readyFile, '')
await driver.start(spec)
