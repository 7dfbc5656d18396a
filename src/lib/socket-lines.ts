/** Messages on a socket as lines of JSON; what comes after them may be anything. */
import type { Socket } from 'node:net'

const lineBytesMax = 1024

export function writeLine(socket: Socket, message: object): void {
  socket.write(`${JSON.stringify(message)}\n`)
}

/** Reads the first line; what follows it stays in the socket, which is left paused. */
export function readLine<T>(socket: Socket, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const finish = (act: () => void) => {
      clearTimeout(timer)
      socket.off('readable', read).off('error', fail).off('close', closed).off('end', closed)
      act()
    }
    const fail = (error: Error) => finish(() => reject(error))
    const closed = () => fail(new Error('the other side closed the connection'))
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const read = () => {
      const chunk = socket.read() as Buffer | null
      if (chunk === null) return
      received = Buffer.concat([received, chunk])
      const end = received.indexOf(10)
      if (end < 0 && received.length <= lineBytesMax) return
      if (end < 0 || end > lineBytesMax) return fail(new Error('the line is too long'))
      finish(() => {
        if (received.length > end + 1) socket.unshift(received.subarray(end + 1))
        try {
          resolve(JSON.parse(received.subarray(0, end).toString('utf8')))
        } catch (error) {
          reject(error)
        }
      })
    }
    socket.on('readable', read).on('error', fail).on('close', closed).on('end', closed)
  })
}
