import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { cleanEnvironment, kilnProgram, repositoryRoot } from '../e2e/support/kiln.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-scenario-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const simulate = (path: string, ...more: string[]) =>
  run(kilnProgram, ['cost', 'simulate', path, ...more], { env: cleanEnvironment() })

async function simulated(yaml: string) {
  const path = join(folder, 'scenario.yaml')
  await writeFile(path, yaml)
  return JSON.parse(await simulate(path, '--json'))
}

async function refusal(yaml: string): Promise<string> {
  const error = await simulated(yaml).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ProgramError)) throw error
  expect(error.exitCode).toBe(2)
  return error.stderr
}

describe('kiln cost simulate, without a daemon', () => {
  test("lives through the tutorial's month", async () => {
    const shown = await simulate(join(repositoryRoot, 'docs/examples/tutorial-month.yaml'))
    expect(shown.trimEnd().split('\n')).toEqual([
      'RESOURCE               REGION     MONTH    USAGE TYPE           QUANTITY   PRICE  COST',
      'in the instance store  us-east-1  2026-06  BoxUsage:m1.large    720 Hrs    0.1    $72.00',
      'on EBS                 us-east-1  2026-06  BoxUsage:m1.large    120 Hrs    0.1    $12.00',
      'on EBS root            us-east-1  2026-06  EBS:VolumeUsage.gp2  100 GB-Mo  0.05   $5.00',
      '',
      'Together $89.00.',
    ])
  })

  test('snapshots are kept for so many days, charged for what changed, and copied; prices are the default ones', async () => {
    const { total, currency, lines, unpriced } = await simulated(`
from: 2026-06-01
days: 30
region: us-east-1
volumes:
  - name: data
    size: 200
    type: gp3
    snapshots: { at: "00:00", data: 80, changed: 2, keep: 7, copyTo: us-west-2 }
    tags: { team: blue }
instances:
  - name: web
    type: t3.micro
    image: ebs
    volume: { size: 8, type: gp3 }
    runs:
      - { start: 2026-06-01T08:00, stop: 2026-06-01T08:00:01 }
      - { start: 2026-06-02, stop: 2026-06-03 }
    publicAddress: true
`)
    expect(unpriced).toEqual([])
    expect(currency).toBe('USD')
    const quantities = (name: RegExp, usageType: string, region: string) =>
      lines
        .filter((line: Line) => name.test(line.resource) && line.usageType === usageType && line.region === region)
        .map((line: Line) => Number(line.quantity))
    const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0)
    // From the 2nd on there is one, the oldest being charged for all 80; from the 8th there are 7.
    const gbDays = 29 * 80 + 2 * (1 + 2 + 3 + 4 + 5 + 23 * 6)
    for (const region of ['us-east-1', 'us-west-2']) {
      const what = region === 'us-east-1' ? /^data snapshot/ : /^data copy/
      const snapshots = quantities(what, 'EBS:SnapshotUsage', region)
      expect(snapshots).toHaveLength(29)
      expect(sum(snapshots)).toBeCloseTo(gbDays / 30, 8)
    }
    // A run of a second is one of a minute.
    expect(quantities(/^web$/, 'BoxUsage:t3.micro', 'us-east-1')[0]).toBeCloseTo(24 + 1 / 60, 8)
    expect(quantities(/^web address$/, 'PublicIPv4:InUseAddress', 'us-east-1')[0]).toBeCloseTo(24 + 1 / 60, 8)
    expect(Number(total)).toBeCloseTo(sum(lines.map((line: Line) => Number(line.cost))), 6)
  })

  test('tells the line and the field of everything that is wrong', async () => {
    const said = await refusal(`from: 2026-02-30
days: 0
instances:
  - name: web
    type: m1.large
    image: instance-store
    hoursPerDay: 4
  - type: huge
    image: floppy
    volume: { size: 1.5, type: gp9 }
volumes:
  - name: data
    size: 10
    snapshots: { data: 20, changed: 1, copyTo: moon-1 }
    speed: 9
`)
    for (const part of [
      "line 1, from: '2026-02-30' is no time",
      'line 2, days: 0 is no whole number from 1 to 3660',
      'line 7, instances[0].hoursPerDay: an instance of the instance store cannot be stopped',
      'line 8, instances[1].name: is missing',
      "line 8, instances[1].type: 'huge' is no instance type",
      "line 9, instances[1].image: 'floppy' is neither ebs nor instance-store",
      'line 10, instances[1].volume.size: 1.5 is no whole number',
      "line 10, instances[1].volume.type: 'gp9' is no volume type",
      'line 14, volumes[0].snapshots.data: 20 is no number from 0 to 10',
      "line 14, volumes[0].snapshots.copyTo: 'moon-1' is no region",
      'line 15, volumes[0].speed: is not known',
    ]) {
      expect(said).toContain(part)
    }
    expect(await refusal('from: [')).toContain('line 1, YAML: ')
    expect(await refusal('')).toContain('line 1, file: must be a mapping')
    expect(
      await refusal(`from: 2026-06-01
days: 1
volumes: [{ name: a, size: 1, from: 2026-05-01 }]
`),
    ).toContain('line 3, volumes[0].from: lies outside of the days of the scenario')
  })
})

interface Line {
  resource: string
  usageType: string
  region: string
  quantity: string
  cost: string
}
