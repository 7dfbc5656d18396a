import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const hasBoto3 = await run('python3', ['-c', 'import boto3']).then(
  () => true,
  () => false,
)

describe.skipIf(!hasBoto3)(
  `boto3${hasBoto3 ? '' : ' (skipped: python3 cannot import boto3; Debian: python3-boto3)'}`,
  () => {
    let kiln: RunningKiln
    beforeAll(async () => {
      kiln = await startKiln({ machines: 'qemu' })
    })
    afterAll(() => kiln.cleanup())

    test('walks the whole lifecycle on real machines', { timeout: 900_000 }, async () => {
      const script = fileURLToPath(new URL('./lifecycle.py', import.meta.url))
      const output = await run('python3', [script, kiln.url], { timeoutMs: 880_000 })
      expect(output.trim().split('\n').at(-1)).toBe(
        'terminated: the volume that was to stay is there, the others are gone',
      )
    })
  },
)
