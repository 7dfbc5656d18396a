import type { ImageDiskContainer, SnapshotDiskContainer } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { clipped } from '../codec/form.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readEncryption } from '../shared/encryption.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { ec2ImportImageTask, ec2ImportSnapshotTask } from '../shared/transfer-shapes.ts'
import { refuseGiven } from '../shared/unsupported.ts'

type Imports = Cloud['transfers']['imports']
type DiskContainer = Parameters<Imports['importImage']>[1]['containers'][number]

/** EC2's names of the formats, and qcow2 besides, which it does not know. */
const snapshotFormats = ['VHD', 'VMDK', 'RAW', 'VHDX', 'QCOW2']
const imageFormats = ['OVA', ...snapshotFormats]

export const imageImportHandlers: Ec2Handlers<Cloud> = {
  async ImportSnapshot(input, context) {
    const { 'import-snapshot-task': tags } = readTagSpecifications(input.TagSpecifications, ['import-snapshot-task'])
    const container = input.DiskContainer
    if (!container) throw missing('DiskContainer')
    if (!container.Format) throw missing('DiskContainer.Format')
    const task = await context.cloud.transfers.imports.importSnapshot(scopeOf(context), {
      container: readContainer(container, 'DiskContainer', snapshotFormats),
      description: input.Description ?? null,
      encryption: readEncryption(input),
      tags,
      clientToken: readClientToken(input),
    })
    return ec2ImportSnapshotTask(task, tags, await arnsOf(context, [task]))
  },

  async DescribeImportSnapshotTasks(input, context) {
    const ids = readIds('importSnapshotTask', input.ImportTaskIds)
    const page = await context.cloud.transfers.tasks.list(scopeOf(context), 'import-snapshot', {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeImportSnapshotTasks', input, context, {
        min: 1,
        ids: { parameter: 'ImportTaskIds', given: ids },
      }),
    })
    const tags = await tagsOf(context, page.items)
    const arns = await arnsOf(context, page.items)
    return {
      ImportSnapshotTasks: page.items.map((task) => ec2ImportSnapshotTask(task, tags.get(task.id), arns)),
      NextToken: nextTokenOf('DescribeImportSnapshotTasks', context, page.next),
    }
  },

  async ImportImage(input, context) {
    const { 'import-image-task': tags } = readTagSpecifications(input.TagSpecifications, ['import-image-task'])
    refuseGiven({ LicenseSpecifications: input.LicenseSpecifications })
    readMachine(input)
    const containers = input.DiskContainers ?? []
    if (containers.length === 0) throw missing('DiskContainers')
    if (containers.length > limits.disksPerInstance) {
      throw new KilnError('InvalidParameterValue', `DiskContainers has more than ${limits.disksPerInstance} entries`)
    }
    const read = containers.map((each, i) => readContainer(each, `DiskContainer.${i + 1}`, imageFormats))
    if (read.length > 1 && read.some((each) => each.format === 'ova')) {
      throw new KilnError(
        'InvalidParameterCombination',
        'An OVA holds all disks of its machine: it must be the only DiskContainer',
      )
    }
    const task = await context.cloud.transfers.imports.importImage(scopeOf(context), {
      containers: read,
      description: input.Description ?? null,
      encryption: readEncryption(input),
      name: null,
      licenseType: input.LicenseType ?? null,
      bootMode: input.BootMode ?? null,
      tags,
      clientToken: readClientToken(input),
    })
    // The answer has no place for the boot mode; only the list of tasks has.
    const { BootMode: _, ...told } = ec2ImportImageTask(task, tags, await arnsOf(context, [task]))
    return told
  },

  async DescribeImportImageTasks(input, context) {
    const ids = readIds('importImageTask', input.ImportTaskIds)
    const page = await context.cloud.transfers.tasks.list(scopeOf(context), 'import-image', {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeImportImageTasks', input, context, {
        min: 1,
        ids: { parameter: 'ImportTaskIds', given: ids },
      }),
    })
    const tags = await tagsOf(context, page.items)
    const arns = await arnsOf(context, page.items)
    return {
      ImportImageTasks: page.items.map((task) => ec2ImportImageTask(task, tags.get(task.id), arns)),
      NextToken: nextTokenOf('DescribeImportImageTasks', context, page.next),
    }
  },

  async CancelImportTask(input, context) {
    const id = input.ImportTaskId
    if (!id) throw missing('ImportTaskId')
    const isSnapshot = id.startsWith('import-snap-')
    readId(isSnapshot ? 'importSnapshotTask' : 'importImageTask', id)
    const kinds = ['import-image', 'import-snapshot'] as const
    const { before, after } = await context.cloud.transfers.tasks.cancel(
      scopeOf(context),
      kinds,
      id,
      input.CancelReason ?? null,
    )
    return { ImportTaskId: id, PreviousState: before, State: after }
  },
}

