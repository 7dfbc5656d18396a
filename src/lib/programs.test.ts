import { readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock, waitFor } from './clock.ts'
import { firstInheritedFd, isAlive, run, secretFiles, startDetached } from './programs.ts'

test('a program reads secrets as files that nobody else can find, and that are empty afterwards', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-programs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const logPath = join(folder, 'log')
  const secrets = secretFiles(['first', 'second'])
  expect(secrets.fds).toHaveLength(2)
  for (const fd of secrets.fds) expect(readlinkSync(`/proc/self/fd/${fd}`)).toMatch(/^\/dev\/shm\/.* \(deleted\)$/)
  const paths = secrets.fds.map((_, index) => `/dev/fd/${firstInheritedFd + index}`)
  const program = await startDetached('cat', paths, { logPath, inherits: secrets.fds })
  const timing = { everyMs: 5, timeoutMs: 10_000 }
  expect(await waitFor(systemClock, () => (isAlive(program) ? undefined : true), timing)).toBe(true)
  expect(await readFile(logPath, 'utf8')).toBe('firstsecond')

  const late = await startDetached('sleep', ['60'], { logPath, inherits: secrets.fds })
  onTestFinished(() => void process.kill(late.pid, 'SIGKILL'))
  expect(readFileSync(`/proc/${late.pid}/fd/${firstInheritedFd}`, 'utf8')).toBe('first')
  secrets.wipe()
  secrets.wipe()
  expect(readFileSync(`/proc/${late.pid}/fd/${firstInheritedFd}`, 'utf8')).toBe('')
})

test('a program that is called off by SIGTERM is waited for', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-programs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const tidying = "trap 'sleep 0.1; echo tidied >end; exit 3' TERM; echo started; while :; do sleep 0.01; done"
  const stop = new AbortController()
  const running = run('bash', ['-c', tidying], {
    ...{ cwd: folder, signal: stop.signal, killSignal: 'SIGTERM' },
    onOutput: () => stop.abort(),
  })
  await expect(running).rejects.toMatchObject({ exitCode: 3 })
  expect(await readFile(join(folder, 'end'), 'utf8')).toBe('tidied\n')
})
