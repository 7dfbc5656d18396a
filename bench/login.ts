/** From RunInstances to the first login, against the same disk image started by hand with QEMU. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildKilnLinux } from '../src/builder/kiln-linux/build.ts'
import { Guest } from '../src/builder/kiln-linux/guest.fixture.ts'
import { systemClock, waitFor } from '../src/lib/clock.ts'
import { defaultHome, homeAt } from '../src/lib/home.ts'
import { run } from '../src/lib/programs.ts'
import { prepareFleet } from '../test/e2e/support/fleet.ts'
import { startKiln } from '../test/e2e/support/kiln.ts'
import { type Bench, median, spread, timed } from './report.ts'

const rounds = 5

export const benchLogin: Bench = {
  question: 'how long from RunInstances to a login, against QEMU started by hand on the same image?',
  async run(say) {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-bench-'))
    const kiln = await startKiln({ machines: 'qemu' })
    try {
      const fleet = await prepareFleet(kiln)
      const byHand: number[] = []
      const byKiln: number[] = []
      for (let round = 0; round < rounds; round++) {
        byHand.push(await bootByHand(join(folder, String(round))))
        const ids: string[] = []
        byKiln.push(
          await timed(async () => {
            ids.push(...(await fleet.launch({ isWaitedFor: false })))
            await speaksSsh((await fleet.describe(ids[0]!)).PublicIpAddress!)
            await fleet.ssh(ids[0]!, 'true')
          }),
        )
        await fleet.terminate(ids)
      }
      say(spread('QEMU by hand, a local copy of the disk', byHand))
      say(spread('Kiln, RunInstances to login', byKiln))
      say(`ratio Kiln / by hand: ${(median(byKiln) / median(byHand)).toFixed(2)}`)
    } finally {
      await kiln.cleanup()
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** Waits for the greeting of an SSH server, which costs the two cores less than trying to log in again and again. */
async function speaksSsh(address: string): Promise<void> {
  const greets = () =>
    new Promise<true | undefined>((resolve) => {
      const socket = connect({ host: address, port: 22, timeout: 1000 })
      socket.once('data', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('timeout', () => socket.destroy())
      socket.once('error', () => {})
      socket.once('close', () => resolve(undefined))
    })
  await waitFor(systemClock, greets, { everyMs: 100, timeoutMs: 180_000 })
}

/** Copies the image as a user would, boots it with user networking and a metadata service, logs in. */
async function bootByHand(folder: string): Promise<number> {
  const image = await buildKilnLinux({ cacheDir: homeAt(defaultHome()).cacheDir })
  const keyPath = `${folder}.key`
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyPath])
  const publicKey = await run('ssh-keygen', ['-y', '-f', keyPath])
  const diskPath = `${folder}.qcow2`
  let guest: Guest | undefined
  try {
    return await timed(async () => {
      await run('qemu-img', ['convert', '-O', 'qcow2', image.imagePath, diskPath])
      guest = await Guest.start({
        dir: folder,
        diskPath,
        diskDevice: 'virtio-blk-pci',
        keyPath,
        metadata: { instanceId: 'i-0123456789abcdef0', hostname: 'by-hand', publicKey, userData: null, version: 2 },
      })
      await guest.ready()
      await guest.ssh('true')
    })
  } finally {
    await guest?.[Symbol.asyncDispose]()
  }
}
