/** Filters that look at what follows from a row and stands in none of its columns. */
import { type Expression, sql } from 'kysely'
import { regionNames, zoneIdOf, zonesOf } from '../lib/regions.ts'
import type { Builder, FilterRule } from './filters.ts'

/** `use1-az1`, of the column that holds `us-east-1a`. */
export function zoneId(column: string): FilterRule {
  return {
    text: (eb) =>
      Object.keys(regionNames)
        .flatMap(zonesOf)
        .reduce(
          (cases, zone) => cases.when(column as never, '=', zone as never).then(zoneIdOf(zone)),
          eb
            .case()
            .when(column as never, '=', '' as never)
            .then(''),
        )
        .else('')
        .end(),
  }
}

/** The name that a private address has in its region's domain. */
export function privateName(eb: Builder, privateIp: string, region: string): Expression<unknown> {
  const [ip, place] = [eb.ref(privateIp as never), eb.ref(region as never)]
  return sql`'ip-' || replace(${ip}, '.', '-') || case when ${place} = 'us-east-1' then '.ec2.internal'
    else '.' || ${place} || '.compute.internal' end`
}

/** A flag or a state that is told in words. */
export function eitherText(column: string, value: string | number, then: string, otherwise: string): FilterRule {
  return {
    text: (eb) =>
      eb
        .case()
        .when(column as never, '=', value as never)
        .then(then)
        .else(otherwise)
        .end(),
  }
}
