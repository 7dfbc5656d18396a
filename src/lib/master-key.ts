/**
 * The master key: a file of this host that nothing else holds. Named encryption keys are sealed under it, so whoever has
 * the state, the disks or the block stores without this file reads nothing of what is encrypted.
 *
 * The file is two lines of text: `kiln master key 1`, and the key in 64 hexadecimal digits.
 */
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Random } from './random.ts'
import { keyBytes, seal, subKey, unseal } from './sealing.ts'
import { flush } from './stable-storage.ts'

const firstLine = 'kiln master key 1'
const shape = /^kiln master key 1\n([0-9a-f]{64})\n?$/
const othersMayAccess = 0o077

export class MasterKey {
  readonly path: string
  /** Tells one master key from another, and nothing about it. */
  readonly id: string
  readonly #key: Buffer

  /** Use {@link readMasterKey}. */
  constructor(path: string, key: Buffer) {
    this.path = path
    this.#key = key
    this.id = subKey(key, 'master key id').toString('hex', 0, 8)
  }

  seal(secret: Buffer, about: string): Buffer {
    return seal(this.#key, secret, about)
  }

  /** Throws WrongKey. */
  unseal(sealed: Buffer, about: string): Buffer {
    return unseal(this.#key, sealed, about)
  }
}

/** Throws when the file is missing, holds no master key, or may be read by others. */
export async function readMasterKey(path: string): Promise<MasterKey> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new Error(`the master key ${path} is missing`, { cause: error })
    throw new Error(`the master key ${path} cannot be read: ${error.message}`, { cause: error })
  })
  const digits = shape.exec(text)?.[1]
  if (!digits) throw new Error(`${path} holds no master key`)
  if ((await stat(path)).mode & othersMayAccess) {
    throw new Error(`the master key ${path} may be read by others: take that away with 'chmod 600 ${path}'`)
  }
  return new MasterKey(path, Buffer.from(digits, 'hex'))
}

/** Makes the file, durably, unless there is one; never replaces any. The folder above it is made when it is missing. */
export async function makeMasterKey(path: string, random: Random): Promise<MasterKey> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.new`
  await rm(draft, { force: true })
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${firstLine}\n${random.bytes(keyBytes).toString('hex')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  // A link, which unlike a rename does not take the place of a file that came meanwhile.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft)
  await flush(dirname(path))
  return await readMasterKey(path)
}
