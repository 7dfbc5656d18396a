/** Files of checksums, in the forms that publishers write. */

export interface Checksum {
  algorithm: 'sha256' | 'sha512'
  /** Hexadecimal, small letters. */
  digest: string
}

const gnuLine = /^([0-9a-f]{64}|[0-9a-f]{128}) [ *](\S.*)$/i
const bsdLine = /^SHA(256|512) ?\((.+)\) ?= ?([0-9a-f]+)$/i
const bareLine = /^([0-9a-f]{64}|[0-9a-f]{128})$/i

/**
 * Checksums by file name: `DIGEST  NAME`, `DIGEST *NAME`, `SHA256 (NAME) = DIGEST`. A digest that stands alone is that of
 * `only`. What is none of these is passed over.
 */
export function readChecksums(text: string, only?: string): Map<string, Checksum> {
  const found = new Map<string, Checksum>()
  for (const line of text.split(/\r?\n/).map((each) => each.trim())) {
    const [name, digest] = entryOf(line, only)
    if (name && digest)
      found.set(name.replace(/^\.\//, ''), { algorithm: algorithmOf(digest), digest: digest.toLowerCase() })
  }
  return found
}

function entryOf(line: string, only: string | undefined): [name?: string, digest?: string] {
  const gnu = gnuLine.exec(line)
  if (gnu) return [gnu[2], gnu[1]]
  const bsd = bsdLine.exec(line)
  if (bsd) return bsd[3]!.length * 4 === Number(bsd[1]) ? [bsd[2], bsd[3]] : []
  const bare = bareLine.exec(line)
  return bare && only !== undefined ? [only, bare[1]] : []
}

const algorithmOf = (digest: string) => (digest.length === 64 ? 'sha256' : 'sha512')
