import { expect, test } from 'vitest'
import { GroupCommit } from './group-commit.ts'

/** Commits that end when the test says so. */
function setUp() {
  const running: { end: () => void; fail: (error: Error) => void }[] = []
  const group = new GroupCommit(() => new Promise((end, fail) => running.push({ end, fail })))
  return { group, running }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('whoever comes during a commit shares the next one, which begins only afterwards', async () => {
  const { group, running } = setUp()
  const first = group.commit()
  let doneEarly = false
  const later = Promise.all([group.commit(), group.commit(), group.commit()]).then(() => {
    doneEarly = true
  })
  await turn()
  expect(running).toHaveLength(1)
  running[0]!.end()
  await first
  await turn()
  expect([running.length, doneEarly]).toEqual([2, false])
  running[1]!.end()
  await later
  const third = group.commit()
  expect(running).toHaveLength(3)
  running[2]!.end()
  await third
})

test('a failure is told to those who waited for it, and to nobody else', async () => {
  const { group, running } = setUp()
  const first = group.commit()
  const second = group.commit()
  running[0]!.fail(new Error('disk full'))
  await expect(first).rejects.toThrow('disk full')
  await turn()
  running[1]!.end()
  await second
})
