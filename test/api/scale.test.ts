/** Large requests. No machine boots here: this is about the answers alone. */
import { DescribeInstancesCommand, RunInstancesCommand } from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { callerOf } from '../support/caller.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })

test('a hundred instances are launched, and a thousand listed, in one request each', async () => {
  const { ec2, seedImage } = await callerOf(served(), '000000000001')
  await served().deps.operations.stop()
  const launch = (count: number) =>
    ec2.send(
      new RunInstancesCommand({
        ...{ ImageId: seedImage, InstanceType: 't3.nano', MinCount: count, MaxCount: count },
        // Finding free public addresses is the network's work, and depends on the host.
        NetworkInterfaces: [{ DeviceIndex: 0, AssociatePublicIpAddress: false }],
      }),
    )
  expect((await launch(100)).Instances).toHaveLength(100)
  expect((await launch(900)).Instances).toHaveLength(900)
  const { Reservations: found } = await ec2.send(new DescribeInstancesCommand({}))
  expect(found!.flatMap((one) => one.Instances!)).toHaveLength(1000)
})
