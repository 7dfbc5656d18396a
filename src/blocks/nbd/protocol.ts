/**
 * The numbers of the NBD protocol that Kiln speaks, for client and server. Source: the NBD project's `doc/proto.md`
 * (fixed newstyle negotiation, structured replies, metadata contexts).
 */

export const serverMagic = 0x4e42444d41474943n
export const optionMagic = 0x49484156454f5054n
export const optionReplyMagic = 0x3e889045565a9n
export const requestMagic = 0x25609513
export const simpleReplyMagic = 0x67446698
export const structuredReplyMagic = 0x668e33ef

/** Handshake flags, the same bits both ways. */
export const handshake = { fixedNewstyle: 1, noZeroes: 2 } as const

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const

export const optionReply = {
  ack: 1,
  info: 3,
  metaContext: 4,
  errorUnsupported: 0x80000001,
  errorInvalid: 0x80000003,
  errorUnknown: 0x80000006,
} as const

export const info = { export: 0, blockSize: 3 } as const

export const transmission = { hasFlags: 1, readOnly: 2, sendFlush: 4, canMultiConn: 256 } as const

export const command = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6, blockStatus: 7 } as const

export const commandFlag = { requestOne: 8 } as const

export const chunk = { none: 0, data: 1, hole: 2, blockStatus: 5, error: 0x8001, errorOffset: 0x8002 } as const
export const chunkDone = 1

export const errno = { perm: 1, io: 5, invalid: 22, noSpace: 28, overflow: 75 } as const

/** Extent flags of the context `base:allocation`. */
export const allocation = { hole: 1, zero: 2 } as const

/** Longest piece of an option, a name or a message that either side takes: strings of the protocol end at 4,096. */
export const stringBytesMax = 4096
export const optionBytesMax = 64 * 1024
/** Longest read that the server advertises and the client asks for. */
export const payloadBytesMax = 32 * 1024 * 1024
export const requestHeaderBytes = 28
