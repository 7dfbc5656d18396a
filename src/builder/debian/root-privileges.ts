/**
 * Files that belong to root and to Debian's other users, made by whoever builds: root simply may, and everybody else does it
 * in a user namespace in which the ids of `/etc/subuid` stand for them.
 */
import { mkdir, rm } from 'node:fs/promises'
import { run } from '../../lib/programs.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'

const timeoutMs = 10 * 60_000

type Command = [program: string, ...words: string[]]

export interface RootPrivileges {
  /** How mmdebstrap gets them. */
  mode: 'root' | 'unshare'
  /** The command that runs a program with them. */
  command(program: string, words: readonly string[]): Command
}

/** Throws when this user has neither, with what to type. */
export async function findRootPrivileges(): Promise<RootPrivileges> {
  if (process.getuid?.() === 0) return { mode: 'root', command: (program, words) => [program, ...words] }
  const privileges: RootPrivileges = {
    mode: 'unshare',
    command: (program, words) => ['unshare', '--map-root-user', '--map-auto', program, ...words],
  }
  const [program, ...words] = privileges.command('true', [])
  await run(program, words, { env: hostEnvironment }).catch((cause) => {
    throw new Error(
      'Debian can be built by root, or by a user who has ids of their own in /etc/subuid and /etc/subgid, where user ' +
        'namespaces are allowed: type sudo apt-get install --no-install-recommends uidmap, or build as root',
      { cause },
    )
  })
  return privileges
}

/** Unpacks an archive of a root file system as its owners' files, without devices: the kernel makes these, and a namespace may not. */
export async function unpackRoot(
  archive: string,
  target: string,
  privileges: RootPrivileges,
  signal?: AbortSignal,
): Promise<void> {
  await mkdir(target)
  const how = [
    '--exclude=./dev/*',
    '--xattrs',
    '--xattrs-include=*',
    '--numeric-owner',
    '--same-owner',
    '--same-permissions',
  ]
  const [program, ...words] = privileges.command('tar', ['-x', '-f', archive, '-C', target, ...how])
  await run(program, words, { env: hostEnvironment, timeoutMs, signal })
}

/** Removes a folder in which {@link unpackRoot} has worked, so that not all in it is this user's. */
export async function removeRoot(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(async () => {
    const [program, ...words] = (await findRootPrivileges()).command('rm', ['-rf', '--', folder])
    await run(program, words, { env: hostEnvironment, timeoutMs })
  })
}
