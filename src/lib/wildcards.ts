/** EC2's wildcards. Source: "Filtering your resources" in the EC2 user guide. */

const many = Symbol('any text')
const one = Symbol('any character')
type Token = string | typeof many | typeof one

/**
 * `*` is any text, `?` any character, a backslash takes their meaning away. Takes at most the product of both lengths
 * in steps, whatever the pattern: it may come from anyone.
 */
export function matchesWildcards(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern)
  let [at, position] = [0, 0]
  // Where to go back to: the last `*`, and the first character that it has not taken yet.
  let star: { at: number; position: number } | undefined
  while (position < text.length) {
    const token = tokens[at]
    if (token === many) {
      star = { at, position }
      at++
    } else if (token === one || token === text[position]) {
      at++
      position++
    } else if (star) {
      star.position++
      at = star.at + 1
      position = star.position
    } else {
      return false
    }
  }
  return tokens.slice(at).every((token) => token === many)
}

function tokensOf(pattern: string): Token[] {
  const found = pattern.match(/\\[*?\\]|./gs) ?? []
  return found.map((piece) => (piece === '*' ? many : piece === '?' ? one : piece.length === 2 ? piece[1]! : piece))
}
