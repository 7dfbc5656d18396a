/** Certificates whose keys sign an account's bundles. */
import type { TimeMs } from '../schema.ts'

export interface SigningCertificatesTable {
  /** As IAM names them: 32 characters. */
  id: string
  accountId: string
  /** Null is the account itself. */
  userId: string | null
  /** PEM. */
  body: string
  /** SHA-256 of the certificate; hexadecimal. */
  fingerprint: string
  status: 'active' | 'inactive'
  createdAt: TimeMs
}

export interface CertificateTables {
  signingCertificates: SigningCertificatesTable
}
