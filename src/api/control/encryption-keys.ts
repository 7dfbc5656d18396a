/** Control requests about named encryption keys, of all accounts. Nothing of a key's material is ever told. */
import type { Cloud } from '../../cloud/cloud.ts'
import type { KeyView } from '../../cloud/encryption/named-keys.ts'
import { KilnError } from '../../lib/errors.ts'
import { regionNames } from '../../lib/regions.ts'
import type { ControlRequest } from '../http/exchange.ts'
import type { Route } from './stores.ts'

const key = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'
const pathOf = (below: string) => new RegExp(`^/_kiln/encryption-keys${below}$`)

export function encryptionKeyRoutes({
  encryptionKeys: keys,
  enter,
}: Pick<Cloud, 'encryptionKeys' | 'enter'>): [method: string, path: RegExp, route: Route][] {
  return [
    ['GET', pathOf(''), async () => (await keys.list()).map(told)],
    [
      'POST',
      pathOf(''),
      async (request) => {
        const wish = wishesOf(request)
        const scope = { accountId: wish.get('account') ?? '', region: wish.get('region') ?? '' }
        if (!/^\d{12}$/.test(scope.accountId)) {
          throw new KilnError('InvalidParameterValue', `The account '${scope.accountId}' is not a number of 12 digits`)
        }
        if (!Object.hasOwn(regionNames, scope.region))
          throw new KilnError('InvalidRegion', `There is no region '${scope.region}'`)
        await enter(scope)
        const [description, alias] = [wish.get('description') ?? '', wish.get('alias')]
        return told(await keys.create(scope, { description, alias }))
      },
    ],
    ['POST', pathOf(`/${key}/rotate`), async (_, [, id]) => told(await keys.rotate(id!))],
    ['POST', pathOf(`/${key}/enable`), async (_, [, id]) => told(await keys.setState(id!, 'enabled'))],
    ['POST', pathOf(`/${key}/disable`), async (_, [, id]) => told(await keys.setState(id!, 'disabled'))],
    [
      'POST',
      pathOf(`/${key}/alias`),
      async (request, [, id]) => told(await keys.addAlias(id!, wishesOf(request).get('name') ?? '')),
    ],
    [
      'POST',
      pathOf(`/${key}/grant`),
      async (request, [, id]) => told(await keys.share(id!, wishesOf(request).get('account') ?? '', true)),
    ],
    [
      'POST',
      pathOf(`/${key}/revoke`),
      async (request, [, id]) => told(await keys.share(id!, wishesOf(request).get('account') ?? '', false)),
    ],
  ]
}

const wishesOf = ({ query }: ControlRequest) => new URLSearchParams(query)

function told({ id, arn, accountId, region, description, state, isManaged, ...view }: KeyView) {
  const { currentVersion: version, createdAt, rotatedAt, aliases, grantees } = view
  const about = { id, arn, accountId, region, description, state, isManaged: isManaged === 1 }
  return { ...about, version, createdAt, rotatedAt, aliases, grantees }
}
