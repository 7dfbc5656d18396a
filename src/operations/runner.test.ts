import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { KilnError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { seededRandom } from '../lib/random.ts'
import { openState, type State } from '../state/state.ts'
import { OperationFailure, type OperationKind, type Step } from './operation.ts'
import { OperationRunner } from './runner.ts'

let folder: string
let state: State
let runners: OperationRunner[]
let seed = 1

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kiln-runner-'))
  state = await openState({ sqlitePath: join(folder, 'kiln.db') })
  runners = []
})
afterEach(async () => {
  await Promise.all(runners.map((runner) => runner.stop()))
  await state.close()
  rmSync(folder, { recursive: true })
})

function runnerFor(
  kinds: OperationKind<never, never>[],
  owner = 'host',
  lanes: Record<string, number> = {},
): OperationRunner {
  const runner = new OperationRunner({
    ...{ state, owner, lanes, clock: systemClock, log: silentLog },
    random: seededRandom(seed++),
  })
  for (const kind of kinds) runner.register(kind)
  runners.push(runner)
  return runner
}

const kindOf = (steps: Step<never, never>[], fail: OperationKind['fail'] = async () => {}) =>
  ({ kind: 'test', lane: 'test', steps, fail }) as unknown as OperationKind<never, never>

const ask = (runner: OperationRunner, subjectId = 'subject', input: unknown = {}) =>
  state.transaction((tx) => runner.enqueue(tx, { kind: 'test', subjectId, accountId: 'a', region: 'r', input }))

async function ended(id: string) {
  return vi.waitFor(
    async () => {
      const row = (await state.operations.get(id))!
      expect(['completed', 'failed']).toContain(row.state)
      return row
    },
    { timeout: 10_000, interval: 10 },
  )
}

test('steps run in order and hand data on', async () => {
  const seen: unknown[] = []
  const first: Step<{ word: string }, { found: number }> = {
    name: 'first',
    async run({ input, data }) {
      seen.push(input.word)
      data.found = 7
    },
  }
  const second: Step<{ word: string }, { found: number }> = {
    name: 'second',
    async run({ data, progress }) {
      seen.push(data.found)
      await progress(50)
    },
  }
  const runner = runnerFor([kindOf([first, second] as unknown as Step<never, never>[])])
  await runner.start()
  const id = await ask(runner, 'subject', { word: 'hello' })
  runner.wake()
  expect(await ended(id)).toMatchObject({ state: 'completed', progress: 100, leaseOwner: null })
  expect(seen).toEqual(['hello', 7])
})

test('a step that fails is tried again, and its data is kept', async () => {
  let runs = 0
  const step: Step<never, { runs: number }> = {
    name: 'only',
    async run({ data, attempt }) {
      data.runs = (data.runs ?? 0) + 1
      expect(attempt).toBe(data.runs)
      runs++
      if (runs < 3) throw new Error('not yet')
    },
  }
  const runner = runnerFor([kindOf([step as unknown as Step<never, never>])])
  await runner.start()
  const id = await ask(runner)
  runner.wake()
  expect(await ended(id)).toMatchObject({ state: 'completed', data: '{"runs":3}' })
})

test.each([
  ['OperationFailure', () => new OperationFailure('the volume is gone')],
  ['KilnError', () => new KilnError('InvalidVolume.NotFound', 'the volume is gone')],
])('%s fails at once: undo in reverse, then the reason', async (_, error) => {
  const log: string[] = []
  const step = (name: string, failing = false): Step<never, never> => ({
    name,
    async run() {
      log.push(name)
      if (failing) throw error()
    },
    async undo() {
      log.push(`undo ${name}`)
    },
  })
  const fail: OperationKind['fail'] = async (_context, failure) => {
    log.push(`${failure.step}: ${failure.message}`)
  }
  const runner = runnerFor([kindOf([step('one'), step('two', true), step('three')], fail)])
  await runner.start()
  const id = await ask(runner)
  runner.wake()
  expect(await ended(id)).toMatchObject({ state: 'failed', error: 'the volume is gone' })
  expect(log).toEqual(['one', 'two', 'undo two', 'undo one', 'two: the volume is gone'])
})

