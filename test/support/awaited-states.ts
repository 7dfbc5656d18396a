/**
 * What makes the state that each waiter of the official clients waits for: a change that is under way when the waiter begins.
 * An operation that Kiln newly serves adds a line to {@link awaitedStates}.
 */
import {
  AllocateAddressCommand,
  AttachVolumeCommand,
  BundleInstanceCommand,
  CreateImageCommand,
  CreateInternetGatewayCommand,
  CreateKeyPairCommand,
  CreateNatGatewayCommand,
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  CreateSnapshotCommand,
  CreateStoreImageTaskCommand,
  CreateSubnetCommand,
  CreateVolumeCommand,
  CreateVpcCommand,
  DeleteNatGatewayCommand,
  DeleteVolumeCommand,
  ImportSnapshotCommand,
  type Instance,
  RegisterImageCommand,
  RequestSpotInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import {
  CreateInstanceProfileCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  CreateUserCommand,
} from '@aws-sdk/client-iam'
import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { makeBundle, newIdentity, putBundle, rootImage } from './bundles.ts'
import { type Caller, callerOf } from './caller.ts'
import { account, region } from './official-services.ts'
import { AssumeRolePolicyDocument, PolicyDocument } from './paged-identities.ts'
import type { ServedCloud } from './served-cloud.ts'

export interface AwaitedState {
  /** Starts the change; resolves to what the waiter asks with. */
  begin(): Promise<object>
  /** Why the state never comes: the waiter gives up, and is told of no failure. */
  never?: string
}

/** How the official JavaScript client's waiters shall wait. */
export const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 60 }
const bucket = 'states-of-clients'
const mib = 1024 ** 2

