/** Programs of Debian that read metadata, unpacked and not installed: on a host they would take themselves for an instance's. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  downloadPackages,
  hostApt,
  resolvePackages,
  unpackPackage,
} from '../../src/builder/kiln-linux/debian-packages.ts'

export interface UnpackedPrograms {
  /** Holds `usr/bin` and `usr/lib/python3/dist-packages`. */
  root: string
  remove(): Promise<void>
}

/** Throws with apt's words where the packages cannot be had. */
export async function unpackPrograms(names: readonly string[]): Promise<UnpackedPrograms> {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-debian-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    const packages = await resolvePackages(hostApt, names)
    await downloadPackages(hostApt, packages, folder)
    const root = join(folder, 'root')
    for (const { fileName } of packages) await unpackPackage(join(folder, fileName), root)
    return { root, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
