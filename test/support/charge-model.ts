/**
 * What snapshots are to be charged for, told from what was written to them and where they came from alone: every block is
 * a text, every snapshot remembers its whole origin, and nothing is brought up to date but looked up anew each time.
 */

import { blockBytes } from './direct-snapshots.ts'

/** Texts by block index. */
export type Texts = Readonly<Record<number, string>>

export interface ModelSnapshot {
  id: string
  /** Account and region. */
  place: string
  texts: Texts
  /** What it descends from. */
  origin: ModelSnapshot | null
  /** What it was copied from. */
  copiedFrom: ModelSnapshot | null
  /** Snapshots whose key seals other bytes share nothing. */
  key: string
  /** Can be another's parent: neither deleted nor archived. */
  lives: boolean
  isDeleted: boolean
  /** It was archived at some time: all of it is charged. */
  isWhole: boolean
}

export class ChargeModel {
  /** In the order in which they were made. */
  readonly snapshots: ModelSnapshot[] = []

  add(about: Pick<ModelSnapshot, 'id' | 'place' | 'texts'> & Partial<ModelSnapshot>): ModelSnapshot {
    const copied = about.copiedFrom ?? null
    const before = copied && (this.#copiedBefore(about.place, copied) ?? copied)
    const made = {
      ...{ origin: before, copiedFrom: copied, key: about.origin?.key ?? copied?.key ?? 'none' },
      ...{ lives: true, isDeleted: false, isWhole: false },
      ...about,
    }
    this.snapshots.push(made)
    return made
  }

  delete(snapshot: ModelSnapshot): void {
    snapshot.lives = false
    snapshot.isDeleted = true
  }

  archive(snapshot: ModelSnapshot): void {
    snapshot.lives = false
    snapshot.isWhole = true
  }

  /** Bytes by id of all snapshots that are there. */
  charges(): Record<string, number> {
    const there = this.snapshots.filter((snapshot) => !snapshot.isDeleted)
    return Object.fromEntries(there.map((snapshot) => [snapshot.id, this.#bytesOf(snapshot)]))
  }

  #bytesOf(snapshot: ModelSnapshot): number {
    let parent = snapshot.isWhole ? null : snapshot.origin
    const fits = ({ lives, place, key }: ModelSnapshot) => lives && place === snapshot.place && key === snapshot.key
    while (parent && !fits(parent)) {
      parent = parent.place === snapshot.place ? parent.origin : (parent.copiedFrom ?? parent.origin)
    }
    const places = Object.keys(snapshot.texts).map(Number)
    return blockBytes * places.filter((index) => parent?.texts[index] !== snapshot.texts[index]).length
  }

  /** The newest copy there of a snapshot, or of what it descends from. */
  #copiedBefore(place: string, source: ModelSnapshot): ModelSnapshot | null {
    if (source.place === place && source.lives) return source
    const line = new Set<ModelSnapshot>()
    for (let one: ModelSnapshot | null = source; one; one = one.copiedFrom ?? one.origin) line.add(one)
    const copies = this.snapshots.filter((one) => one.lives && one.place === place && one.copiedFrom)
    return copies.findLast((one) => line.has(one.copiedFrom!)) ?? null
  }
}
