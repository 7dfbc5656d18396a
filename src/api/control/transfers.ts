/** Control requests that bring files here and take them away, a piece at a time; and the tasks that come of them. */
import type { Cloud } from '../../cloud/cloud.ts'
import { noWish } from '../../cloud/encryption/encryption.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { regionNames } from '../../lib/regions.ts'
import type { ControlRequest } from '../http/exchange.ts'
import type { Route } from './stores.ts'

const importFormats = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'ova'] as const
type Format = (typeof importFormats)[number]

export function transferRoutes(cloud: Cloud): [method: string, path: RegExp, route: Route][] {
  const { transfers } = cloud
  return [
    ['POST', /^\/_kiln\/uploads$/, (request) => transfers.uploads.begin(countOf(request, 'bytes'))],
    [
      'PUT',
      /^\/_kiln\/uploads\/(upload-[0-9a-f]{24})$/,
      (request, [, id]) => transfers.uploads.write(id!, countOf(request, 'offset'), request.body),
    ],
    ['DELETE', /^\/_kiln\/uploads\/(upload-[0-9a-f]{24})$/, (_, [, id]) => transfers.uploads.discard(id!)],
    [
      'POST',
      /^\/_kiln\/uploads\/(upload-[0-9a-f]{24})\/import$/,
      async (request, [, uploadId]) => {
        const wish = new URLSearchParams(request.query)
        const scope = await scopeOf(cloud, wish)
        const description = wish.get('description')
        const container = { description: null, format: formatOf(wish), deviceName: null, uploadId: uploadId! }
        if (wish.get('as') === 'snapshot') {
          return await transfers.imports.importSnapshot(scope, { container, description, encryption: noWish, tags: [] })
        }
        return await transfers.imports.importImage(scope, {
          ...{ containers: [container], description, encryption: noWish, tags: [] },
          name: wish.get('name'),
          licenseType: null,
          bootMode: null,
        })
      },
    ],
    [
      'POST',
      /^\/_kiln\/images\/(ami-[0-9a-f]{17})\/export$/,
      async (request, [, imageId]) => {
        const wish = new URLSearchParams(request.query)
        const scope = await scopeOf(cloud, wish)
        const about = { imageId: imageId!, format: formatOf(wish) ?? 'vmdk', description: null, target: null, tags: [] }
        return await transfers.exports.exportImage(scope, about)
      },
    ],
    ['GET', taskPath(''), (_, [, id]) => transfers.tasks.get(id!)],
    [
      'DELETE',
      taskPath(''),
      async (_, [, id]) => {
        const task = await transfers.tasks.get(id!)
        return await transfers.tasks.cancel(task, [task.kind], id!, null)
      },
    ],
    [
      'GET',
      taskPath('/file'),
      async (request, [, id]) => {
        const { piece } = await transfers.exports.read(id!, countOf(request, 'offset'), limits.transferPieceBytes)
        return piece
      },
    ],
    ['DELETE', taskPath('/file'), (_, [, id]) => transfers.exports.release(id!)],
  ]
}

const taskPath = (rest: string) =>
  new RegExp(`^/_kiln/transfers/((?:import-ami|import-snap|export-ami)-[0-9a-f]{17})${rest}$`)

async function scopeOf(cloud: Cloud, wish: URLSearchParams): Promise<{ accountId: string; region: string }> {
  const [accountId, region] = [wish.get('account') ?? '', wish.get('region') ?? '']
  if (!/^\d{12}$/.test(accountId)) throw new KilnError('InvalidParameterValue', 'account is 12 digits')
  if (!Object.hasOwn(regionNames, region)) throw new KilnError('InvalidRegion', `There is no region '${region}'`)
  const scope = { accountId, region }
  await cloud.enter(scope)
  return scope
}

function formatOf(wish: URLSearchParams): Format | null {
  const format = wish.get('format')
  if (!format) return null
  if ((importFormats as readonly string[]).includes(format)) return format as Format
  throw new KilnError('InvalidParameterValue', `format is one of ${importFormats.join(', ')}`)
}

function countOf({ query }: ControlRequest, name: string): number {
  const text = new URLSearchParams(query).get(name) ?? ''
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new KilnError('InvalidParameterValue', `${name} is a number of bytes`)
}
