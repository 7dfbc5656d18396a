import type { ImdsInstance } from './instance.ts'

/**
 * What an instance is, for others to believe: the text that its signatures are over, so it is the same, byte for byte,
 * as long as the facts are. Laid out as EC2 does it, with a space on each side of a colon: scripts split lines there.
 * Source: "Instance identity documents for Amazon EC2 instances" in the Amazon EC2 user guide.
 */
export function identityDocument(instance: ImdsInstance): string {
  const facts = {
    accountId: instance.accountId,
    architecture: instance.architecture,
    availabilityZone: instance.availabilityZone,
    billingProducts: null,
    devpayProductCodes: null,
    marketplaceProductCodes: null,
    imageId: instance.imageId,
    instanceId: instance.instanceId,
    instanceType: instance.instanceType,
    kernelId: null,
    pendingTime: wholeSeconds(instance.launchedAtMs),
    privateIp: instance.network.privateIp,
    ramdiskId: null,
    region: instance.region,
    version: '2017-09-30',
  }
  return spacedJson(facts)
}

/** An object of one level, a member a line. */
export function spacedJson(facts: Readonly<Record<string, string | null>>): string {
  const lines = Object.entries(facts).map(([name, value]) => `  ${JSON.stringify(name)} : ${JSON.stringify(value)}`)
  return `{\n${lines.join(',\n')}\n}`
}

/** `2026-01-02T03:04:05Z` */
export function wholeSeconds(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
