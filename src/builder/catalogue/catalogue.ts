/**
 * The catalogue of official images (`images.json`): where each publisher lays them, how they are proved, and the account
 * and name under which the same build is registered on EC2. Patterns are regular expressions of whole names.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A key that signs checksums; its file comes with Kiln, or lies at the publisher's and is held to the fingerprint. */
export type PinnedKey = { fingerprint: string } & ({ file: string } | { path: string })

export interface Publisher {
  title: string
  /** On EC2. */
  accountId: string
  ownerAlias: 'amazon' | null
  /** `https://…`, without a path; another one with the same paths may stand in for it. */
  host: string
  /** None where the publisher signs nothing that Kiln could prove: then HTTPS and the checksum must do. */
  keys: readonly PinnedKey[]
}

export interface CatalogueImage {
  name: string
  title: string
  publisher: Publisher
  /** Whom to log in as. */
  login: string
  /** Path on the host, between slashes. */
  folder: string
  /** Folders of builds in it, of which the newest is taken; without it the files lie in the folder itself. */
  build?: string
  /** The file of checksums; `{file}` stands for the image's, which is then looked for in the folder. */
  sums: string
  /** The file with its signature, or `inline` when the checksums carry it themselves. */
  signature?: string
  /** The image's file. Named groups of this pattern and of `build` fill `{…}` in what follows. */
  file: string
  version: string
  imageName: string
  rootDevice: string
  /** False for a file system that begins the disk, with a boot loader of its own. */
  isPartitioned: boolean
}

type Entry = Omit<CatalogueImage, 'publisher' | 'isPartitioned'> & { publisher: string; isPartitioned?: boolean }

/** All images, in the order in which they are listed. */
export function catalogue(): CatalogueImage[] {
  const text = readFileSync(join(import.meta.dirname, 'images.json'), 'utf8')
  const { publishers, images } = JSON.parse(text) as { publishers: Record<string, Publisher>; images: Entry[] }
  return images.map((entry) => ({
    ...entry,
    publisher: publishers[entry.publisher]!,
    isPartitioned: entry.isPartitioned ?? true,
  }))
}

/** The text of a key that comes with Kiln. */
export function bundledKey(file: string): string {
  return readFileSync(join(import.meta.dirname, 'keys', file), 'utf8')
}

/** Fills `{name}` with what a pattern has found. */
export function filled(template: string, found: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = found[name]
    if (value === undefined) throw new Error(`the catalogue asks for {${name}}, which no pattern finds`)
    return value
  })
}

/** The name of the catalogue that is closest to what was typed; undefined when none is close. */
export function closestName(typed: string, names: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '')
  const word = plain(typed)
  const ranked = names
    .map((name) => {
      const distance = editDistance(word, plain(name))
      return { name, distance: word && plain(name).startsWith(word) ? Math.min(1, distance) : distance }
    })
    .sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.name : undefined
}

/** How many letters must be put in, taken out or changed (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === other ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}
