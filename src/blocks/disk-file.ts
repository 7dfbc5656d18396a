/**
 * The file that a snapshot is written into: raw, with holes where nothing was written, or sealed. A sealed one is a qcow2
 * file, because a hole in what is sealed byte by byte would read as noise; it is written through a server that has the
 * key, and which this room gets from outside.
 */
import { open } from 'node:fs/promises'
import { connectNbd } from './nbd/client.ts'

export interface DiskFile {
  write(block: Buffer, offsetBytes: number): Promise<void>
  /** Puts all that was written on stable storage. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Makes sealed files and lets them be written. */
export interface SealedDisks {
  /** Makes an empty one, whole or not at all; a file that is there already is replaced. */
  createLayer(path: string, sizeBytes: number, key: Buffer): Promise<void>
  openForWriting(
    path: string,
    sizeBytes: number,
    key: Buffer,
  ): Promise<{ socketPath: string; exportName: string; close(): Promise<void> }>
}

export interface DiskFileRequest {
  path: string
  sizeBytes: number
  /** Whether to go on with the file that is there; otherwise a new one takes its place. */
  goesOn: boolean
}

export async function openRawFile({ path, sizeBytes, goesOn }: DiskFileRequest): Promise<DiskFile> {
  const file = await open(path, goesOn ? 'r+' : 'w', 0o600)
  try {
    await file.truncate(sizeBytes)
  } catch (error) {
    await file.close()
    throw error
  }
  return {
    write: async (block, offsetBytes) => void (await file.write(block, 0, block.length, offsetBytes)),
    flush: () => file.datasync(),
    close: () => file.close(),
  }
}

export async function openSealedFile(
  { path, sizeBytes, goesOn }: DiskFileRequest,
  { disks, key, signal }: { disks: SealedDisks; key: Buffer; signal?: AbortSignal },
): Promise<DiskFile> {
  if (!goesOn) await disks.createLayer(path, sizeBytes, key)
  const { socketPath, exportName, close } = await disks.openForWriting(path, sizeBytes, key)
  try {
    const client = await connectNbd({ socketPath, exportName, contexts: [], signal })
    return {
      write: (block, offsetBytes) => client.write(block, offsetBytes),
      flush: () => client.flush(),
      async close() {
        await client.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
