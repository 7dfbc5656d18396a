/** Snapshots that are kept ready for new volumes. */
import type {
  DescribeFastSnapshotRestoreSuccessItem,
  EnableFastSnapshotRestoreErrorItem,
  EnableFastSnapshotRestoresRequest,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { FastRestoreOutcome, FastRestoreRequest } from '../../../cloud/snapshots/fast-restores.ts'
import { KilnError } from '../../../lib/errors.ts'
import { zoneIdOf, zonesOf } from '../../../lib/regions.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { missing, notTogether } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2Time } from '../shared/views.ts'

type Restore = Extract<FastRestoreOutcome, { restore: unknown }>['restore']

export const fastSnapshotRestoreHandlers = {
  async EnableFastSnapshotRestores(input, context) {
    return ec2Outcomes(await context.cloud.fastRestores.enable(scopeOf(context), readRequest(input, context.region)))
  },

  async DisableFastSnapshotRestores(input, context) {
    return ec2Outcomes(await context.cloud.fastRestores.disable(scopeOf(context), readRequest(input, context.region)))
  },

  async DescribeFastSnapshotRestores(input, context) {
    const page = await context.cloud.fastRestores.list(scopeOf(context), {
      filters: readFilters(input.Filters),
      page: readPage('DescribeFastSnapshotRestores', input, context, { min: 1, max: 200 }),
    })
    return {
      FastSnapshotRestores: page.items.map(ec2Restore),
      NextToken: nextTokenOf('DescribeFastSnapshotRestores', context, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'fastRestores'>>

function readRequest(input: EnableFastSnapshotRestoresRequest, region: string): FastRestoreRequest {
  const { AvailabilityZones: names, AvailabilityZoneIds: ids } = input
  const snapshotIds = readIds('snapshot', input.SourceSnapshotIds)
  if (!snapshotIds) throw missing('SourceSnapshotId')
  if (names?.length && ids?.length) throw notTogether('AvailabilityZone', 'AvailabilityZoneId')
  if (!names?.length && !ids?.length) throw missing('AvailabilityZone')
  return { snapshotIds, zones: names?.length ? names : ids!.map((id) => zoneWithId(id, region)) }
}

function zoneWithId(id: string, region: string): string {
  const zone = zonesOf(region).find((name) => zoneIdOf(name) === id)
  if (zone) return zone
  throw new KilnError('InvalidParameterValue', `The zone ID '${id}' does not exist (AvailabilityZoneId)`)
}

function ec2Outcomes(outcomes: readonly FastRestoreOutcome[]) {
  const refused = new Map<string, EnableFastSnapshotRestoreErrorItem>()
  for (const outcome of outcomes) {
    if ('restore' in outcome) continue
    const { snapshotId, zone, refusal } = outcome
    const item = refused.get(snapshotId) ?? { SnapshotId: snapshotId, FastSnapshotRestoreStateErrors: [] }
    item.FastSnapshotRestoreStateErrors!.push({
      AvailabilityZone: zone,
      Error: { Code: refusal.code, Message: refusal.message },
    })
    refused.set(snapshotId, item)
  }
  return {
    Successful: outcomes.flatMap((outcome) => ('restore' in outcome ? [ec2Restore(outcome.restore)] : [])),
    Unsuccessful: [...refused.values()],
  }
}

function ec2Restore(restore: Restore): DescribeFastSnapshotRestoreSuccessItem {
  return {
    SnapshotId: restore.snapshotId,
    AvailabilityZone: restore.zone,
    AvailabilityZoneId: zoneIdOf(restore.zone),
    State: restore.state,
    StateTransitionReason: restore.reason,
    OwnerId: restore.accountId,
    EnablingTime: new Date(restore.enablingAt),
    OptimizingTime: ec2Time(restore.optimizingAt),
    EnabledTime: ec2Time(restore.enabledAt),
    DisablingTime: ec2Time(restore.disablingAt),
    DisabledTime: ec2Time(restore.disabledAt),
  }
}
