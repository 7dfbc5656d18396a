import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { prepareFleet } from './support/fleet.ts'
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

    const walk = (script: string, ...more: string[]) =>
      run('python3', [fileURLToPath(new URL(script, import.meta.url)), kiln.url, ...more], { timeoutMs: 880_000 })

    test('writes an image block by block, which boots', async () => {
      const fleet = await prepareFleet(kiln, 'us-east-1', '111122223333')
      const imageId = (await walk('./write_image.py', fleet.kilnLinux)).trim()
      const [instance] = await fleet.launch({ imageId })
      expect(await fleet.ssh(instance!, 'uname -s')).toBe('Linux')
      await fleet.terminate([instance!])
    })

    test('stores an image and restores it in another region, where it boots', async () => {
      const fleet = await prepareFleet(kiln, 'eu-north-1', '111122223333')
      const imageId = (await walk('./store_image.py')).trim()
      const [instance] = await fleet.launch({ imageId })
      expect(await fleet.ssh(instance!, 'uname -s')).toBe('Linux')
      await fleet.terminate([instance!])
    })

    test('walks the whole lifecycle on real machines', { timeout: 900_000 }, async () => {
      const output = await walk('./lifecycle.py')
      expect(output.trim().split('\n').at(-1)).toBe(
        'terminated: the volume that was to stay is there, the others are gone',
      )
    })
  },
)
