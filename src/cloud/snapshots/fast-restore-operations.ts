/**
 * The work behind fast snapshot restores: all of a snapshot is fetched into a file of this host, of which every new
 * volume gets a hard link. A file is kept as long as anybody wants its snapshot ready, whoever and in whichever zone:
 * all zones of a host share it.
 */
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { blockKeyOf, diskKeyOf } from '../encryption/data-keys.ts'
import { readyBasesFolder, type VolumeDisks } from '../volumes/volume-disks.ts'

export interface FastRestoreInput {
  id: string
}

export const enableKind = 'enable-fast-restore'
export const disableKind = 'disable-fast-restore'

export const lifecycleReason = 'Client.UserInitiated - Lifecycle state transition'

export async function fastRestoredOf(
  tx: Repositories,
  { accountId }: Scope,
  snapshotIds: readonly string[],
  zone: string,
): Promise<Set<string>> {
  return new Set(await tx.fastSnapshotRestores.enabledOf(accountId, snapshotIds, zone))
}

/** Whether the snapshot is ready for new volumes of that account in that zone. */
export async function isFastRestored(
  tx: Repositories,
  scope: Scope,
  snapshotId: string,
  zone: string,
): Promise<boolean> {
  return (await fastRestoredOf(tx, scope, [snapshotId], zone)).has(snapshotId)
}

/** What opens the snapshot, and what its volumes on this host are encrypted with when they are of its lineage. */
async function keysOf(deps: CloudDeps, accountId: string, dataKeyId: string | null) {
  const sealKey = await blockKeyOf(deps, accountId, dataKeyId)
  return { sealKey, diskKey: await diskKeyOf(deps, { accountId, dataKeyId }) }
}

const lockOf = (region: string, root: string) => `base:${region}:${root}`

export function enableOperation(deps: CloudDeps, disks: VolumeDisks): OperationKind<FastRestoreInput, unknown> {
  const { state, blocks, locks, clock } = deps
  const { fastSnapshotRestores } = state

  const isWanted = async (id: string) => (await fastSnapshotRestores.get(id))?.state === 'optimizing'

  return {
    kind: enableKind,
    lane: 'hydrate',
    steps: [
      {
        name: 'optimize',
        async run({ input: { id }, signal, progress }) {
          const begun = { state: 'optimizing', reason: lifecycleReason, optimizingAt: clock.now() } as const
          await fastSnapshotRestores.move(id, ['enabling'], begun)
          const row = await fastSnapshotRestores.get(id)
          if (row?.state !== 'optimizing') return
          const { region, rootHash: root } = row
          await locks.hold(lockOf(region, root), async () => {
            const dataKeyId = (await state.snapshots.get(row.snapshotId))?.dataKeyId ?? null
            const path = disks.readyBase({ region, root, dataKeyId })
            await mkdir(dirname(path), { recursive: true, mode: 0o700 })
            if (existsSync(path)) return
            const { dataBytes } = await blocks.info(region, root)
            if (!(await disks.hasRoomFor(dataBytes, 1 / 10))) {
              throw new OperationFailure(
                `this host has no room for its ${dataBytes} bytes: a tenth of the disk stays free`,
              )
            }
            const onPercent = async (percent: number) => {
              await progress(percent)
              if (!(await isWanted(id))) throw new OperationFailure('it was disabled meanwhile')
            }
            const keys = await keysOf(deps, row.accountId, dataKeyId)
            await blocks.materialize({ region, root, path, ...keys }, { signal, onPercent })
          })
        },
      },
      {
        name: 'enabled',
        async run({ input: { id } }) {
          const done = { state: 'enabled', reason: lifecycleReason, enabledAt: clock.now() } as const
          await fastSnapshotRestores.move(id, ['optimizing'], done)
        },
      },
    ],
    async fail({ input: { id } }, { message }) {
      const now = clock.now()
      const over = { state: 'disabled', disablingAt: now, disabledAt: now } as const
      await fastSnapshotRestores.move(id, ['enabling', 'optimizing'], {
        ...over,
        reason: `Server.InternalError: ${message}`,
      })
      await removeUnwanted(deps)
    },
  }
}

export function disableOperation(deps: CloudDeps): OperationKind<FastRestoreInput, unknown> {
  const { state, clock } = deps
  return {
    kind: disableKind,
    lane: 'volumes',
    steps: [
      {
        name: 'disabled',
        async run({ input: { id } }) {
          await removeUnwanted(deps)
          const done = { state: 'disabled', reason: lifecycleReason, disabledAt: clock.now() } as const
          await state.fastSnapshotRestores.move(id, ['disabling'], done)
        },
      },
    ],
    async fail({ input: { id } }, { message }) {
      // What could not be removed now is removed with the leftovers.
      const reason = `Server.InternalError: ${message}`
      await state.fastSnapshotRestores.move(id, ['disabling'], { state: 'disabled', reason, disabledAt: clock.now() })
    },
  }
}

/** Removes the files of snapshots that nobody wants ready any more. Volumes that have them keep them. */
export async function removeUnwanted({ state, locks, volumesDir }: CloudDeps): Promise<void> {
  const folder = join(volumesDir, readyBasesFolder)
  const namesIn = (path: string) =>
    readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
  for (const region of await namesIn(folder)) {
    const rootOf = (name: string) => name.split('.')[0]!
    const roots = (await namesIn(join(folder, region))).map(rootOf)
    for (const root of new Set(roots)) {
      await locks.hold(lockOf(region, root), async () => {
        if (await state.fastSnapshotRestores.isRootWanted(region, root)) return
        // Under whichever keys, whole or begun.
        const names = (await namesIn(join(folder, region))).filter((name) => rootOf(name) === root)
        for (const name of names) await rm(join(folder, region, name), { force: true })
      })
    }
  }
}
