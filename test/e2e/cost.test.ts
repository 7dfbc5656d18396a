import { describe, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { cleanEnvironment, kilnProgram } from './support/kiln.ts'

const tutorial = {
  ...{ '--rate': '0.10', '--hours-per-day': '4', '--days': '30' },
  ...{ '--volume-gb': '100', '--volume-price-month': '5' },
}

function compare(flags: Record<string, string | undefined>, ...more: string[]): Promise<string> {
  const words = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  return run(kilnProgram, ['cost', 'compare', ...words, ...more], { env: cleanEnvironment() })
}

describe('kiln cost compare, without a daemon', () => {
  test("shows the tutorial's example", async () => {
    expect((await compare(tutorial)).trimEnd().split('\n')).toEqual([
      'COST OF                               INSTANCE STORE  EBS-BACKED',
      'instance, 30 days of 24 h, or of 4 h  $72.00          $12.00',
      'volume of 100 GB                      -               $5.00',
      'together                              $72.00          $17.00',
      '',
      'EBS-backed saves $55.00; both cost the same at 22.33 h of work a day.',
    ])
  })

  test('tells programs the same in JSON, with ten places', async () => {
    expect(JSON.parse(await compare(tutorial, '--json'))).toEqual({
      currency: 'USD',
      instanceStore: { lines: [{ item: 'instance', cost: '72.0000000000' }], total: '72.0000000000' },
      ebs: {
        lines: [
          { item: 'instance', cost: '12.0000000000' },
          { item: 'volume', cost: '5.0000000000' },
        ],
        total: '17.0000000000',
      },
      ...{ cheaper: 'ebs', saved: '55.0000000000', breakEvenHoursPerDay: '22.3333333333' },
    })
  })

  test('counts what the images take, in any currency', async () => {
    const shown = await compare({
      ...{ ...tutorial, '--volume-price-month': undefined, '--volume-price-gb-month': '0.05', '--currency': 'EUR' },
      ...{ '--bundle-gb': '20', '--bundle-price-gb-month': '0.05' },
      ...{ '--snapshot-gb': '10', '--snapshot-price-gb-month': '0.05' },
    })
    expect(shown).toMatch(/^bundle of 20 GB +€1\.00 +-$/m)
    expect(shown).toMatch(/^snapshot of 10 GB +- +€0\.50$/m)
    expect(shown).toMatch(/^together +€73\.00 +€17\.50$/m)
  })

  test.each([
    [{ '--rate': 'ten' }, '--rate'],
    [{ '--rate': '-1' }, '--rate'],
    [{ '--hours-per-day': '24.5' }, '--hours-per-day'],
    [{ '--days': '0' }, '--days'],
    [{ '--volume-gb': '1e3' }, '--volume-gb'],
    [{ '--volume-gb': undefined }, '--volume-gb'],
    [{ '--volume-price-month': '' }, '--volume-price-month'],
    [{ '--volume-price-month': undefined }, '--volume-price-month or --volume-price-gb-month'],
    [{ '--volume-price-gb-month': '1' }, '--volume-price-gb-month'],
    [{ '--bundle-gb': '1' }, '--bundle-gb and --bundle-price-gb-month'],
    [{ '--currency': 'gold' }, '--currency'],
  ])('refuses %j by the name of the flag', async (change: Record<string, string | undefined>, name) => {
    const error = await compare({ ...tutorial, ...change }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ProgramError)
    expect(error).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(name) })
  })
})
