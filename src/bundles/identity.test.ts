import { X509Certificate } from 'node:crypto'
import { expect, it } from 'vitest'
import { createIdentity } from './identity.ts'

it.each([
  ['7f11223344556677', '7F11223344556677'],
  ['ff91223344556677', 'FF91223344556677'],
  ['0011223344556677', '11223344556677'],
  ['0000f23344556677', 'F23344556677'],
  ['01', '01'],
])('a certificate with the serial %s has a positive one', async (serialNumber, read) => {
  const { certificate } = await createIdentity({ commonName: 'Kiln', serialNumber, nowMs: 0 })
  expect(new X509Certificate(certificate).serialNumber).toBe(read)
})
