import { open } from 'node:fs/promises'

/** Puts a file's content, or a folder's entries, on stable storage: a renamed file's name is durable only when its folder is. */
export async function flush(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
