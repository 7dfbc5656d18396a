/** What requests say of encryption, and what answers tell of it. */
import type { EncryptionWish } from '../../../cloud/encryption/encryption.ts'

export function readEncryption(input: {
  Encrypted?: boolean | undefined
  KmsKeyId?: string | undefined
}): EncryptionWish {
  return { encrypted: input.Encrypted ?? null, kmsKeyId: input.KmsKeyId || null }
}

type Arns = ReadonlyMap<string, string>

export function ec2Encryption(row: { encrypted: number; dataKeyId: string | null }, arns: Arns) {
  return { Encrypted: row.encrypted === 1, KmsKeyId: row.dataKeyId === null ? undefined : arns.get(row.dataKeyId) }
}
