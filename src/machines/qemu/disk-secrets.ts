/**
 * How QEMU and its tools get a disk's key: as a secret object, under a name that follows from the volume, so that a
 * process which did not start a machine still knows what it holds.
 *
 * A secret travels in memory alone: to a program that is being started as an open file without a name, to one that runs
 * over its QMP socket. It is in no argument, environment or file, and in no message of an error.
 */
import { firstInheritedFd, type SecretFiles, secretFiles } from '../../lib/programs.ts'
import type { DiskKey } from '../driver.ts'
import { secretName } from './disk-chain.ts'
import type { QmpConnection } from './qmp.ts'

export interface DiskSecret {
  volumeId: string
  key: DiskKey
}

/** QEMU takes passphrases as text. */
export function passphraseOf(key: DiskKey): string {
  if (key.length !== 32) throw new Error(`a disk's key has 32 bytes, and this one ${key.length}`)
  return key.toString('hex')
}

/** The secrets of disks, in the order in which a program gets them. */
export function secretsOf(disks: readonly { volumeId: string; chain: { key: DiskKey | null } }[]): DiskSecret[] {
  return disks.flatMap(({ volumeId, chain: { key } }) => (key ? [{ volumeId, key }] : []))
}

/** What a program is told of the secrets that it inherits ({@link inheritedSecrets}). */
export function secretArguments(option: '-object' | '--object', secrets: readonly DiskSecret[]): string[][] {
  return secrets.map(({ volumeId }, index) => {
    const file = `/dev/fd/${firstInheritedFd + index}`
    return [option, `secret,id=${secretName(volumeId)},format=raw,file=${file}`]
  })
}

/** For a program that is about to start; to be wiped once it has opened its disks. */
export function inheritedSecrets(secrets: readonly DiskSecret[]): SecretFiles {
  return secretFiles(secrets.map(({ key }) => passphraseOf(key)))
}

/** Replaces one that was left by somebody who was killed: for a disk of which no node is open. */
export async function addSecret(qmp: QmpConnection, { volumeId, key }: DiskSecret): Promise<void> {
  await removeSecret(qmp, volumeId)
  const data = passphraseOf(key)
  await qmp.execute('object-add', { 'qom-type': 'secret', id: secretName(volumeId), format: 'raw', data })
}

/** Nothing happens when it is not there. */
export async function removeSecret(qmp: QmpConnection, volumeId: string): Promise<void> {
  if (await hasSecret(qmp, volumeId)) await qmp.execute('object-del', { id: secretName(volumeId) })
}

/** Whether that disk of the process is sealed. */
export async function hasSecret(qmp: QmpConnection, volumeId: string): Promise<boolean> {
  const objects = await qmp.execute<{ name: string }[]>('qom-list', { path: '/objects' })
  return objects.some(({ name }) => name === secretName(volumeId))
}

/** QEMU's words for a disk that does not open under its key, in ours. */
export function explained(message: string): string {
  return message.replaceAll('Invalid password, cannot unlock any keyslot', 'the disk is sealed under another key')
}
