/**
 * What an instance has cost, and what the other kind would have: one of the instance store runs as long as it exists, an
 * EBS-backed one may be stopped and pays for its volumes meanwhile. Money is told as decimals.
 */
import { KilnError } from '../../lib/errors.ts'
import { utcText } from '../../lib/utc-times.ts'
import { type Exact, exactOf, ratio, reportText, sumOf } from '../../prices/money.ts'
import { rate, totalOf } from '../../prices/rating.ts'
import { type Comparison, compareCosts, type KindCosts } from '../../prices/workload.ts'
import type { Instance } from '../../state/instances.ts'
import type { CloudDeps } from '../deps.ts'
import { type CostQuery, stretchesOf } from './cost-query.ts'
import type { Costs } from './costs.ts'

interface Life {
  fromS: number
  toS: number
  runningS: number
}

/** What a root would lie on that lies in the instance store. */
const otherVolume = 'EBS:VolumeUsage.gp3'
const daySeconds = 86_400n

export class InstanceComparisons {
  readonly #deps: Pick<CloudDeps, 'state'>
  readonly #costs: Costs

  constructor(deps: Pick<CloudDeps, 'state'>, costs: Costs) {
    this.#deps = deps
    this.#costs = costs
  }

  /** `hoursPerDay` is how long one of the instance store had work; all day when null. Of an EBS-backed one it is known. */
  async of(instanceId: string, hoursPerDay: string | null) {
    const instance = await this.#deps.state.instances.get(instanceId)
    if (!instance) {
      throw new KilnError('InvalidInstanceID.NotFound', `The instance ID '${instanceId}' does not exist`)
    }
    const life = await this.#lifeOf(instanceId)
    const isStored = instance.rootDeviceType === 'instance-store'
    const worked = isStored ? exactOf(hoursPerDay ?? '24') : ratio(24n * BigInt(life.runningS), lengthOf(life))
    const costs = isStored ? await this.#ifOnEbs(instance, life, worked) : await this.#ifInStore(instance, life)
    const days = ratio(lengthOf(life), daySeconds)
    const comparison = compareCosts(costs, { hourlyRate: this.#rateOf(instance), hoursPerDay: worked, days })
    return {
      ...{ instanceId, kind: isStored ? 'instanceStore' : 'ebs', volumes: costs.volumes, volumeGb: costs.volumeGb },
      ...{ instanceType: instance.instanceType, region: instance.region, currency: this.#costs.sheet.head.currency },
      ...{ from: utcText(life.fromS), to: utcText(life.toS), days: reportText(days), hoursPerDay: reportText(worked) },
      ...comparisonTexts(comparison),
    }
  }

  async #ifInStore(instance: Instance, life: Life) {
    const { ran, volumes, volumeGb, kept } = await this.#paid(instance, life)
    const allDay = this.#rateOf(instance).mul(ratio(lengthOf(life), 3600n))
    return {
      ...{ volumes, volumeGb },
      instanceStore: kindCosts([{ item: 'instance', cost: allDay }]),
      ebs: kindCosts([
        { item: 'instance', cost: ran },
        { item: 'volume', cost: kept },
      ]),
    }
  }

  async #ifOnEbs(instance: Instance, life: Life, worked: Exact) {
    const { ran } = await this.#paid(instance, life)
    const image = await this.#deps.state.images.get(instance.imageId)
    const gib = BigInt(Math.ceil((image?.rootBytes ?? 0) / 2 ** 30))
    const amounts = stretchesOf([life]).map(({ fromS, toS, month }) => {
      const amount = gib * BigInt(toS - fromS)
      return { usageType: otherVolume, region: instance.region, month, exact: amount, bySecond: amount, byHour: amount }
    })
    const { lines, unpriced } = rate(amounts, this.#costs.sheet)
    if (unpriced.length > 0) throw noPrice(unpriced[0]!.message)
    return {
      ...{ volumes: [], volumeGb: Number(gib) },
      instanceStore: kindCosts([{ item: 'instance', cost: ran }]),
      ebs: kindCosts([
        { item: 'instance', cost: ran.mul(worked).div(24) },
        { item: 'volume', cost: totalOf(lines) },
      ]),
    }
  }

  /** What it has cost to run, and what the volumes that it has now have cost since it is there. */
  async #paid({ id, accountId }: Instance, { fromS, toS }: Life) {
    const volumes = (await this.#deps.state.volumes.attachmentsOfInstances([id])).map(({ volumeId }) => volumeId)
    const query: CostQuery = {
      ...{ fromS, toS, granularity: 'total', groupBy: ['resource'], accountIds: [accountId] },
      filter: { dimension: 'resource', values: [id, ...volumes] },
    }
    const { groups } = await this.#costs.report(query, toS)
    const costOf = (ids: readonly string[]) =>
      sumOf(groups.filter(({ keys }) => ids.includes(keys[0]!)).map(({ cost }) => cost))
    const rows = await this.#deps.state.volumes.many(volumes)
    const volumeGb = rows.reduce((sum, { sizeGib }) => sum + sizeGib, 0)
    return { ran: costOf([id]), kept: costOf(volumes), volumes, volumeGb }
  }

  async #lifeOf(instanceId: string): Promise<Life> {
    const nowS = this.#costs.nowS()
    const life: Life = { fromS: nowS, toS: 0, runningS: 0 }
    const everything = { fromS: 0, toS: nowS + 1, resourceIds: [instanceId] }
    for await (const { usageType, span } of this.#deps.state.usage.records(everything, nowS)) {
      life.fromS = Math.min(life.fromS, span.fromS)
      life.toS = Math.max(life.toS, span.toS)
      if (/^(?:Box|Spot)Usage:/.test(usageType)) life.runningS += span.toS - span.fromS
    }
    if (life.toS > life.fromS) return life
    throw new KilnError('IncorrectInstanceState', `The instance '${instanceId}' has no history yet`)
  }

  #rateOf({ instanceType, region, spotRequestId }: Instance): Exact {
    const usage = spotRequestId === null ? 'BoxUsage' : 'SpotUsage'
    const price = this.#costs.sheet.priceOf(`${usage}:${instanceType}`, region)?.price
    if (price) return price
    throw noPrice(`no price for BoxUsage:${instanceType} in ${region}`)
  }
}

const lengthOf = ({ fromS, toS }: Life): bigint => BigInt(toS - fromS)

const noPrice = (message: string) =>
  new KilnError('UnsupportedOperation', `${message}: give a price sheet that has one (kiln serve --prices)`)

const kindCosts = (lines: KindCosts['lines']): KindCosts => ({ lines, total: sumOf(lines.map(({ cost }) => cost)) })

function comparisonTexts({ instanceStore, ebs, cheaper, saved, breakEvenHoursPerDay: hours }: Comparison) {
  const texts = ({ lines, total }: KindCosts) => ({
    lines: lines.map(({ item, cost }) => ({ item, cost: reportText(cost) })),
    total: reportText(total),
  })
  const breakEvenHoursPerDay = hours && reportText(hours)
  return {
    instanceStore: texts(instanceStore),
    ebs: texts(ebs),
    cheaper,
    saved: reportText(saved),
    breakEvenHoursPerDay,
  }
}
