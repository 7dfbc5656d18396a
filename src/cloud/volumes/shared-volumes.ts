/** Volumes that several instances have: they are served as long as any has them, whatever becomes of who serves them. */
import { messageOf } from '../../lib/errors.ts'
import type { CloudDeps } from '../deps.ts'
import type { VolumeDisks } from './volume-disks.ts'

/** One pass. Guests whose disk is not served wait, and go on once it is again. */
export async function reconcileSharedDisks(deps: CloudDeps, disks: VolumeDisks): Promise<void> {
  const { state, sharedDisks, log } = deps
  const volumes = await state.volumes.sharedInUse()
  for (const { id } of volumes) {
    if (await sharedDisks.isServed(id)) continue
    await serveAgain(deps, disks, id).catch((error) =>
      log.error({ volume: id, error: messageOf(error) }, 'a volume that instances share cannot be served now'),
    )
  }
  const wanted = new Set(volumes.map((volume) => volume.id))
  for (const id of await sharedDisks.list()) if (!wanted.has(id)) await disks.endSharing(id)
}

/** Only where a machine runs that has it: one that is started later has it served then. */
async function serveAgain({ state, locks, machines, log }: CloudDeps, disks: VolumeDisks, id: string): Promise<void> {
  await locks.hold(id, async () => {
    const attachments = await state.volumes.attachmentsOfVolumes([id])
    const holders = attachments.filter((row) => row.state === 'attached' || row.state === 'busy')
    const volume = await state.volumes.get(id)
    const statuses = await Promise.all(holders.map(({ instanceId }) => machines.inspect(instanceId)))
    if (!volume || statuses.every((status) => status.state === 'absent')) return
    log.warn({ volume: id }, 'what served a shared volume is gone: it is started anew')
    await disks.serveHeld(volume)
  })
}
