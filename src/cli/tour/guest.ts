/** A guest, over SSH, with the system's own client. */
import { systemClock, waitFor } from '../../lib/clock.ts'
import { ProgramError, run } from '../../lib/programs.ts'
import { quoted } from './command-line.ts'

export interface Login {
  address: string
  keyPath: string
}

/** Public addresses are given again, so that the keys of hosts behind them change: they are not remembered. */
const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
const user = 'ec2-user'
/** SSH's own exit code, for a connection that did not come about. */
const noConnection = 255
/** A guest that answers at all has its SSH server within this time. */
const loginWithinMs = 60_000

function words({ address, keyPath }: Login): string[] {
  return ['-i', keyPath, ...options.flatMap((option) => ['-o', option]), `${user}@${address}`]
}

export function sshLine(login: Login, command: string): string {
  return ['ssh', ...words(login), quoted(command)].join(' ')
}

/**
 * What the command printed, `input` being its standard input. Waits for the guest to take logins; throws when the command
 * fails or takes longer than `timeoutMs`.
 */
export async function inGuest(
  login: Login,
  command: string,
  signal: AbortSignal,
  { input, timeoutMs = 30_000 }: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const batch = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10']
  let lastFailure = ''
  const output = await waitFor(
    systemClock,
    async () => {
      try {
        return await run('ssh', [...batch, ...words(login), command], { timeoutMs, signal, input })
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ProgramError) || error.exitCode !== noConnection) throw error
        lastFailure = error.message
        return undefined
      }
    },
    { everyMs: 500, timeoutMs: loginWithinMs, signal },
  )
  if (output !== undefined) return output.trim()
  throw new Error(`no login at ${login.address} within ${loginWithinMs / 1000} s: ${lastFailure}`)
}
