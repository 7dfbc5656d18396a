import { describe, expect, test } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { ControlJobs, type JobWork } from './jobs.ts'

function setUp() {
  const time = { nowMs: 0 }
  const clock: Clock = { now: () => time.nowMs, sleep: () => Promise.reject(new Error('nothing here sleeps')) }
  return { jobs: new ControlJobs(clock), time }
}

const untilStopped: JobWork = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('a job', () => {
  test('tells how far it is, and what came of it', async () => {
    const { jobs } = setUp()
    const { promise, resolve } = Promise.withResolvers<string>()
    const { id } = jobs.start(async ({ onPercent }) => {
      onPercent(41.7)
      return await promise
    })
    expect(jobs.get(id)).toEqual({ id, percent: 41, isDone: false })
    resolve('done')
    await settled()
    expect(jobs.get(id)).toMatchObject({ isDone: true, result: 'done' })
    expect(jobs.get('4711')).toBeUndefined()
  })

  test('that fails says why', async () => {
    const { jobs } = setUp()
    const { id } = jobs.start(() => Promise.reject(new Error('the disk is gone')))
    await settled()
    expect(jobs.get(id)).toEqual({ id, percent: 0, isDone: true, error: 'the disk is gone' })
  })

  test('leaves when it is asked to', async () => {
    const { jobs } = setUp()
    const [one, other] = [jobs.start(untilStopped), jobs.start(untilStopped)]
    jobs.stop(one.id)
    await settled()
    expect([jobs.get(one.id)!.error, jobs.get(other.id)!.isDone]).toEqual(['it was stopped', false])
    await jobs.close()
    expect(jobs.get(other.id)!.error).toBe('the daemon is shutting down')
  })

  test('is refused while too many run', async () => {
    const { jobs } = setUp()
    for (let i = 0; i < 8; i++) jobs.start(untilStopped)
    expect(() => jobs.start(untilStopped)).toThrow('8 jobs are under way already')
    jobs.stop('3')
    await settled()
    jobs.start(untilStopped)
    await jobs.close()
  })

  test('is forgotten some time after its end', async () => {
    const { jobs, time } = setUp()
    const { id } = jobs.start(async () => 'done')
    await settled()
    time.nowMs = 9 * 60_000
    jobs.start(async () => 'another')
    expect(jobs.get(id)).toBeDefined()
    time.nowMs = 11 * 60_000
    jobs.start(async () => 'a third')
    expect(jobs.get(id)).toBeUndefined()
  })
})
