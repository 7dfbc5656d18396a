/** What the state promises of certificates and of disks in the instance store. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { SigningCertificate } from './signing-certificates.ts'
import { account, other } from './snapshots.suite.ts'
import type { State } from './state.ts'

export function instanceStoreTests(state: () => State): void {
  describe('signing certificates', () => {
    const row = (id: string, about: Partial<SigningCertificate> = {}): SigningCertificate => ({
      ...{ id, accountId: account, body: 'PEM', fingerprint: id, status: 'active', createdAt: 1, userId: null },
      ...about,
    })

    test('are of their account, oldest first, and change for nobody else', async () => {
      const { signingCertificates } = state()
      await signingCertificates.insert(row('B', { createdAt: 2 }))
      await signingCertificates.insert(row('A'))
      await signingCertificates.insert(row('C', { accountId: other, fingerprint: 'A' }))
      expect((await signingCertificates.of(account)).map(({ id }) => id)).toEqual(['A', 'B'])
      expect(await signingCertificates.setStatus({ accountId: other, userId: null }, 'A', 'inactive')).toBe(false)
      expect(await signingCertificates.setStatus({ accountId: account, userId: null }, 'A', 'inactive')).toBe(true)
      expect(await signingCertificates.delete({ accountId: other, userId: null }, 'B')).toBe(false)
      expect(await signingCertificates.delete({ accountId: account, userId: null }, 'B')).toBe(true)
      expect(await signingCertificates.of(account)).toMatchObject([{ id: 'A', status: 'inactive' }])
    })

    test('of an account are all different', async () => {
      const { signingCertificates } = state()
      await signingCertificates.insert(row('A'))
      await expect(signingCertificates.insert(row('B', { fingerprint: 'A' }))).rejects.toThrow()
    })
  })

  describe('disks in the instance store', () => {
    const disk = (id: string, instanceId: string, slot: number) => ({
      ...{ id, instanceId, slot, virtualName: slot === 0 ? 'root' : `ephemeral${slot}` },
      ...{ deviceName: '/dev/sdb', sizeBytes: 2_000_000_000_000 },
    })

    test('are of their instance, by slot, as long as it has them', async () => {
      const { instanceDisks } = state()
      await instanceDisks.insert([disk('AWS-2', 'i-1', 23), disk('AWS-1', 'i-1', 0), disk('AWS-3', 'i-2', 5)])
      await instanceDisks.insert([])
      expect((await instanceDisks.of(['i-1', 'i-2', 'i-3'])).map(({ id }) => id)).toEqual(['AWS-1', 'AWS-2', 'AWS-3'])
      expect((await instanceDisks.of(['i-1']))[0]!.sizeBytes).toBe(2_000_000_000_000)
      expect((await instanceDisks.instanceIds()).sort()).toEqual(['i-1', 'i-2'])
      await instanceDisks.removeOf('i-1')
      expect(await instanceDisks.instanceIds()).toEqual(['i-2'])
      expect(await instanceDisks.of([])).toEqual([])
    })
  })
}
