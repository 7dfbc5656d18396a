/**
 * Archives in cpio's "newc" format, which the Linux kernel unpacks as its initial file system.
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */

export interface CpioEntry {
  /** Relative, without a leading slash. Directories come before what lies in them. */
  path: string
  /** With the type bits of stat(2): 0o040000 a directory, 0o100000 a file. */
  mode: number
  content?: Buffer
}

/** The whole archive; everything belongs to root and has the date 0, so that equal inputs give equal bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = []
  const put = (path: string, mode: number, content: Buffer, inode: number) => {
    const name = Buffer.from(`${path}\0`)
    const links = (mode & 0o170000) === 0o040000 ? 2 : 1
    // inode, mode, uid, gid, links, mtime, size, device ×2, special device ×2, name length, checksum
    const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0]
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
    parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(content))
  }
  for (const [index, { path, mode, content }] of entries.entries()) put(path, mode, content ?? empty, index + 1)
  put('TRAILER!!!', 0, empty, 0)
  return Buffer.concat(parts)
}

const empty = Buffer.alloc(0)

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)])
}
