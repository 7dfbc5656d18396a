/** The content of a disk of 1 GiB: noise that nothing packs, text that packs well, and zeros; new each time it is stamped. */
import { randomFillSync } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { blockBytes } from '../../src/blocks/format.ts'

const sizeBytes = 1024 ** 3
const blocksPerMib = 2

export class SourceDisk {
  readonly path: string
  readonly #blocks: number

  private constructor(path: string, blocks: number) {
    this.path = path
    this.#blocks = blocks
  }

  static async make(path: string, { noiseMib, textMib }: { noiseMib: number; textMib: number }): Promise<SourceDisk> {
    const noise = noiseMib * blocksPerMib
    const blocks = noise + textMib * blocksPerMib
    await changing(path, 'w', async (file) => {
      await file.truncate(sizeBytes)
      const block = Buffer.alloc(blockBytes)
      for (let index = 0; index < blocks; index++) {
        if (index < noise) randomFillSync(block)
        else block.fill(`line ${index} of a text that says little and says it often\n`)
        await file.write(block, 0, blockBytes, index * blockBytes)
      }
    })
    return new SourceDisk(path, blocks)
  }

  /** Makes every block that is not zeros one that no store has seen yet. */
  async stamp(stamp: number): Promise<void> {
    await changing(this.path, 'r+', async (file) => {
      for (let index = 0; index < this.#blocks; index++) {
        await file.write(`stamp ${stamp} of block ${index};`, index * blockBytes)
      }
    })
  }
}

const patch = Buffer.alloc(64 * 1024, 0x5a)

/** The small writes that were also made to a volume, as `write -P 0x5a OFFSET 64k`. */
export async function patchDisk(path: string, offsets: readonly number[]): Promise<void> {
  await changing(path, 'r+', async (file) => {
    for (const offset of offsets) await file.write(patch, 0, patch.length, offset)
  })
}

async function changing(path: string, flags: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags)
  try {
    await work(file)
  } finally {
    await file.close()
  }
}
