/** Control requests about what lies in the block stores: collecting, checking, measuring. All but comparing take their time. */
import type { Cloud } from '../../cloud/cloud.ts'
import { defaultGraceMs } from '../../cloud/snapshots/collection.ts'
import { KilnError } from '../../lib/errors.ts'
import type { ControlRequest } from '../http/exchange.ts'
import type { ControlJobs } from './jobs.ts'

export type Route = (request: ControlRequest, match: RegExpExecArray) => Promise<unknown>

export function storeRoutes(cloud: Cloud, jobs: ControlJobs): [method: string, path: RegExp, route: Route][] {
  return [
    [
      'POST',
      /^\/_kiln\/stores\/collect$/,
      async (request) => {
        const [region, graceMs] = [wishOf(request, 'region'), graceOf(request)]
        await cloud.collection.regions(region)
        return jobs.start((progress) => cloud.collection.collect({ region, graceMs }, progress))
      },
    ],
    [
      'POST',
      /^\/_kiln\/stores\/check$/,
      async (request) => {
        const [region, repair] = [wishOf(request, 'region'), wishOf(request, 'repair') === 'yes']
        await cloud.collection.regions(region)
        return jobs.start((progress) => cloud.storeCheck.check({ region, repair }, progress))
      },
    ],
    [
      'POST',
      /^\/_kiln\/images\/(ami-[0-9a-f]{17})\/cost$/,
      async (request, [, id]) => {
        const region = required(request, 'region')
        return jobs.start((progress) => cloud.snapshotCosts.ofImage(region, id!, progress))
      },
    ],
    [
      'POST',
      /^\/_kiln\/snapshots\/(snap-[0-9a-f]{17})\/difference$/,
      async (request, [, before]) => {
        const [region, after] = [required(request, 'region'), required(request, 'to')]
        if (wishOf(request, 'files') !== 'yes') {
          return jobs.start(() => cloud.snapshotCosts.difference(region, before!, after))
        }
        return jobs.start((progress) => cloud.snapshotCosts.fileDifference(region, before!, after, progress))
      },
    ],
    [
      'GET',
      /^\/_kiln\/jobs\/(\d{1,15})$/,
      async (_, [, id]) => {
        const job = jobs.get(id!)
        if (!job)
          throw new KilnError('InvalidParameterValue', `There is no job ${id}: it ended with the daemon, or long ago`)
        return job
      },
    ],
    ['DELETE', /^\/_kiln\/jobs\/(\d{1,15})$/, async (_, [, id]) => jobs.stop(id!)],
  ]
}

function wishOf({ query }: ControlRequest, name: string): string | undefined {
  return new URLSearchParams(query).get(name) || undefined
}

function required(request: ControlRequest, name: string): string {
  const value = wishOf(request, name)
  if (value === undefined) throw new KilnError('MissingParameter', `The request must contain the parameter ${name}`)
  return value
}

function graceOf(request: ControlRequest): number {
  const seconds = Number(wishOf(request, 'grace') ?? defaultGraceMs / 1000)
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1000
  throw new KilnError('InvalidParameterValue', 'grace is a number of seconds, 0 or more')
}
