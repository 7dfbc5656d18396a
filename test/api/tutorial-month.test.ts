/**
 * The month that every tutorial on machine images tells of: the work takes 4 hours a day, at 0.10 an hour. An instance
 * with its root on EBS is stopped meanwhile, one whose root lies in the instance store cannot be. Here the month is lived.
 */
import {
  RegisterImageCommand,
  RunInstancesCommand,
  type RunInstancesCommandInput,
  StartInstancesCommand,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { exactOf, moneyText, reportText } from '../../src/prices/money.ts'
import { readPriceSheet } from '../../src/prices/sheets.ts'
import { compareWorkload } from '../../src/prices/workload.ts'
import { makeBundle, newIdentity, putBundle, rootImage } from '../support/bundles.ts'
import { dayMs, hourMs, LivedTime } from '../support/lived-time.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const accountId = '111122223333'
const beginMs = Date.UTC(2026, 5, 1)
const days = 30
const prices = readPriceSheet(
  Buffer.from(`format,kiln-price-sheet
version,1
currency,USD
asOf,2026-06-01
source,the tutorial
region,usageType,unit,price
*,BoxUsage:m1.large,Hrs,0.10
*,EBS:VolumeUsage.gp2,GB-Mo,0.05
`),
)

const time = new LivedTime(beginMs - dayMs)
const served = useServedCloud({ isLive: true, prices, ...time.options() })
const ec2 = () => served().client(accountId)
const rest = () => time.rest(served())

async function launch(ImageId: string, more: Partial<RunInstancesCommandInput> = {}): Promise<string> {
  const request = { ImageId, InstanceType: 'm1.large', MinCount: 1, MaxCount: 1, ...more } as const
  const { Instances } = await ec2().send(new RunInstancesCommand(request))
  return Instances![0]!.InstanceId!
}

async function registerBundle(): Promise<string> {
  const signer = await newIdentity('01')
  const { certificates } = served().cloud
  await certificates.upload({ accountId, userId: null }, signer.certificate)
  const cloudCertificate = (await certificates.cloudIdentity()).certificate
  const bundle = await makeBundle({ image: rootImage(2 ** 20), accountId, signer, cloudCertificate })
  const ImageLocation = await putBundle(served().s3(accountId), { bucket: 'tutorial', prefix: 'image' }, bundle)
  const { ImageId } = await ec2().send(new RegisterImageCommand({ Name: 'bundled', ImageLocation }))
  await rest()
  return ImageId!
}

test('4 hours a day for a month: 72.00 when it cannot be stopped, 17.00 when it can, 55.00 saved', async () => {
  const { cloud, deps } = served()
  const scope = { accountId, region: 'eu-west-1' }
  const bundled = await registerBundle()
  const [seed] = (await cloud.images.list(scope, { owners: ['amazon'] })).items
  await time.reach(served(), beginMs)

  const root = { DeviceName: seed!.rootDeviceName!, Ebs: { VolumeSize: 100, VolumeType: 'gp2' as const } }
  const onEbs = await launch(seed!.id, { BlockDeviceMappings: [root] })
  const inStore = await launch(bundled)
  await rest()
  const states = async () => (await deps.state.instances.many([onEbs, inStore])).map(({ id, state }) => [id, state])
  const expectStates = async (ebs: string) =>
    expect(Object.fromEntries(await states())).toEqual({ [onEbs]: ebs, [inStore]: 'running' })
  const stop = { InstanceIds: [inStore] }
  await expectRefusal(ec2().send(new StopInstancesCommand(stop)), 'UnsupportedOperation', inStore)
  for (let day = 0; day < days; day++) {
    if (day > 0) {
      await time.reach(served(), beginMs + day * dayMs)
      await ec2().send(new StartInstancesCommand({ InstanceIds: [onEbs] }))
      await rest()
    }
    await expectStates('running')
    await time.reach(served(), beginMs + day * dayMs + 4 * hourMs)
    await ec2().send(new StopInstancesCommand({ InstanceIds: [onEbs] }))
    await rest()
    await expectStates('stopped')
  }
  await time.reach(served(), beginMs + days * dayMs)

  const month = { fromS: beginMs / 1000, toS: (beginMs + days * dayMs) / 1000, accountIds: [accountId] }
  const bill = await cloud.costs.report({ ...month, granularity: 'month', groupBy: ['resource', 'usage-type'] })
  const [volume] = await deps.state.volumes.attachmentsOfInstances([onEbs])
  const lines = bill.groups.filter((group) => group.lines.length > 0)
  const compare = (a: readonly unknown[], b: readonly unknown[]) => (String(a) < String(b) ? -1 : 1)
  expect(lines.map(({ keys, cost }) => [...keys, reportText(cost)]).sort(compare)).toEqual(
    [
      [onEbs, 'BoxUsage:m1.large', '12.0000000000'],
      [inStore, 'BoxUsage:m1.large', '72.0000000000'],
      [volume!.volumeId, 'EBS:VolumeUsage.gp2', '5.0000000000'],
    ].sort(compare),
  )

  const costOf = (id: string) => lines.find(({ keys }) => keys[0] === id)!.cost
  const ebs = costOf(onEbs).add(costOf(volume!.volumeId))
  const saved = costOf(inStore).sub(ebs)
  expect([ebs, costOf(inStore), saved].map((cost) => moneyText(cost, bill.currency))).toEqual([
    ...['$17.00', '$72.00', '$55.00'],
  ])
  const told = compareWorkload({
    ...{ hourlyRate: exactOf('0.10'), hoursPerDay: exactOf('4'), days: exactOf(String(days)) },
    ...{ volumeGb: exactOf('100'), volumePrice: { perGbMonth: exactOf('0.05') } },
  })
  expect([told.ebs.total, told.instanceStore.total, told.saved].map(reportText)).toEqual(
    [ebs, costOf(inStore), saved].map(reportText),
  )
  // The same out of days, which know no resources.
  const fromDays = await cloud.costs.report({ ...month, granularity: 'day', groupBy: ['usage-type'] })
  expect(reportText(fromDays.total)).toBe('89.0000000000')
})
