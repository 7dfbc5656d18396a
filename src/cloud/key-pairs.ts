/** Key pairs. Kiln keeps the public half only: the private half of a new one is in the answer, and nowhere else. */
import { KilnError } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { KeyPair } from '../state/key-pairs.ts'
import type { ListRequest } from '../state/listing.ts'
import type { Tag } from '../state/tags.ts'
import type { CloudDeps, Scope } from './deps.ts'
import { generateKey, type KeyType, type PublicKey, readPublicKey } from './key-material.ts'

export type { KeyPair } from '../state/key-pairs.ts'

const nameLengthMax = 255

export type KeyPairRef = { id: string } | { name: string }

export class KeyPairs {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** A new key pair, and its private key, which cannot be had again. Throws InvalidKeyPair.Duplicate. */
  async create(
    scope: Scope,
    request: { name: string; type: KeyType; tags: readonly Tag[] },
  ): Promise<{ keyPair: KeyPair; privateKey: string }> {
    const { name, type, tags } = request
    checkName(name)
    if (await this.#deps.state.keyPairs.named(scope.accountId, scope.region, name)) throw duplicate()
    const { privateKey, ...publicKey } = await generateKey(type)
    return { keyPair: await this.#insert(scope, { name, publicKey, tags }), privateKey }
  }

  /** Throws InvalidKeyPair.Duplicate, InvalidKey.Format. */
  async import(scope: Scope, request: { name: string; material: Uint8Array; tags: readonly Tag[] }): Promise<KeyPair> {
    const { name, material, tags } = request
    checkName(name)
    return this.#insert(scope, { name, publicKey: readPublicKey(material), tags })
  }

  #insert(scope: Scope, { name, publicKey, tags }: { name: string; publicKey: PublicKey; tags: readonly Tag[] }) {
    const { state, locks, random, clock } = this.#deps
    const row: KeyPair = {
      ...scope,
      id: newId('keyPair', random),
      name,
      type: publicKey.type,
      fingerprint: publicKey.fingerprint,
      publicKey: `${publicKey.openssh} ${name}`,
      createdAt: clock.now(),
    }
    return locks.hold(`key-pair:${scope.accountId}:${scope.region}:${name}`, () =>
      state.transaction(async (tx) => {
        if (await tx.keyPairs.named(scope.accountId, scope.region, name)) throw duplicate()
        await tx.keyPairs.insert(row)
        await tx.tags.put({ id: row.id, type: 'key-pair', ...scope }, tags)
        return row
      }),
    )
  }

  /** By names and ids, or all. Throws InvalidKeyPair.NotFound for one that does not exist. */
  async list(
    scope: Scope,
    request: Pick<ListRequest, 'ids' | 'filters'> & { names?: readonly string[] },
  ): Promise<KeyPair[]> {
    const { keyPairs } = this.#deps.state
    const { accountId, region } = scope
    const { ids, names, filters } = request
    if (!ids && !names) return (await keyPairs.list(region, { accountId, filters })).items
    const byId = ids ? (await keyPairs.list(region, { accountId, ids })).items : []
    const byName = names ? (await keyPairs.list(region, { accountId, names })).items : []
    const missing =
      ids?.find((id) => !byId.some((row) => row.id === id)) ??
      names?.find((name) => !byName.some((row) => row.name === name))
    if (missing !== undefined) throw notFound(missing)
    const asked = [...byId, ...byName].map((row) => row.id)
    return (await keyPairs.list(region, { accountId, ids: asked, filters })).items
  }

  /** Deletes it if it is there; EC2 does not mind when it is not. */
  async delete(scope: Scope, ref: KeyPairRef): Promise<KeyPair | undefined> {
    const { accountId, region } = scope
    return this.#deps.state.transaction(async (tx) => {
      const row =
        'name' in ref
          ? await tx.keyPairs.named(accountId, region, ref.name)
          : (await tx.keyPairs.list(region, { accountId, ids: [ref.id] })).items[0]
      if (!row) return undefined
      await tx.tags.removeAll(row.id)
      await tx.keyPairs.remove(row.id)
      return row
    })
  }

  /** One line for authorized_keys. Throws InvalidKeyPair.NotFound. */
  async publicKeyOf(scope: Scope, name: string): Promise<string> {
    const row = await this.#deps.state.keyPairs.named(scope.accountId, scope.region, name)
    if (row) return row.publicKey
    throw notFound(name)
  }
}

/** The name ends a line of authorized_keys: nothing in it may end that line. Source: CreateKeyPair in the EC2 API reference. */
function checkName(name: string): void {
  if (name.length <= nameLengthMax && /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(name)) return
  throw new KilnError(
    'InvalidParameterValue',
    `Invalid value for parameter KeyName. Valid names are 1 to ${nameLengthMax} ASCII characters without spaces at either end.`,
  )
}

const duplicate = () => new KilnError('InvalidKeyPair.Duplicate', 'The keypair already exists')
const notFound = (idOrName: string) =>
  new KilnError('InvalidKeyPair.NotFound', `The key pair '${idOrName}' does not exist`)
