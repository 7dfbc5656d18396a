/** The metadata service of a cloud, where a guest of it would find it: behind the network's relay, at an address of TCP. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { imdsSource } from '../../src/api/imds/cloud-source.ts'
import { createImdsServer } from '../../src/api/imds/imds-server.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createMetadataRelay } from '../../src/network/metadata-relay.ts'
import type { TestCloud } from './test-cloud.ts'

export interface GuestMetadata {
  /** What stands for `http://169.254.169.254`. */
  url: string
  close(): Promise<void>
}

/** Whoever asks there is taken for the guest with that address. */
export async function openGuestMetadata(
  { cloud, deps }: TestCloud,
  guest: { vpcId: string; privateIp: string },
): Promise<GuestMetadata> {
  const { random, clock } = deps
  const service = createImdsServer({ source: imdsSource(cloud), secret: random.bytes(32), clock, log: silentLog })
  const metadataSocketPath = join(dirname(deps.volumesDir), `imds-${guest.privateIp}.sock`)
  await service.listen(metadataSocketPath)
  const relay = createMetadataRelay({ vpcId: guest.vpcId, metadataSocketPath, sourceOf: () => guest.privateIp })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    close: async () => {
      await closeServer(relay)
      await service.close()
    },
  }
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
