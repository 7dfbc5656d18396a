/**
 * The waiters of the AWS SDK for JavaScript and of boto3, every one that they have for an operation that Kiln serves: each sees
 * the end of a change that was under way, on simulated machines.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { type AwaitedState, awaitedStates, waiting } from '../support/awaited-states.ts'
import { boto3Missing, runBoto3 } from '../support/boto3.ts'
import { officialServices, servedWaiters } from '../support/official-services.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true, timing: { bootSettleMs: 0 } })
/** The shortest that the client waits in vain for what never comes. */
const inVain = { ...waiting, maxWaitTime: 0.5 }
let states: Readonly<Record<string, AwaitedState>>
beforeAll(async () => {
  states = await awaitedStates(served())
})

describe('AWS SDK for JavaScript', async () => {
  test.each([...(await servedWaiters())])('%s', async (name, { service, waitUntil }) => {
    const { begin, never } = states[name] ?? expect.fail(`awaitedStates has no ${name}`)
    const client = officialServices[service].client(served())
    if (never === undefined)
      expect(await waitUntil({ client, ...waiting }, await begin())).toMatchObject({ state: 'SUCCESS' })
    else await expect(waitUntil({ client, ...inVain }, await begin())).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})

test.skipIf(boto3Missing)(`boto3${boto3Missing ?? ''}`, async () => {
  const waiters = await Promise.all(
    Object.entries(states).map(async ([name, { begin, never }]) => {
      return { name, input: await begin(), isNever: never !== undefined }
    }),
  )
  const { ran, failures } = await runBoto3(served().url, { waiters })
  expect(failures).toEqual([])
  expect(ran).toBeGreaterThan(20)
})
