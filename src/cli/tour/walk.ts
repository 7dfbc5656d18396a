/** What a walk is, and the steps that all of them begin and end with. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describePresence, namespacesAlive, presenceOf } from '../leftovers.ts'
import { type Doors, openDoor } from './moves.ts'
import { regions, type Tour } from './tour.ts'

/** Acts as a user would, and says in a sentence what came of it. `seen` is what steps hand on. */
export interface Step<Seen> {
  title: string
  run(tour: Tour, seen: Seen): Promise<string>
}

export interface Walk<Seen> {
  heading: string
  steps: readonly Step<Seen>[]
  /** What is printed once all steps did what they say. */
  conclusion?(seen: Seen): string
}

export const ownKiln: Step<unknown> = {
  title: 'A Kiln of its own, in a throw-away home',
  async run(tour) {
    const { url, pid } = await tour.startDaemon()
    return `It answers at ${url} (process ${pid}).`
  },
}

export const keyAndDoor: Step<Doors> = {
  title: 'A key to log in with, and a door for it',
  async run(tour, seen) {
    seen.keyPath = join(tour.home.root, 'tour.pem')
    const wish = { KeyName: 'tour', KeyType: 'ed25519' } as const
    const rest = `--query KeyMaterial --output text > ${seen.keyPath} && chmod 600 ${seen.keyPath}`
    const { KeyMaterial: key, KeyFingerprint: fingerprint } = await tour.call(regions.first, 'CreateKeyPair', wish, {
      rest,
    })
    await writeFile(seen.keyPath, key!, { mode: 0o600 })
    const described = { KeyNames: ['tour'], IncludePublicKey: true }
    const { KeyPairs: [pair] = [] } = await tour.call(regions.first, 'DescribeKeyPairs', described)
    seen.publicKey = pair!.PublicKey!
    seen.groups = { [regions.first]: await openDoor(tour, regions.first) }
    return `Key ${fingerprint}; security group ${seen.groups[regions.first]} lets port 22 in.`
  },
}

export const everythingDown: Step<unknown> = {
  title: 'Everything down',
  async run(tour) {
    const before = presenceOf(tour.home)
    await tour.down()
    const left = describePresence({ ...presenceOf(tour.home), namespaces: namespacesAlive(before.namespaces) })
    if (left) throw new Error(`something is left: ${left}`)
    const { processes, namespaces } = before
    return `Processes: ${processes.length} before, none now; network namespaces: ${namespaces.length} before, none now; no mounts.`
  },
}
