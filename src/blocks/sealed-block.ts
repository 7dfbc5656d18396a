/**
 * Blocks that only who has their key can read: `docs/formats/block-store.md`, "Sealed block".
 *
 * The nonce is an HMAC of all that is sealed, under a sub-key of its own. So a block of one lineage is sealed to the same
 * bytes each time, has one name, and is stored once; and no nonce ever serves two contents, also when another version of
 * the packer packs a block differently.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { subKey } from '../lib/sealing.ts'
import { blockBytes, hashOf } from './format.ts'
import { encodeObject, encodeSealed, unpackBlock } from './object-codec.ts'
import { type BlockStore, CorruptObject, type Hash } from './store.ts'

const nonceBytes = 12
const tagBytes = 16
/** Bound to every sealed block: nothing else that the key might ever seal passes for one. */
const about = Buffer.from('kiln sealed block 1')

/** How the blocks of a snapshot are read and written: as they are, or sealed with a key. */
export interface BlockAccess {
  /** Tells what was read with one key from what was read with another, or with none. */
  readonly keyId: string
  /** The block's content. Throws MissingObject; CorruptObject also for a block that is not of this key. The buffer may be shared. */
  read(store: BlockStore, hash: Hash): Promise<Buffer>
  /** Stores a block that is not zeros; its name, and the bytes that the store grew by. */
  write(store: BlockStore, content: Buffer): Promise<{ hash: Hash; storedBytes: number }>
}

/** `sealKey` has 32 bytes; null for blocks that are not sealed. */
export function blockAccess(sealKey: Buffer | null): BlockAccess {
  return sealKey === null ? plainAccess : new SealedAccess(sealKey)
}

const plainAccess: BlockAccess = {
  keyId: '',
  async read(store, hash) {
    const content = await store.read('block', hash)
    // No sealed block has the length of a block.
    if (content.length === blockBytes) return content
    throw new CorruptObject('block', hash, store.where, 'it is sealed, and its snapshot is not encrypted')
  },
  async write(store, content) {
    const hash = hashOf(content)
    return { hash, storedBytes: await store.write('block', hash, content) }
  },
}

class SealedAccess implements BlockAccess {
  readonly keyId: string
  readonly #key: Buffer
  readonly #nonceKey: Buffer

  constructor(sealKey: Buffer) {
    this.keyId = subKey(sealKey, 'block key id').toString('hex', 0, 16)
    this.#key = subKey(sealKey, 'block')
    this.#nonceKey = subKey(sealKey, 'block nonce')
  }

  async read(store: BlockStore, hash: Hash): Promise<Buffer> {
    const sealed = await store.read('block', hash)
    const packed = this.#open(sealed)
    if (!packed) throw new CorruptObject('block', hash, store.where, 'it does not open with the key of its snapshot')
    return await unpackBlock(packed, hash, store.where)
  }

  async write(store: BlockStore, content: Buffer): Promise<{ hash: Hash; storedBytes: number }> {
    const sealed = this.#seal(await encodeObject(content))
    const hash = hashOf(sealed)
    return { hash, storedBytes: await store.writeEncoded('block', hash, encodeSealed(sealed)) }
  }

  #seal(packed: Buffer): Buffer {
    const nonce = createHmac('sha256', this.#nonceKey).update(packed).digest().subarray(0, nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(about)
    const sealed = [cipher.update(packed), cipher.final()]
    return Buffer.concat([nonce, ...sealed, cipher.getAuthTag()])
  }

  /** Undefined for what this key did not seal. */
  #open(sealed: Buffer): Buffer | undefined {
    if (sealed.length === blockBytes || sealed.length <= nonceBytes + tagBytes) return undefined
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, nonceBytes))
    decipher.setAAD(about)
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    const packed = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
    try {
      decipher.final()
      return packed
    } catch {
      return undefined
    }
  }
}
