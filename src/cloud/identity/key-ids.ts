/**
 * Access key ids. As AWS's, they carry the number of their account: a prefix (`AKIA`, or `ASIA` for keys that end) and
 * ten bytes in base32, of which the first 48 bits are a one, the number in 40 bits, and seven more.
 */
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const idBytes = 10

/** `entropy` has at least ten bytes. */
export function accessKeyId(prefix: 'AKIA' | 'ASIA', accountId: string, entropy: Uint8Array): string {
  const bytes = Buffer.from(entropy.subarray(0, idBytes))
  const head = (1n << 47n) | (BigInt(accountId) << 7n) | BigInt(bytes[5]! & 0x7f)
  bytes.writeUIntBE(Number(head), 0, 6)
  let bits = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (let at = 0; at < 16; at++) {
    text = alphabet[Number(bits & 31n)]! + text
    bits >>= 5n
  }
  return prefix + text
}

/** The account that an id carries; undefined for one that carries none. */
export function accountOfKeyId(id: string): string | undefined {
  if (!/^A[KS]IA[A-Z2-7]{16}$/.test(id)) return undefined
  const bits = [...id.slice(4)].reduce((sum, letter) => (sum << 5n) | BigInt(alphabet.indexOf(letter)), 0n)
  const head = bits >> 32n
  const account = (head >> 7n) & ((1n << 40n) - 1n)
  if (head >> 47n !== 1n || account > 999_999_999_999n) return undefined
  return String(account).padStart(12, '0')
}
