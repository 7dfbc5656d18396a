/** Control requests about budgets. */

import type { Cloud } from '../../cloud/cloud.ts'
import type { BudgetWish } from '../../cloud/metering/budgets.ts'
import { limits } from '../../lib/limits.ts'
import { regionNames } from '../../lib/regions.ts'
import type { ControlRequest } from '../http/exchange.ts'
import { jsonOf, listAt, objectAt, textAt, wrong } from './cost-questions.ts'
import type { Route } from './stores.ts'

const members = ['name', 'amount', 'account', 'region', 'tag', 'thresholds']

export function budgetRoutes({ budgets }: Cloud): [method: string, path: RegExp, route: Route][] {
  const name = /^\/_kiln\/budgets\/([A-Za-z0-9][A-Za-z0-9._-]{0,99})$/
  return [
    ['GET', /^\/_kiln\/budgets$/, () => budgets.list()],
    ['POST', /^\/_kiln\/budgets$/, ({ body }) => budgets.create(wishOf(body))],
    ['GET', name, (_, [, one]) => budgets.get(one!)],
    ['DELETE', name, (_, [, one]) => budgets.remove(one!)],
    [
      'GET',
      /^\/_kiln\/budget-events$/,
      ({ query }) => budgets.events(new URLSearchParams(query).get('budget') ?? undefined),
    ],
  ]
}

function wishOf(body: ControlRequest['body']): BudgetWish {
  const asked = objectAt(jsonOf(body), 'the body', members)
  const accountId = asked.account == null ? null : textAt(asked.account, 'account')
  if (accountId !== null && !/^\d{12}$/.test(accountId)) throw wrong('account', 'is not an account of 12 digits')
  const region = asked.region == null ? null : textAt(asked.region, 'region')
  if (region !== null && !Object.hasOwn(regionNames, region)) throw wrong('region', `'${region}' is none of EC2's`)
  return {
    ...{ accountId, region, tag: asked.tag == null ? null : tagAt(asked.tag) },
    ...{ name: textAt(asked.name, 'name'), amount: textAt(asked.amount, 'amount') },
    thresholds: listAt(asked.thresholds, 'thresholds', limits.thresholdsPerBudget).map((one, index) =>
      thresholdAt(one, `thresholds[${index}]`),
    ),
  }
}

function tagAt(value: unknown): BudgetWish['tag'] {
  const tag = objectAt(value, 'tag', ['key', 'value'])
  const key = textAt(tag.key, 'tag.key')
  if (key === '') throw wrong('tag.key', 'is empty')
  return { key, value: textAt(tag.value, 'tag.value') }
}

function thresholdAt(value: unknown, path: string): BudgetWish['thresholds'][number] {
  const { percent, basis } = objectAt(value, path, ['percent', 'basis'])
  if (typeof percent !== 'number') throw wrong(`${path}.percent`, 'is not a number')
  if (basis !== 'actual' && basis !== 'forecast') throw wrong(`${path}.basis`, 'is one of actual, forecast')
  return { percent, basis }
}
