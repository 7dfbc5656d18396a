/** Control requests about the images of publishers: one that was sent here becomes theirs, and which there are. */
import type { Cloud } from '../../cloud/cloud.ts'
import { noWish } from '../../cloud/encryption/encryption.ts'
import { KilnError } from '../../lib/errors.ts'
import { regionNames } from '../../lib/regions.ts'
import type { Route } from './stores.ts'

export function publicImageRoutes(cloud: Cloud): [method: string, path: RegExp, route: Route][] {
  return [
    [
      'GET',
      /^\/_kiln\/pulled-images$/,
      async ({ query }) => {
        // A region that is asked for has what others have as soon as it is open.
        const wish = new Wish(query)
        if (wish.has('region')) await cloud.regions.open(regionIn(wish))
        return { images: await cloud.regions.pulled.list() }
      },
    ],
    [
      'POST',
      /^\/_kiln\/uploads\/(upload-[0-9a-f]{24})\/publish$/,
      async ({ query }, [, uploadId]) => {
        const wish = new Wish(query)
        const scope = { accountId: wish.value('account', /^\d{12}$/), region: regionIn(wish) }
        const deviceName = wish.value('device', /^\/dev\/[a-z0-9]+$/)
        const publication = {
          ownerAlias: wish.has('alias') ? wish.value('alias', /^amazon$/) : null,
          isPartitioned: wish.value('partitioned', /^(yes|no)$/) === 'yes',
          pulled: {
            catalogueName: wish.value('catalogue', /^[a-z0-9.-]{1,64}$/),
            version: wish.value('version', /^[\w.-]{1,64}$/),
            sourceUrl: wish.value('url', /^https?:\/\/\S{1,2000}$/),
            checksum: wish.value('checksum', /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/),
            verifiedBy: wish.value('verified', /^(signature|checksum)$/) as 'signature' | 'checksum',
          },
        }
        const name = wish.value('name', /^.+$/)
        const description = wish.value('description', /^.+$/)
        await cloud.regions.open(scope.region)
        return await cloud.transfers.imports.importImage(scope, {
          ...{ name, description, licenseType: null, bootMode: null, encryption: noWish, tags: [], publication },
          containers: [{ description: null, format: null, deviceName, uploadId: uploadId! }],
        })
      },
    ],
  ]
}

function regionIn(wish: Wish): string {
  const region = wish.value('region', /^[a-z0-9-]{1,32}$/)
  if (Object.hasOwn(regionNames, region)) return region
  throw new KilnError('InvalidRegion', `There is no region '${region}'`)
}

/** What the query says, each value once and of a shape. */
class Wish {
  readonly #query: URLSearchParams

  constructor(query: string) {
    this.#query = new URLSearchParams(query)
  }

  has(name: string): boolean {
    return this.#query.has(name)
  }

  value(name: string, shape: RegExp): string {
    const text = this.#query.get(name) ?? ''
    if (shape.test(text)) return text
    throw new KilnError('InvalidParameterValue', `${name} is missing or malformed: '${text.slice(0, 100)}'`)
  }
}
