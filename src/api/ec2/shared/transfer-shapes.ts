/** Tasks of imports and exports as EC2 tells them. */
import type {
  BootModeValues,
  DiskImageFormat,
  ExportImageTask,
  ImportImageTask,
  ImportSnapshotTask,
  SnapshotDetail,
  SnapshotTaskDetail,
  UserBucketDetails,
} from '@aws-sdk/client-ec2'
import type { Tag } from '../../../cloud/tags.ts'
import type { TransferView } from '../../../cloud/transfers/transfer-tasks.ts'
import { ec2Tags } from './views.ts'

type Arns = ReadonlyMap<string, string>
type Disk = TransferView['disks'][number]

const percent = (task: TransferView) => (task.status === 'active' ? String(task.progress) : undefined)

/** EC2 shows the bucket where it was given as one, and the URL where that was. */
function placeOf({ url, bucket, objectKey }: Disk): { Url?: string; UserBucket?: UserBucketDetails } {
  if (url !== null) return { Url: url }
  return bucket === null ? {} : { UserBucket: { S3Bucket: bucket, S3Key: objectKey ?? undefined } }
}

function encryptionOf({ dataKeyId }: TransferView, arns: Arns) {
  return { Encrypted: dataKeyId !== null, KmsKeyId: dataKeyId === null ? undefined : arns.get(dataKeyId) }
}

export function ec2ImportSnapshotTask(
  task: TransferView,
  tags: readonly Tag[] | undefined,
  arns: Arns,
): ImportSnapshotTask {
  return {
    ImportTaskId: task.id,
    Description: task.description ?? undefined,
    SnapshotTaskDetail: ec2SnapshotTaskDetail(task, arns),
    Tags: ec2Tags(tags),
  }
}

export function ec2SnapshotTaskDetail(task: TransferView, arns: Arns): SnapshotTaskDetail {
  const disk = task.disks[0]!
  return {
    ...placeOf(disk),
    Description: disk.description ?? undefined,
    DiskImageSize: disk.fileBytes ?? undefined,
    ...encryptionOf(task, arns),
    Format: disk.format?.toUpperCase(),
    Progress: percent(task),
    SnapshotId: task.status === 'completed' ? (disk.snapshotId ?? undefined) : undefined,
    Status: task.status,
    StatusMessage: task.statusMessage ?? undefined,
  }
}

export function ec2ImportImageTask(task: TransferView, tags: readonly Tag[] | undefined, arns: Arns): ImportImageTask {
  return {
    ImportTaskId: task.id,
    Architecture: 'x86_64',
    Description: task.description ?? undefined,
    ...encryptionOf(task, arns),
    ImageId: task.imageId ?? undefined,
    LicenseType: task.licenseType ?? undefined,
    Platform: 'Linux',
    Progress: percent(task),
    SnapshotDetails: task.disks.map((disk) => ec2SnapshotDetail(task, disk)),
    Status: task.status,
    StatusMessage: task.statusMessage ?? undefined,
    Tags: ec2Tags(tags),
    UsageOperation: 'RunInstances',
    BootMode: (task.bootMode ?? undefined) as BootModeValues | undefined,
  }
}

function ec2SnapshotDetail(task: TransferView, disk: Disk): SnapshotDetail {
  const snapshotId = disk.snapshotId ?? disk.sourceSnapshotId
  return {
    ...placeOf(disk),
    Description: disk.description ?? undefined,
    DeviceName: disk.deviceName ?? undefined,
    DiskImageSize: disk.fileBytes ?? undefined,
    Format: disk.format?.toUpperCase(),
    Progress: task.status === 'active' && !snapshotId ? String(disk.progress) : undefined,
    SnapshotId: snapshotId ?? undefined,
    Status: snapshotId ? 'completed' : task.status,
  }
}

/** `DiskImageFormat` is told by the answer to ExportImage alone. */
export function ec2ExportImageTask(
  task: TransferView,
  tags: readonly Tag[] | undefined,
): ExportImageTask & { DiskImageFormat?: DiskImageFormat } {
  return {
    ExportImageTaskId: task.id,
    Description: task.description ?? undefined,
    ImageId: task.imageId ?? undefined,
    Progress: percent(task),
    S3ExportLocation: task.bucket === null ? undefined : { S3Bucket: task.bucket, S3Prefix: task.prefix ?? undefined },
    Status: task.status,
    StatusMessage: task.statusMessage ?? undefined,
    Tags: ec2Tags(tags),
  }
}
