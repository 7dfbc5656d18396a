/** Control requests about costs. Bad questions are refused by name. */
import type { Cloud } from '../../cloud/cloud.ts'
import { reportTexts } from '../../cloud/metering/cost-texts.ts'
import type { CostReport } from '../../cloud/metering/costs.ts'
import { utcText } from '../../lib/utc-times.ts'
import { type CostQuestion, costQuestionOf, wrong } from './cost-questions.ts'
import type { ControlJobs } from './jobs.ts'
import type { Route } from './stores.ts'

type CostRoutes = [method: string, path: RegExp, route: Route][]

export function costRoutes({ costs, imageCosts, instanceComparisons }: Cloud, jobs: ControlJobs): CostRoutes {
  return [
    [
      'POST',
      /^\/_kiln\/costs$/,
      async ({ body }) => {
        const question = costQuestionOf(body, costs.nowS())
        const report = await costs.report(question.query)
        const about = { ...headOf(question), ...reportTexts(report) }
        return question.withResources ? { ...about, resources: await resourcesOf(costs, report, question) } : about
      },
    ],
    [
      'POST',
      /^\/_kiln\/costs\/forecast$/,
      async ({ body }) => {
        const question = costQuestionOf(body, costs.nowS())
        const { soFar, atEnd } = await costs.forecast(question.query)
        return { ...headOf(question), soFar: reportTexts(soFar), atEnd: reportTexts(atEnd) }
      },
    ],
    [
      'POST',
      /^\/_kiln\/images\/(ami-[0-9a-f]{17})\/price$/,
      async ({ query }, [, id]) => {
        const region = new URLSearchParams(query).get('region') ?? ''
        return jobs.start((progress) => imageCosts.ofImage(region, id!, progress))
      },
    ],
    [
      'GET',
      /^\/_kiln\/instances\/(i-[0-9a-f]{17})\/comparison$/,
      ({ query }, [, id]) => instanceComparisons.of(id!, hoursOf(query)),
    ],
  ]

  function headOf({ query: { fromS, toS, granularity, groupBy } }: CostQuestion) {
    const { currency, asOf: pricesAsOf, source: pricesSource } = costs.sheet.head
    return { from: utcText(fromS), to: utcText(toS), granularity, groupBy, currency, pricesAsOf, pricesSource }
  }
}

function hoursOf(query: string): string | null {
  const hours = new URLSearchParams(query).get('hours-per-day')
  if (hours === null || (/^\d{1,2}(\.\d{1,18})?$/.test(hours) && Number(hours) <= 24)) return hours
  throw wrong('hours-per-day', 'is a decimal number from 0 to 24')
}

async function resourcesOf(costs: Cloud['costs'], { groups }: CostReport, { query }: CostQuestion) {
  const at = query.groupBy.indexOf('resource')
  const ids = new Set(groups.flatMap(({ keys }) => keys[at] ?? []))
  const found = await costs.resources([...ids])
  return Object.fromEntries([...found].map(([id, { kind, imageId, tags }]) => [id, { kind, imageId, tags }]))
}
