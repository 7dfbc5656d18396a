import type { VolumeStatusItem } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { VolumeStatus } from '../../../cloud/volumes/volume-status.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { filtered, type ListedRules } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const volumeStatusHandlers: Ec2Handlers<Cloud> = {
  async DescribeVolumeStatus(input, context) {
    const ids = readIds('volume', input.VolumeIds)
    refuseGiven({ IncludeManagedResources: input.IncludeManagedResources })
    const filters = readFilters(input.Filters)
    const place = filters.filter(({ name }) => name === 'availability-zone')
    const page = await context.cloud.volumeStatuses.list(scopeOf(context), {
      ids,
      filters: place,
      page: readPage('DescribeVolumeStatus', input, context, { ids: { parameter: 'VolumeIds', given: ids } }),
    })
    // What a guest can do with its volume is known to its machine, not to the state: these filters are for one page.
    const rest = filters.filter((filter) => !place.includes(filter))
    return {
      VolumeStatuses: filtered(page.items.map(ec2VolumeStatus), statusFilters, rest),
      NextToken: nextTokenOf('DescribeVolumeStatus', context, page.next),
    }
  },

  async EnableVolumeIO(input, context) {
    await context.cloud.volumeStatuses.enableIo(scopeOf(context), readId('volume', input.VolumeId!))
    return {}
  },

  async DescribeVolumeAttribute(input, context) {
    const id = readId('volume', input.VolumeId!)
    const volume = await context.cloud.volumes.get(scopeOf(context), id)
    if (input.Attribute === 'autoEnableIO') return { VolumeId: id, AutoEnableIO: { Value: volume.autoEnableIo === 1 } }
    if (input.Attribute === 'productCodes') return { VolumeId: id, ProductCodes: [] }
    throw new KilnError('InvalidParameterValue', `Value (${input.Attribute}) for parameter attribute is invalid.`)
  },

  async ModifyVolumeAttribute(input, context) {
    const id = readId('volume', input.VolumeId!)
    const value = input.AutoEnableIO?.Value
    if (value === undefined) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter AutoEnableIO.Value')
    }
    await context.cloud.volumeStatuses.setAutoEnableIo(scopeOf(context), id, value)
    return {}
  },
}

const statusFilters: ListedRules<VolumeStatusItem> = {
  'action.code': (item) => item.Actions?.map((action) => action.Code),
  'action.description': (item) => item.Actions?.map((action) => action.Description),
  'action.event-id': (item) => item.Actions?.map((action) => action.EventId),
  'attachment-status.instance-id': (item) => item.AttachmentStatuses?.map((attachment) => attachment.InstanceId),
  'attachment-status.io-performance': (item) => item.AttachmentStatuses?.map((attachment) => attachment.IoPerformance),
  'event.description': (item) => item.Events?.map((event) => event.Description),
  'event.event-id': (item) => item.Events?.map((event) => event.EventId),
  'event.event-type': (item) => item.Events?.map((event) => event.EventType),
  // Events begin when a guest is halted and end when it goes on: neither is known before.
  'event.not-after': () => [],
  'event.not-before': () => [],
  'volume-status.details-name': (item) => item.VolumeStatus?.Details?.map((detail) => detail.Name),
  'volume-status.details-status': (item) => item.VolumeStatus?.Details?.map((detail) => detail.Status),
  'volume-status.status': (item) => item.VolumeStatus?.Status,
}

function ec2VolumeStatus({ volume, status, reason, initialization }: VolumeStatus): VolumeStatusItem {
  const eventId = `evol-${volume.id.slice('vol-'.length)}`
  return {
    VolumeId: volume.id,
    AvailabilityZone: volume.zone,
    VolumeStatus: {
      Status: status,
      Details: [
        { Name: 'io-enabled', Status: status === 'impaired' ? 'failed' : 'passed' },
        { Name: 'io-performance', Status: 'not-applicable' },
        ...(initialization
          ? [
              {
                Name: 'initialization-state' as const,
                Status: initialization.percent < 100 ? 'initializing' : 'completed',
              },
            ]
          : []),
      ],
    },
    InitializationStatusDetails: initialization
      ? {
          InitializationType: initialization.method,
          Progress: initialization.percent,
          EstimatedTimeToCompleteInSeconds: initialization.remainingSeconds ?? undefined,
        }
      : undefined,
    Events:
      reason === null ? [] : [{ EventId: eventId, EventType: 'potential-data-inconsistency', Description: reason }],
    Actions:
      reason === null
        ? []
        : [
            {
              Code: 'enable-volume-io',
              Description: 'Enable volume I/O',
              EventId: eventId,
              EventType: 'potential-data-inconsistency',
            },
          ],
    AttachmentStatuses: volume.attachments.map(({ instanceId }) => ({
      InstanceId: instanceId,
      IoPerformance: 'not-applicable',
    })),
  }
}
