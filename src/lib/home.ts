/** Where everything of one Kiln lies. Two homes share nothing. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { limits } from './limits.ts'

export interface Home {
  readonly root: string
  readonly databasePath: string
  /** Sockets and process ids; short names, because a socket's path is bounded. */
  readonly runDir: string
  /** The daemon's own page for other commands: where it listens, its process, the control token. */
  readonly daemonPath: string
  readonly lockPath: string
  /** What the home was served with last: kinds of machines, network and database. */
  readonly settingsPath: string
  readonly metadataSocketPath: string
  /** Where guests' connections to the API come in. */
  readonly guestApiSocketPath: string
  /** DIR/REGION/store. */
  readonly regionsDir: string
  readonly volumesDir: string
  readonly machinesDir: string
  /** Files of imports and exports under way: a folder each. */
  readonly transfersDir: string
  /** Disks of the instance store: a folder each instance, and what was unpacked of bundles. */
  readonly instanceStoreDir: string
  readonly networksDir: string
  readonly statsDir: string
  readonly cacheDir: string
  readonly logsDir: string
  /** Where the master key lies unless it was put elsewhere. */
  readonly masterKeyPath: string
}

/** The home that a flag, `KILN_HOME` or the XDG data folder names. */
export function defaultHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.KILN_HOME) return resolve(env.KILN_HOME)
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'kiln')
}

/** Throws when the path is too long for the sockets below it. */
export function homeAt(path: string): Home {
  const root = resolve(path)
  if (Buffer.byteLength(root) > limits.homePathBytes) {
    throw new Error(
      `the home ${root} is a path of more than ${limits.homePathBytes} bytes, too long for the sockets in it: choose a shorter one with --home`,
    )
  }
  const runDir = join(root, 'run')
  return {
    root,
    databasePath: join(root, 'kiln.db'),
    runDir,
    daemonPath: join(runDir, 'daemon.json'),
    lockPath: join(runDir, 'lock.db'),
    settingsPath: join(root, 'settings.json'),
    metadataSocketPath: join(runDir, 'imds.sock'),
    guestApiSocketPath: join(runDir, 'guest-api.sock'),
    regionsDir: join(root, 'regions'),
    volumesDir: join(root, 'volumes'),
    machinesDir: join(root, 'machines'),
    transfersDir: join(root, 'transfers'),
    instanceStoreDir: join(root, 'instance-store'),
    networksDir: join(root, 'networks'),
    statsDir: join(root, 'volume-reads'),
    cacheDir: join(root, 'cache'),
    logsDir: join(root, 'logs'),
    masterKeyPath: join(root, 'keys', 'master.key'),
  }
}
