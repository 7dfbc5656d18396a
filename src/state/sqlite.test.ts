import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockHome } from './home-lock.ts'
import { stateSuite } from './state.suite.ts'
import { openState } from './state.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kiln-state-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

stateSuite('SQLite', () => openState({ sqlitePath: join(folder, 'kiln.db') }))

test('one process holds the lock of a home', () => {
  const lock = lockHome(join(folder, 'lock.db'))
  expect(lockHome(join(folder, 'lock.db'))).toBeUndefined()
  lock!.release()
  const again = lockHome(join(folder, 'lock.db'))
  expect(again).toBeDefined()
  again!.release()
})
