/** Block device mappings as requests bring them. */
import type { BlockDeviceMapping } from '@aws-sdk/client-ec2'
import type { DeviceWish } from '../../../cloud/block-devices.ts'
import { KilnError } from '../../../lib/errors.ts'
import { readId } from './ids.ts'
import { refuseGiven } from './unsupported.ts'

/** Only instances that are launched can have their volumes initialized at a rate: `forLaunch`. */
export function readDevices(
  mappings: readonly BlockDeviceMapping[] | undefined,
  { forLaunch = false }: { forLaunch?: boolean } = {},
): DeviceWish[] {
  return (mappings ?? []).map((mapping) => {
    if (!mapping.DeviceName) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter BlockDeviceMapping.DeviceName')
    }
    const ebs = mapping.Ebs
    refuseGiven({
      'BlockDeviceMapping.Ebs.OutpostArn': ebs?.OutpostArn,
      'BlockDeviceMapping.Ebs.AvailabilityZone': ebs?.AvailabilityZone,
      'BlockDeviceMapping.Ebs.EbsCardIndex': (ebs?.EbsCardIndex ?? 0) !== 0,
      'BlockDeviceMapping.Ebs.VolumeInitializationRate': !forLaunch && ebs?.VolumeInitializationRate,
    })
    return {
      deviceName: mapping.DeviceName,
      // EC2 takes any value of NoDevice, the empty one too, for "leave it out".
      noDevice: mapping.NoDevice !== undefined,
      virtualName: mapping.VirtualName,
      ebs: ebs && {
        snapshotId: ebs.SnapshotId === undefined ? undefined : readId('snapshot', ebs.SnapshotId),
        sizeGib: ebs.VolumeSize,
        volumeType: ebs.VolumeType,
        iops: ebs.Iops,
        throughput: ebs.Throughput,
        initializationRate: ebs.VolumeInitializationRate,
        deleteOnTermination: ebs.DeleteOnTermination,
        encrypted: ebs.Encrypted,
        kmsKeyId: ebs.KmsKeyId || undefined,
      },
    }
  })
}