test('an undo that fails is tried again by the next process, and steps are not', async () => {
  const log: string[] = []
  let isBroken = true
  const step: Step<never, never> = {
    name: 'only',
    async run() {
      log.push('run')
      throw new OperationFailure('no')
    },
    async undo() {
      log.push('undo')
      if (isBroken) throw new Error('disk is gone')
    },
  }
  const first = runnerFor([kindOf([step])])
  await first.start()
  const id = await ask(first)
  first.wake()
  await vi.waitFor(() => expect(log).toContain('undo'))
  await first.stop()
  isBroken = false
  expect(await state.operations.get(id)).toMatchObject({ state: 'running', error: 'no', leaseOwner: null })
  // Nobody waits here for the pause before the next try.
  await state.operations.claim(id, { owner: 'test', nowMs: 1, untilMs: 1 })
  await state.operations.updateHeld(id, 'test', { runAfter: 0, leaseOwner: null })
  const second = runnerFor([kindOf([step])])
  await second.start()
  expect((await ended(id)).state).toBe('failed')
  expect(log).toEqual(['run', 'undo', 'undo'])
})

test('waiting is not failing', async () => {
  let looks = 0
  const step: Step<never, never> = {
    name: 'wait',
    run: async () => (++looks < 8 ? { againInMs: 1 } : undefined),
  }
  const runner = runnerFor([kindOf([step])])
  await runner.start()
  const id = await ask(runner)
  const waking = setInterval(() => runner.wake(), 5)
  expect((await ended(id)).state).toBe('completed')
  clearInterval(waking)
  expect(looks).toBe(8)
})

test('operations on one subject never overlap, and keep their order', async () => {
  const log: string[] = []
  const step: Step<{ name: string }, never> = {
    name: 'only',
    async run({ input }) {
      log.push(`${input.name} begins`)
      await systemClock.sleep(20)
      log.push(`${input.name} ends`)
    },
  }
  const runner = runnerFor([kindOf([step as unknown as Step<never, never>])])
  await runner.start()
  const ids = []
  for (const name of ['a', 'b', 'c']) ids.push(await ask(runner, 'one', { name }))
  runner.wake()
  for (const id of ids) await ended(id)
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('a lane bounds how many run at once', async () => {
  let running = 0
  let most = 0
  const step: Step<never, never> = {
    name: 'only',
    async run() {
      most = Math.max(most, ++running)
      await systemClock.sleep(20)
      running--
    },
  }
  const runner = runnerFor([kindOf([step])], 'host', { test: 2 })
  await runner.start()
  const ids = await Promise.all(Array.from({ length: 7 }, (_, index) => ask(runner, `subject ${index}`)))
  runner.wake()
  for (const id of ids) await ended(id)
  expect(most).toBe(2)
})

test('a process that stops gives its work back, and the next one carries on from the same step', async () => {
  const log: string[] = []
  const steps: Step<never, never>[] = [
    { name: 'one', run: async () => void log.push('one') },
    {
      name: 'two',
      async run({ signal }) {
        log.push('two')
        if (log.filter((entry) => entry === 'two').length === 1) await systemClock.sleep(60_000, signal)
      },
    },
  ]
  const first = runnerFor([kindOf(steps)])
  await first.start()
  const id = await ask(first)
  first.wake()
  await vi.waitFor(() => expect(log).toContain('two'))
  await first.stop()
  expect(await state.operations.get(id)).toMatchObject({ step: 'two', leaseOwner: null, attempts: 0 })
  await runnerFor([kindOf(steps)]).start()
  expect((await ended(id)).state).toBe('completed')
  expect(log).toEqual(['one', 'two', 'two'])
})

test('what crashes have broken off has not failed: it is tried as often as anything else', async () => {
  let tries = 0
  const step: Step<never, never> = {
    name: 'only',
    async run() {
      if (++tries === 1) throw new Error('once')
    },
  }
  const runner = runnerFor([kindOf([step])])
  const id = await ask(runner)
  for (let crash = 0; crash < 10; crash++) {
    await state.operations.claim(id, { owner: 'dead', nowMs: 1, untilMs: 2 })
    await state.operations.releaseAllOf('dead')
  }
  await runner.start()
  const waking = setInterval(() => runner.wake(), 5)
  expect((await ended(id)).state).toBe('completed')
  clearInterval(waking)
  expect(tries).toBe(2)
})

test('two hosts on one database do each operation once', async () => {
  const runs: string[] = []
  const stepOf = (host: string): Step<never, never> => ({
    name: 'only',
    async run({ subjectId }) {
      runs.push(`${subjectId} on ${host}`)
      await systemClock.sleep(5)
    },
  })
  const hosts = ['a', 'b'].map((host) => runnerFor([kindOf([stepOf(host)])], host))
  await Promise.all(hosts.map((host) => host.start()))
  const ids = []
  for (let index = 0; index < 20; index++) ids.push(await ask(hosts[index % 2]!, `subject ${index}`))
  for (const host of hosts) host.wake()
  for (const id of ids) await ended(id)
  expect(new Set(runs.map((run) => run.split(' on ')[0])).size).toBe(20)
  expect(runs).toHaveLength(20)
})