export async function awaitedStates(served: ServedCloud): Promise<Readonly<Record<string, AwaitedState>>> {
  const caller = await callerOf(served, account, region)
  const { ec2 } = caller
  const s3 = served.s3(account, region)
  const iam = served.iam(account)
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'disk', Body: Buffer.alloc(mib) }))
  const [home] = await caller.launch()
  const image = await caller.imageOf(home.InstanceId!, 'of the first')
  const bundled = await bundledInstance(served, caller)
  let names = 0
  const name = () => `state-${names++}`

  const launched = async () => ({ InstanceIds: [(await caller.launch({}, 'pending'))[0].InstanceId!] })
  const running = async () => ({ InstanceIds: [(await caller.launch())[0].InstanceId!] })
  const imaged = async () => {
    const made = await ec2.send(new CreateImageCommand({ InstanceId: home.InstanceId, Name: name(), NoReboot: true }))
    return { ImageIds: [made.ImageId!] }
  }
  const created = async () => {
    const AvailabilityZone = home.Placement!.AvailabilityZone
    const made = await ec2.send(new CreateVolumeCommand({ AvailabilityZone, Size: 1 }))
    return { VolumeIds: [made.VolumeId!] }
  }
  const available = async () => {
    const volume = await created()
    await waitUntilVolumeAvailable({ client: ec2, ...waiting }, volume)
    return volume
  }
  const vpc = async () => ({
    VpcIds: [(await ec2.send(new CreateVpcCommand({ CidrBlock: '10.9.0.0/16' }))).Vpc!.VpcId!],
  })

  const gateway = async () => {
    const { AllocationId } = await ec2.send(new AllocateAddressCommand({}))
    const made = await ec2.send(new CreateNatGatewayCommand({ SubnetId: home.SubnetId, AllocationId }))
    return { NatGatewayIds: [made.NatGateway!.NatGatewayId!] }
  }

  return {
    'ec2.BundleTaskComplete': {
      async begin() {
        const Storage = { S3: { Bucket: bucket, Prefix: name() } }
        const made = await ec2.send(new BundleInstanceCommand({ InstanceId: await bundled(), Storage }))
        return { BundleIds: [made.BundleTask!.BundleId!] }
      },
    },
    'ec2.ImageAvailable': { begin: imaged },
    'ec2.ImageExists': { begin: imaged },
    'ec2.InstanceExists': { begin: launched },
    'ec2.InstanceRunning': { begin: launched },
    'ec2.InstanceStatusOk': { begin: launched },
    'ec2.InstanceStopped': {
      async begin() {
        const instance = await running()
        await ec2.send(new StopInstancesCommand(instance))
        return instance
      },
    },
    'ec2.InstanceTerminated': {
      async begin() {
        const instance = await running()
        await ec2.send(new TerminateInstancesCommand(instance))
        return instance
      },
    },
    'ec2.InternetGatewayExists': {
      async begin() {
        const made = await ec2.send(new CreateInternetGatewayCommand({}))
        return { InternetGatewayIds: [made.InternetGateway!.InternetGatewayId!] }
      },
    },
    'ec2.KeyPairExists': {
      async begin() {
        const { KeyName } = await ec2.send(new CreateKeyPairCommand({ KeyName: name(), KeyType: 'ed25519' }))
        return { KeyNames: [KeyName!] }
      },
    },
    'ec2.NatGatewayAvailable': { begin: gateway },
    'ec2.NatGatewayDeleted': {
      async begin() {
        const made = await gateway()
        await ec2.send(new DeleteNatGatewayCommand({ NatGatewayId: made.NatGatewayIds[0] }))
        return made
      },
    },
    'ec2.NetworkInterfaceAvailable': {
      async begin() {
        const made = await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: home.SubnetId }))
        return { NetworkInterfaceIds: [made.NetworkInterface!.NetworkInterfaceId!] }
      },
    },
    'ec2.PasswordDataAvailable': {
      begin: async () => ({ InstanceId: home.InstanceId! }),
      never: 'no guest is a Windows that would tell a password',
    },
    'ec2.SecurityGroupExists': {
      async begin() {
        const made = await ec2.send(new CreateSecurityGroupCommand({ GroupName: name(), Description: 'awaited' }))
        return { GroupIds: [made.GroupId!] }
      },
    },
    'ec2.SnapshotCompleted': {
      async begin() {
        const VolumeId = home.BlockDeviceMappings![0]!.Ebs!.VolumeId
        return { SnapshotIds: [(await ec2.send(new CreateSnapshotCommand({ VolumeId }))).SnapshotId!] }
      },
    },
    'ec2.SnapshotImported': {
      async begin() {
        const DiskContainer = { Format: 'raw', UserBucket: { S3Bucket: bucket, S3Key: 'disk' } }
        return { ImportTaskIds: [(await ec2.send(new ImportSnapshotCommand({ DiskContainer }))).ImportTaskId!] }
      },
    },
    'ec2.SpotInstanceRequestFulfilled': {
      async begin() {
        const LaunchSpecification = { ImageId: caller.seedImage, InstanceType: 't3.nano' } as const
        const made = await ec2.send(new RequestSpotInstancesCommand({ LaunchSpecification }))
        return { SpotInstanceRequestIds: [made.SpotInstanceRequests![0]!.SpotInstanceRequestId!] }
      },
    },
    'ec2.StoreImageTaskComplete': {
      async begin() {
        await ec2.send(new CreateStoreImageTaskCommand({ ImageId: image.ImageId, Bucket: await newBucket() }))
        return { ImageIds: [image.ImageId!] }
      },
    },
    'ec2.SubnetAvailable': {
      async begin() {
        const VpcId = (await vpc()).VpcIds[0]
        const made = await ec2.send(new CreateSubnetCommand({ VpcId, CidrBlock: '10.9.1.0/24' }))
        return { SubnetIds: [made.Subnet!.SubnetId!] }
      },
    },
    'ec2.SystemStatusOk': { begin: launched },
    'ec2.VolumeAvailable': { begin: created },
    'ec2.VolumeDeleted': {
      async begin() {
        const volume = await available()
        await ec2.send(new DeleteVolumeCommand({ VolumeId: volume.VolumeIds[0] }))
        return volume
      },
    },
    'ec2.VolumeInUse': {
      async begin() {
        const { InstanceId } = home
        const volume = await available()
        const Device = `/dev/sd${String.fromCharCode('f'.charCodeAt(0) + (names++ % 10))}`
        await ec2.send(new AttachVolumeCommand({ InstanceId, Device, VolumeId: volume.VolumeIds[0] }))
        return volume
      },
    },
    'ec2.VpcAvailable': { begin: vpc },
    'ec2.VpcExists': { begin: vpc },
    'iam.InstanceProfileExists': {
      async begin() {
        const InstanceProfileName = name()
        await iam.send(new CreateInstanceProfileCommand({ InstanceProfileName }))
        return { InstanceProfileName }
      },
    },
    'iam.PolicyExists': {
      async begin() {
        const made = await iam.send(new CreatePolicyCommand({ PolicyName: name(), PolicyDocument }))
        return { PolicyArn: made.Policy!.Arn! }
      },
    },
    'iam.RoleExists': {
      async begin() {
        const RoleName = name()
        await iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument }))
        return { RoleName }
      },
    },
    'iam.UserExists': {
      async begin() {
        const UserName = name()
        await iam.send(new CreateUserCommand({ UserName }))
        return { UserName }
      },
    },
    's3.BucketExists': { begin: async () => ({ Bucket: await newBucket() }) },
    's3.BucketNotExists': {
      async begin() {
        const Bucket = await newBucket()
        await s3.send(new DeleteBucketCommand({ Bucket }))
        return { Bucket }
      },
    },
    's3.ObjectExists': { begin: newObject },
    's3.ObjectNotExists': {
      async begin() {
        const object = await newObject()
        await s3.send(new DeleteObjectCommand(object))
        return object
      },
    },
  }

  async function newBucket(): Promise<string> {
    const Bucket = `${bucket}-${name()}`
    await s3.send(new CreateBucketCommand({ Bucket }))
    return Bucket
  }

  async function newObject(): Promise<{ Bucket: string; Key: string }> {
    const object = { Bucket: bucket, Key: name() }
    await s3.send(new PutObjectCommand({ ...object, Body: 'awaited' }))
    return object
  }
}

/** New running instances of an instance-store-backed image, which alone can be bundled. */
async function bundledInstance(served: ServedCloud, caller: Caller): Promise<() => Promise<string>> {
  const { certificates } = served.cloud
  const signer = await newIdentity('01')
  await certificates.upload({ accountId: account, userId: null }, signer.certificate)
  const cloudCertificate = (await certificates.cloudIdentity()).certificate
  const bundle = await makeBundle({ image: rootImage(2 * mib), accountId: account, signer, cloudCertificate })
  const ImageLocation = await putBundle(served.s3(account, region), { bucket, prefix: 'first' }, bundle)
  const { ImageId } = await caller.ec2.send(new RegisterImageCommand({ Name: 'bundled', ImageLocation }))
  await caller.image(ImageId!)
  return async () => {
    const [instance]: [Instance, ...Instance[]] = await caller.launch({ ImageId, InstanceType: 'm1.large' })
    return instance.InstanceId!
  }
}
