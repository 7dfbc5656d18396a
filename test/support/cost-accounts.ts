/** Accounts that use things for some days, and then ask what it cost. */
import { CreateVolumeCommand, StopInstancesCommand } from '@aws-sdk/client-ec2'
import { beforeAll } from 'vitest'
import { callerOf } from './caller.ts'
import { type MovingClock, movingClock } from './moving-clock.ts'
import { type ServedCloud, useServedCloud } from './served-cloud.ts'

const [hourMs, dayMs] = [3600_000, 86_400_000]

/** The default price sheet has no prices there. */
export const unpricedRegion = 'eu-west-3'
export const [spender, neighbour, newcomer] = ['100000000001', '100000000002', '100000000003']

export interface CostAccounts {
  served(): ServedCloud
  clock: MovingClock
  /** The day on which everything began, at half past midnight; the first of a month. */
  firstDay: string
  /** `2026-12-03` for 2. */
  day(number: number): string
  /** What the spender has: two in Ireland of which one was stopped, one in Virginia, one where nothing has a price. */
  instances: { tagged: string; stopped: string; other: string; unpriced: string }
  volumeId: string
}

/** Lives the first three days of a month and a half. */
export function useCostAccounts(): CostAccounts {
  const clock = movingClock()
  const served = useServedCloud({ isLive: true, clock })
  const accounts: CostAccounts = {
    ...{ served, clock, firstDay: '', volumeId: '' },
    day: (number) => dateText(Date.parse(accounts.firstDay) + number * dayMs),
    instances: { tagged: '', stopped: '', other: '', unpriced: '' },
  }
  beforeAll(async () => {
    const firstMs = startOfNextMonth(clock.now())
    accounts.firstDay = dateText(firstMs)
    const goTo = (timeMs: number) => clock.moveOn(timeMs - clock.now())
    goTo(firstMs + hourMs / 2)
    await begin(accounts)
    goTo(firstMs + dayMs + 10 * hourMs)
    const ec2 = served().client(spender, 'eu-west-1')
    await ec2.send(new StopInstancesCommand({ InstanceIds: [accounts.instances.stopped] }))
    await (await callerOf(served(), spender, 'eu-west-1')).reaches(accounts.instances.stopped, 'stopped')
    goTo(firstMs + 3 * dayMs + 12 * hourMs)
  })
  return accounts
}

async function begin(accounts: CostAccounts): Promise<void> {
  const [ireland, virginia, paris, beside] = await Promise.all([
    callerOf(accounts.served(), spender, 'eu-west-1'),
    callerOf(accounts.served(), spender, 'us-east-1'),
    callerOf(accounts.served(), spender, unpricedRegion),
    callerOf(accounts.served(), neighbour, 'eu-west-1'),
  ])
  const tags = (team: string) => ({
    TagSpecifications: (['instance', 'volume'] as const).map((ResourceType) => ({
      ResourceType,
      Tags: [
        { Key: 'team', Value: team },
        { Key: 'stage', Value: 'test' },
      ],
    })),
  })
  const micro = { InstanceType: 't3.micro' } as const
  const [tagged] = await ireland.launch({ ...micro, ...tags('red') })
  const [stopped] = await ireland.launch({ ...micro, ...tags('blue') })
  const [other] = await virginia.launch(micro)
  const [unpriced] = await paris.launch({ InstanceType: 'm5.large' })
  await beside.launch({ InstanceType: 't3.large' })
  accounts.instances = {
    ...{ tagged: tagged.InstanceId!, stopped: stopped.InstanceId! },
    ...{ other: other.InstanceId!, unpriced: unpriced.InstanceId! },
  }
  const volume = { AvailabilityZone: 'us-east-1a', Size: 100, VolumeType: 'gp3' } as const
  accounts.volumeId = (await virginia.ec2.send(new CreateVolumeCommand(volume))).VolumeId!
}

export const dateText = (timeMs: number): string => new Date(timeMs).toISOString().slice(0, 10)

function startOfNextMonth(timeMs: number): number {
  const date = new Date(timeMs)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1)
}
