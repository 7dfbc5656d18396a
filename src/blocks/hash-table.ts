/**
 * Names of objects by the million, each with a small number. A name takes 37 bytes here and some 8 in the index, where a
 * Map of texts takes about 200: the two million blocks of a tebibyte take 100 MB, and half as much again while it grows.
 */
import type { Hash } from './store.ts'

const hashBytes = 32
const firstCapacity = 1024
/** In the index: no name has come to this slot. */
const free = 0

export class HashTable {
  /** Names made so far, deleted ones included, one behind the other. */
  #names = Buffer.allocUnsafeSlow(firstCapacity * hashBytes)
  #values = new Uint32Array(firstCapacity)
  #gone = new Uint8Array(firstCapacity)
  #count = 0
  #size = 0
  /** Open addressing at half load at most: entry number + 1, or {@link free}. */
  #index = new Uint32Array(firstCapacity * 2)
  readonly #key = Buffer.alloc(hashBytes)

  get size(): number {
    return this.#size
  }

  has(hash: Hash): boolean {
    return this.get(hash) !== undefined
  }

  get(hash: Hash): number | undefined {
    const entry = this.#index[this.#slotOf(hash)]!
    return entry === free || this.#gone[entry - 1] ? undefined : this.#values[entry - 1]
  }

  set(hash: Hash, value: number): void {
    if (this.#count === this.#values.length) this.#grow()
    const slot = this.#slotOf(hash)
    let entry = this.#index[slot]!
    if (entry === free) {
      this.#key.copy(this.#names, this.#count * hashBytes)
      this.#gone[this.#count] = 1
      entry = ++this.#count
      this.#index[slot] = entry
    }
    if (this.#gone[entry - 1]) this.#size++
    this.#gone[entry - 1] = 0
    this.#values[entry - 1] = value
  }

  /** For use as a set. False when it was there already. */
  add(hash: Hash): boolean {
    if (this.has(hash)) return false
    this.set(hash, 1)
    return true
  }

  delete(hash: Hash): boolean {
    const entry = this.#index[this.#slotOf(hash)]!
    if (entry === free || this.#gone[entry - 1]) return false
    this.#gone[entry - 1] = 1
    this.#size--
    return true
  }

  /** In the order in which they came. What is deleted meanwhile does not come any more. */
  *keys(): Generator<Hash> {
    for (let i = 0; i < this.#count; i++) if (!this.#gone[i]) yield this.#nameAt(i)
  }

  *entries(): Generator<[Hash, number]> {
    for (let i = 0; i < this.#count; i++) if (!this.#gone[i]) yield [this.#nameAt(i), this.#values[i]!]
  }

  #nameAt(i: number): Hash {
    return this.#names.toString('hex', i * hashBytes, (i + 1) * hashBytes)
  }

  /** Where the name stands in the index, or would; leaves it in `#key`. */
  #slotOf(hash: Hash): number {
    if (this.#key.write(hash, 'hex') !== hashBytes) throw new RangeError(`"${hash}" is not an object's name`)
    return this.#find(this.#key, 0)
  }

  #find(bytes: Buffer, at: number): number {
    const mask = this.#index.length - 1
    // Not the first bytes: the names of one pass may all begin alike.
    let slot = bytes.readUInt32LE(at + hashBytes - 4) & mask
    for (;;) {
      const entry = this.#index[slot]!
      if (entry === free) return slot
      const from = (entry - 1) * hashBytes
      if (this.#names.compare(bytes, at, at + hashBytes, from, from + hashBytes) === 0) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const capacity = this.#values.length * 2
    const names = Buffer.allocUnsafeSlow(capacity * hashBytes)
    this.#names.copy(names)
    const [values, gone] = [new Uint32Array(capacity), new Uint8Array(capacity)]
    values.set(this.#values)
    gone.set(this.#gone)
    this.#names = names
    this.#values = values
    this.#gone = gone
    this.#index = new Uint32Array(capacity * 2)
    for (let i = 0; i < this.#count; i++) this.#index[this.#find(names, i * hashBytes)] = i + 1
  }
}
