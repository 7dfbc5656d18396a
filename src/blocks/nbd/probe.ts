/** Whether an NBD server listens on a unix socket, found out by talking to it. */
import { connect } from 'node:net'
import { ByteReader } from './byte-reader.ts'
import { greet } from './client-handshake.ts'

/** A server that does not greet within this time is as good as none. */
const greetingTimeoutMs = 3000

export async function answersNbd(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath)
  socket.setTimeout(greetingTimeoutMs, () => socket.destroy())
  try {
    await greet(new ByteReader(socket), socket)
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
