/** What a QEMU says of its guest, in the port's words. */
import type { MachineStatus } from '../driver.ts'
import type { QmpConnection } from './qmp.ts'

const answerTimeoutMs = 5_000

/** QMP's own word: `running`, `shutdown`, `io-error`, `prelaunch` and some more. */
export async function runState(qmp: QmpConnection): Promise<string> {
  return (await qmp.execute<{ status: string }>('query-status', {}, answerTimeoutMs)).status
}

export async function statusOf(qmp: QmpConnection, pid: number): Promise<MachineStatus> {
  const state = await runState(qmp)
  // A guest that suspended itself waits for a wake-up of its own making: it runs.
  if (state === 'running' || state === 'suspended') return { state: 'running', pid }
  if (state === 'shutdown') return { state: 'shutdown', pid, sinceMs: null }
  return { state: 'paused', pid, reason: state === 'io-error' ? await diskTrouble(qmp) : state }
}

interface BlockDevice {
  /** The device's path in QEMU's object tree; ours are `/machine/peripheral/<serial>/virtio-backend`. */
  qdev?: string
  'io-status'?: 'ok' | 'failed' | 'nospace'
}

async function diskTrouble(qmp: QmpConnection): Promise<string> {
  const devices = await qmp.execute<BlockDevice[]>('query-block')
  const troubles = devices
    .filter((device) => device['io-status'] === 'failed' || device['io-status'] === 'nospace')
    .map((device) => {
      const serial = device.qdev?.split('/')[3] ?? 'unknown'
      return `disk ${serial}: ${device['io-status'] === 'nospace' ? 'the host has no space left' : 'the host cannot read or write it'}`
    })
  return troubles.join('; ') || 'a disk of the host failed'
}