function tagsOf(context: RequestContext, tasks: readonly { id: string }[]) {
  return context.cloud.tags.of(
    scopeOf(context),
    tasks.map((task) => task.id),
  )
}

function arnsOf(context: RequestContext, tasks: readonly { dataKeyId: string | null }[]) {
  return context.cloud.encryption.arnsOf(tasks)
}

interface AskedMachine {
  Architecture?: string
  Hypervisor?: string
  Platform?: string
  LicenseType?: string
  UsageOperation?: string
  BootMode?: string
}

/** What EC2 can make of an import and Kiln cannot is refused by name. */
function readMachine(input: AskedMachine): void {
  oneOf('Architecture', input.Architecture, ['x86_64'], ['i386', 'arm64', 'x86_64'])
  oneOf('Hypervisor', input.Hypervisor, ['xen'], ['xen'])
  oneOf('Platform', input.Platform, ['Linux'], ['Linux', 'Windows'])
  oneOf('LicenseType', input.LicenseType, ['BYOL', 'AWS'], ['BYOL', 'AWS'])
  oneOf('BootMode', input.BootMode, ['legacy-bios'], ['legacy-bios', 'uefi'])
  if (input.UsageOperation && input.UsageOperation !== 'RunInstances') {
    throw new KilnError(
      'UnsupportedOperation',
      `UsageOperation '${clipped(input.UsageOperation)}' is not supported: RunInstances is`,
    )
  }
}

function oneOf(
  parameter: string,
  value: string | undefined,
  supported: readonly string[],
  known: readonly string[],
): void {
  if (!value || supported.includes(value)) return
  if (known.includes(value)) {
    throw new KilnError(
      'UnsupportedOperation',
      `${parameter} '${value}' is not supported: ${supported.join(' and ')} is`,
    )
  }
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(value)}) for parameter ${parameter} is invalid. Expected one of: ${known.join(', ')}.`,
  )
}

function readContainer(
  container: SnapshotDiskContainer & ImageDiskContainer,
  parameter: string,
  formats: readonly string[],
): DiskContainer {
  const { Url: url, UserBucket: place, SnapshotId: snapshotId, Format: format, DeviceName: deviceName } = container
  const given = Object.entries({ Url: url, UserBucket: place, SnapshotId: snapshotId }).filter(([, value]) => value)
  if (given.length === 0) throw missing(`${parameter}.UserBucket, Url or SnapshotId`)
  if (given.length > 1) {
    const names = given.map(([name]) => name).join(' and ')
    throw new KilnError('InvalidParameterCombination', `The parameters ${names} of ${parameter} exclude each other`)
  }
  const about = { description: container.Description ?? null, deviceName: deviceName ?? null }
  if (snapshotId) return { ...about, format: null, snapshotId: readId('snapshot', snapshotId) }
  if (!format) throw missing(`${parameter}.Format`)
  const known = { ...about, format: readFormat(format, `${parameter}.Format`, formats) }
  if (url) return { ...known, url }
  if (!place!.S3Bucket || !place!.S3Key)
    throw missing(`${parameter}.UserBucket.${place!.S3Bucket ? 'S3Key' : 'S3Bucket'}`)
  return { ...known, object: { bucket: place!.S3Bucket, key: place!.S3Key } }
}

function readFormat(format: string, parameter: string, formats: readonly string[]): DiskContainer['format'] {
  const upper = format.toUpperCase()
  if (formats.includes(upper)) return upper.toLowerCase() as DiskContainer['format']
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${clipped(format)}) for parameter ${parameter} is invalid. Expected one of: ${formats.join(', ')}.`,
  )
}

const missing = (parameter: string) =>
  new KilnError('MissingParameter', `The request must contain the parameter ${parameter}`)
