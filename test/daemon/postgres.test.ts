/** The same daemon with its state in PostgreSQL. */
import { EBSClient } from '@aws-sdk/client-ebs'
import {
  CopyImageCommand,
  CreateImageCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  EC2Client,
  StartInstancesCommand,
  StopInstancesCommand,
  waitUntilImageAvailable,
  waitUntilInstanceRunning,
  waitUntilInstanceStopped,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PostgresServer, postgresPrograms, startPostgres } from '../../src/state/testing/postgres-server.ts'
import { prepareFleet, waiting } from '../e2e/support/fleet.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { blockOf, DirectSnapshots, diskOf } from '../support/direct-snapshots.ts'

const programs = postgresPrograms()

describe.skipIf(!programs)(
  `PostgreSQL${programs ? '' : ' (skipped: no server is installed; Debian: postgresql)'}`,
  () => {
    let server: PostgresServer
    let kiln: RunningKiln
    beforeAll(async () => {
      server = await startPostgres(programs!)
      kiln = await startKiln({ machines: 'simulated', env: { KILN_DATABASE_URL: await server.createDatabase() } })
    })
    afterAll(async () => {
      await kiln?.cleanup()
      await server?.stop()
    })

    test('holds the lifecycle of images over a crash of the daemon', async () => {
      const here = await prepareFleet(kiln, 'us-east-1')
      const there = await prepareFleet(kiln, 'eu-west-1')
      const ids = await here.launch({ count: 3 })
      await here.ec2.send(new StopInstancesCommand({ InstanceIds: [ids[0]!] }))
      await waitUntilInstanceStopped({ client: here.ec2, ...waiting }, { InstanceIds: [ids[0]!] })
      await here.ec2.send(new StartInstancesCommand({ InstanceIds: [ids[0]!] }))
      await waitUntilInstanceRunning({ client: here.ec2, ...waiting }, { InstanceIds: [ids[0]!] })
      const { ImageId: image } = await here.ec2.send(new CreateImageCommand({ InstanceId: ids[0]!, Name: 'made' }))
      await kiln.kill9()
      await kiln.restart()
      here.reconnect()
      there.reconnect()
      await waitUntilImageAvailable({ client: here.ec2, ...waiting }, { ImageIds: [image!] })
      const { ImageId: copy } = await there.ec2.send(
        new CopyImageCommand({ SourceRegion: 'us-east-1', SourceImageId: image!, Name: 'copied' }),
      )
      await waitUntilImageAvailable({ client: there.ec2, ...waiting }, { ImageIds: [copy!] })
      const [abroad] = await there.launch({ imageId: copy! })
      expect((await there.describe(abroad!)).State!.Name).toBe('running')

      await here.ec2.send(new DeregisterImageCommand({ ImageId: image!, DeleteAssociatedSnapshots: true }))
      const { Images: own } = await here.ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))
      const { Snapshots: left } = await here.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
      expect([own, left]).toEqual([[], []])
      await here.terminate(ids)
      const { Volumes: volumes } = await here.ec2.send(new DescribeVolumesCommand({}))
      expect(volumes).toEqual([])
    })

    test('holds a snapshot that is written block by block over a crash of the daemon', async () => {
      const connect = () => {
        const credentials = { accessKeyId: '444455556666', secretAccessKey: 'any' }
        const settings = { endpoint: kiln.url, region: 'us-east-1', credentials }
        return new DirectSnapshots(new EBSClient(settings), new EC2Client(settings))
      }
      const before = connect()
      const id = await before.start()
      await Promise.all(['a', 'b', 'c'].map((text, index) => before.put(id, index, blockOf(text))))
      await kiln.kill9()
      await kiln.restart()
      const after = connect()
      await after.write(id, diskOf({ 0: 'a', 1: 'b', 2: 'other' }))
      expect((await after.settled(id)).State).toBe('completed')
      expect(await after.read(id)).toEqual(diskOf({ 0: 'a', 1: 'b', 2: 'other' }))
    })
  },
)
