/** Access keys for `--auth verify`. */
import { KilnError } from '../lib/errors.ts'
import type { CloudDeps } from './deps.ts'

export interface AccessKey {
  id: string
  accountId: string
  description: string
  createdAt: number
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

export class AccessKeys {
  readonly #deps: Pick<CloudDeps, 'state' | 'clock' | 'random'>

  constructor(deps: Pick<CloudDeps, 'state' | 'clock' | 'random'>) {
    this.#deps = deps
  }

  /** The secret is shown this once. */
  async create(accountId: string, description: string): Promise<AccessKey & { secret: string }> {
    if (!/^\d{12}$/.test(accountId)) {
      throw new KilnError('InvalidParameterValue', `The account '${accountId}' is not a number of 12 digits`)
    }
    if (description.length > 256) {
      throw new KilnError('InvalidParameterValue', 'The description is longer than 256 characters')
    }
    const { state, clock, random } = this.#deps
    const letters = [...random.bytes(16)].map((byte) => base32[byte % base32.length]).join('')
    const secret = random.bytes(30).toString('base64')
    const row = { id: `AKIA${letters}`, accountId, description, createdAt: clock.now() }
    await state.settings.insertAccessKey({ ...row, secret })
    return { ...row, secret }
  }

  async list(): Promise<AccessKey[]> {
    return (await this.#deps.state.settings.accessKeys()).map(({ secret: _, ...key }) => key)
  }

  async remove(id: string): Promise<void> {
    if (await this.#deps.state.settings.deleteAccessKey(id)) return
    throw new KilnError('InvalidParameterValue', `There is no access key '${id}'`)
  }
}
