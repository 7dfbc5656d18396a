/** What the NBD server serves: a port, so that the protocol knows nothing of snapshots. Everything is read-only. */
import type { Extent } from './client.ts'

/** Part of an answer to a read; zeros carry no bytes. */
export interface Piece {
  lengthBytes: number
  bytes: Buffer | null
}

/** An export as one connection sees it. */
export interface NbdExport {
  readonly sizeBytes: number
  /** The range lies within the export. A rejection is answered with an I/O error. */
  read(offsetBytes: number, lengthBytes: number): Promise<Piece[]>
  /** Extents of `base:allocation` from that offset on: at least one, at most that many bytes. */
  allocation(offsetBytes: number, lengthBytes: number): Promise<Extent[]>
  /** The connection has ended. */
  close(): Promise<void>
}

export interface NbdExports {
  /** Rejects when there is no export of that name; the client is told so, with the error's message. */
  open(name: string): Promise<NbdExport>
}
