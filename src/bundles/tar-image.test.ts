import { describe, expect, it } from 'vitest'
import { imageOf } from './tar-image.ts'

/** Checksummed as tar does it, whatever stands in the fields. */
function headerOf(type: string, fill: (header: Buffer) => void = () => {}): Buffer {
  const header = Buffer.alloc(512)
  header.write('image', 0)
  header.write('00000000000', 124)
  header.write(type, 156)
  fill(header)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

/** How much of an archive that begins so and goes on so for a GiB is read before it is refused. */
async function refusalOf(first: Buffer, again: Buffer): Promise<{ reason: string; readBytes: number }> {
  const piece = Buffer.concat(Array<Buffer>(2048).fill(again))
  let readBytes = 0
  async function* archive() {
    yield first
    for (; readBytes < 1024 ** 3; readBytes += piece.length) yield piece
  }
  try {
    for await (const _ of imageOf(archive(), 1000));
  } catch (error) {
    return { reason: (error as Error).message, readBytes }
  }
  throw new Error('the archive was taken')
}

describe('an archive that says little and goes on for long', () => {
  it('is refused at a block of its list of holes that lists none', async () => {
    const header = headerOf('S', (bytes) => {
      bytes.write('00000001750', 483)
      bytes[482] = 1
    })
    const more = Buffer.alloc(512)
    more[504] = 1
    const { reason, readBytes } = await refusalOf(header, more)
    expect(reason).toBe('the archive has a list of holes with nothing in it')
    expect(readBytes).toBeLessThan(10 * 1024 * 1024)
  })

  it('is refused after a few long names', async () => {
    const name = headerOf('L')
    const { reason, readBytes } = await refusalOf(name, name)
    expect(reason).toBe('the archive has a name that is too long, or too many of them')
    expect(readBytes).toBeLessThan(10 * 1024 * 1024)
  })
})
