/** `kiln cost`, as it is typed: on a home with simulated machines and a price sheet of its own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

// A GiB for a month at these prices is some 400 a second: what a test waits for costs something.
const sheet = `format,kiln-price-sheet
version,1
currency,USD
asOf,2026-11-01
source,what a test charges
region,usageType,unit,price
*,EBS:VolumeUsage.gp3,GB-Mo,1000000000
`

let kiln: RunningKiln
let folder: string
let prices: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-costs-'))
  prices = join(folder, 'prices.csv')
  await writeFile(prices, sheet)
  kiln = await startKiln({ env: { KILN_PRICES: prices } })
  const volume = ['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1', '--volume-type', 'gp3']
  await run('aws', [...volume, '--tag-specifications', 'ResourceType=volume,Tags=[{Key=team,Value=blue}]'], {
    env: kiln.env,
  })
  await systemClock.sleep(2500)
})
afterAll(async () => {
  await kiln?.cleanup()
  await rm(folder, { recursive: true, force: true })
})

const json = async (...words: string[]) => JSON.parse(await kiln.command(...words, '--json'))

async function refusal(...words: string[]): Promise<{ exitCode: number | null; stderr: string }> {
  const error = await kiln.command(...words).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ProgramError)
  return error as ProgramError
}

test('costs are a table with its total and the prices that it is of', async () => {
  const [headings, row, , together] = (await kiln.command('cost')).split('\n')
  expect(headings).toMatch(/^USAGE TYPE +WHAT +QUANTITY +COST$/)
  expect(row).toMatch(/^EBS:VolumeUsage\.gp3 +volume storage +\S+ GB-Mo +\$[\d,.]+$/)
  expect(together).toMatch(
    /^Together \$[\d,.]+ \(USD\), from \S+ to .* UTC\. Prices of 2026-11-01: what a test charges\.$/,
  )
  expect(await kiln.command('cost', '--by', 'tag:team', '--by', 'day')).toMatch(/^\d{4}-\d\d-\d\d +blue +\$/m)
  expect(await kiln.command('cost', '--account', '999999999999')).toMatch(/^Nothing was used\./)
})

test('programs get them in JSON, and in the columns of a cost and usage report', async () => {
  const told = await json('cost', '--by', 'account', '--region', 'us-east-1')
  expect(told).toMatchObject({ currency: 'USD', groupBy: ['account'], groups: [{ keys: ['123456789012'] }] })
  const [line] = parse(await kiln.command('cost', '--csv'), { columns: true }) as Record<string, string>[]
  expect(line).toMatchObject({
    line_item_usage_account_id: '123456789012',
    line_item_product_code: 'AmazonEC2',
    line_item_usage_type: 'EBS:VolumeUsage.gp3',
    line_item_operation: 'CreateVolume-Gp3',
    line_item_resource_id: expect.stringMatching(/^vol-/),
    line_item_usage_start_date: expect.stringMatching(/T00:00:00Z$/),
    line_item_unblended_rate: '1000000000',
    pricing_unit: 'GB-Mo',
    product_region_code: 'us-east-1',
    resource_tags: '{"user_team":"blue"}',
  })
  expect(Number(line!.line_item_unblended_cost)).toBeGreaterThan(100)
})

test('a forecast is of the whole month', async () => {
  const { soFar, atEnd, to } = await json('cost', 'forecast', '--by', 'resource-kind')
  expect(atEnd.asOf).toBe(to)
  expect(Number(atEnd.total)).toBeGreaterThan(Number(soFar.total))
  expect(await kiln.command('cost', 'forecast')).toMatch(
    /^SERVICE +SO FAR +BY THE END\nAmazonEC2 +\$\S+ +\$\S+\n\nTogether /,
  )
})

test('budgets note what was crossed once, over a crash too', async () => {
  expect(await kiln.command('cost', 'budget', 'create', 'lab', '--amount', '10', '--tag', 'team=blue')).toMatch(
    /^crossed +80%, 100%, 100% forecast$/m,
  )
  const events = await json('cost', 'budget', 'events')
  expect(events).toHaveLength(3)
  await kiln.kill9()
  await kiln.restart()
  await kiln.command('cost', 'budget', 'create', 'all', '--amount', '1', '--at', '50')
  expect(await json('cost', 'budget', 'events', 'lab')).toEqual(events)
  expect(kiln.log).toContain('has come to 50% of the budget all')
  expect(await kiln.command('cost', 'budget', 'list')).toMatch(
    /^lab +team=blue +\$10\.00 +\$.*80%, 100%, 100% forecast$/m,
  )
  expect(await kiln.command('status')).toMatch(/^all +everything +\$1\.00 /m)
  expect(await kiln.command('cost', 'budget', 'delete', 'all')).toBe('the budget all is deleted\n')
  expect(await kiln.command('cost', 'budget', 'events')).toMatch(/^\S+ \S+ +all +\d{4}-\d\d +50% +\$/m)
})

test('an instance is compared by what it has done; one of a type by the sheet', async () => {
  const words = [
    '--hours-per-day',
    '4',
    '--days',
    '30',
    '--volume-gb',
    '100',
    '--instance-type',
    'm1.small',
    '--prices',
  ]
  const shown = await kiln.command('cost', 'compare', ...words, 'default', '--region', 'us-east-1')
  expect(shown).toMatch(/^instance, 30 days of 24 h, or of 4 h +\$31\.68 +\$5\.28$/m)
  expect(shown).toMatch(/^volume of 100 GB +- +\$8\.00$/m)
  expect(await refusal('cost', 'compare', ...words, prices)).toMatchObject({
    ...{ exitCode: 2, stderr: expect.stringContaining('no price for m1.small in us-east-1') },
  })
  expect((await refusal('cost', 'compare', '--instance', 'i-0123456789abcdef0')).stderr).toContain('does not exist')
})

test.each([
  [['--by', 'colour'], "option '--by <what>' argument 'colour' is invalid"],
  [['--from', 'yesterday'], "option '--from <time>' argument 'yesterday' is invalid"],
  [['--by', 'day', '--by', 'month'], '--by day and --by month'],
  [['--csv', '--by', 'image'], '--csv'],
  [['budget', 'create', 'x'], '--amount'],
  [['budget', 'create', 'x', '--amount', '1', '--at', '0'], '--at'],
])('kiln cost %j is refused by the name of the flag', async (words, named) => {
  expect(await refusal('cost', ...words)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(named) })
})

test('a bad price sheet is told with every line and field, and nothing is served', async () => {
  const bad = join(folder, 'bad.csv')
  await writeFile(bad, sheet.replace('USD', 'gold').replace('1000000000', 'much'))
  const { exitCode, stderr } = await refusal('serve', '--home', kiln.home, '--prices', bad)
  expect(exitCode).toBe(2)
  expect(stderr).toMatch(/^kiln: .*bad\.csv: line 3, currency: /m)
  expect(stderr).toMatch(/^kiln: .*bad\.csv: line 7, price: /m)
  expect((await refusal('serve', '--home', kiln.home, '--prices', '/none.csv')).stderr).toContain('/none.csv')
})
