/**
 * What tests do inside a guest: one command, one line of JSON as its answer (or a server that runs until it is ended).
 * It uses the guest's own network stack and nothing of Kiln.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'

const commands: Record<string, (...args: string[]) => unknown> = {
  dhcp: async (mac, clientId) => {
    const own = clientIdOption(clientId)
    const offer = await dhcpExchange(dhcpMessage(1, mac!, own), 2)
    const server = offer.options.get(54)!
    const ack = await dhcpExchange(dhcpMessage(3, mac!, [...own, [50, addressBytes(offer.address)], [54, server]]), 5)
    const dotted = (code: number) => ack.options.get(code)?.join('.') ?? null
    return {
      address: ack.address,
      mask: dotted(1),
      router: dotted(3),
      resolver: dotted(6),
      hostname: ack.options.get(12)?.toString() ?? null,
      domain: ack.options.get(15)?.toString() ?? null,
      mtu: ack.options.get(26)?.readUInt16BE() ?? null,
      ntp: dotted(42),
    }
  },
  /** Asks for its lease to be prolonged; the address that it keeps. */
  'dhcp-renew': async (mac, address, clientId) =>
    (await dhcpExchange(dhcpMessage(3, mac!, clientIdOption(clientId), address), 5)).address,
  http: (method, url, headers) =>
    new Promise((resolve) => {
      const outgoing = request(url!, { method, headers: JSON.parse(headers ?? '{}'), timeout: 3000 }, (answer) => {
        let body = ''
        answer.setEncoding('utf8').on('data', (text) => {
          body += text
        })
        answer.on('end', () => resolve({ status: answer.statusCode, body }))
      })
      outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })))
      outgoing.on('error', (error: NodeJS.ErrnoException) => resolve({ error: error.code }))
      outgoing.end()
    }),
  /** Sends that many random bytes; their SHA-256 and what was answered. */
  upload: (url, mebibytes) =>
    new Promise((resolve) => {
      const content = randomBytes(Number(mebibytes) * 1024 * 1024)
      const sent = createHash('sha256').update(content).digest('hex')
      const outgoing = request(url!, { method: 'PUT' }, (answer) => {
        let body = ''
        answer.setEncoding('utf8').on('data', (text) => {
          body += text
        })
        answer.on('end', () => resolve({ sent, body }))
      })
      outgoing.on('error', (error: NodeJS.ErrnoException) => resolve({ error: error.code }))
      outgoing.end(content)
    }),
  /** Sends a text, answers what comes back; or the error's code. */
  tcp: (host, port, text = 'hello', timeoutMs = '1500') =>
    new Promise((resolve) => {
      const socket = connect(Number(port), host!)
      const give = (answer: string) => {
        socket.destroy()
        resolve(answer)
      }
      socket.setTimeout(Number(timeoutMs), () => give('timeout'))
      socket.on('error', (error: NodeJS.ErrnoException) => give(error.code ?? 'error'))
      socket.on('data', (data) => give(data.toString()))
      socket.on('connect', () => socket.write(text))
    }),
  /** Sends a datagram from the given source; answers what comes back or `timeout`. */
  udp: (from, host, port) =>
    new Promise((resolve) => {
      const socket = createSocket('udp4')
      const give = (answer: string) => {
        socket.close()
        resolve(answer)
      }
      setTimeout(() => give('timeout'), 1000).unref()
      socket.on('message', (data) => give(data.toString()))
      socket.on('error', (error: NodeJS.ErrnoException) => give(error.code ?? 'error'))
      socket.bind(0, from, () => socket.send('hello', Number(port), host!))
    }),
  /** Keeps one connection and sends a line every 100 ms; prints each that comes back. */
  chat: (host, port) => {
    const socket = connect(Number(port), host!)
    let count = 0
    socket.on('connect', () => setInterval(() => socket.write(`${count++}\n`), 100))
    socket.on('data', (data) => process.stdout.write(data))
    return forever
  },
  echo: (port) => {
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.pipe(socket)
    }).listen(Number(port))
    const datagrams = createSocket('udp4')
    datagrams.on('message', (data, from) => datagrams.send(data, from.port, from.address)).bind(Number(port))
    return forever
  },
  /** Reads until the other side has closed its half, then answers with the SHA-256 and the count of what came. */
  digest: (port) => {
    createServer({ allowHalfOpen: true }, (socket) => {
      const hash = createHash('sha256')
      let bytes = 0
      socket.on('error', () => {})
      socket.on('data', (data) => {
        hash.update(data)
        bytes += data.length
      })
      socket.on('end', () => socket.end(`${hash.digest('hex')} ${bytes}`))
    }).listen(Number(port))
    return forever
  },
}

const forever = new Promise(() => {})

/** An option's code and value. */
type Option = [number, Buffer]

const addressBytes = (address: string) => Buffer.from(address.split('.').map(Number))
const clientIdOption = (text?: string): Option[] => (text ? [[61, Buffer.from(text)]] : [])

/** `address` is the one that the client has already. */
function dhcpMessage(type: number, mac: string, options: Option[], address = '0.0.0.0'): Buffer {
  const head = Buffer.alloc(240)
  addressBytes(address).copy(head, 12)
  head.set([1, 1, 6, 0])
  randomBytes(4).copy(head, 4)
  head.writeUInt16BE(0x8000, 10)
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(head, 28)
  head.writeUInt32BE(0x63825363, 236)
  const wanted: Option[] = [[53, Buffer.from([type])], ...options, [55, Buffer.from([1, 3, 6, 12, 15, 26, 42, 54])]]
  return Buffer.concat([
    head,
    ...wanted.map(([code, value]) => Buffer.concat([Buffer.from([code, value.length]), value])),
    Buffer.from([255]),
  ])
}

function dhcpExchange(message: Buffer, answerType: number): Promise<{ address: string; options: Map<number, Buffer> }> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const send = () => socket.send(message, 67, '255.255.255.255')
    const again = setInterval(send, 500)
    const deadline = setTimeout(() => finish(() => reject(new Error('no DHCP answer'))), 3000)
    const finish = (act: () => void) => {
      clearInterval(again)
      clearTimeout(deadline)
      socket.close()
      act()
    }
    socket.on('message', (data) => {
      const options = new Map<number, Buffer>()
      for (let at = 240; data[at] !== undefined && data[at] !== 255; at += 2 + data[at + 1]!) {
        options.set(data[at]!, data.subarray(at + 2, at + 2 + data[at + 1]!))
      }
      if (data.readUInt32BE(4) !== message.readUInt32BE(4) || options.get(53)?.[0] !== answerType) return
      finish(() => resolve({ address: data.subarray(16, 20).join('.'), options }))
    })
    socket.bind(68, () => {
      socket.setBroadcast(true)
      send()
    })
  })
}

const [command, ...args] = process.argv.slice(2)
const answer = await commands[command!]!(...args)
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0))
