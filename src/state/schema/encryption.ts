/** Tables of encryption: named keys, the data keys that they seal, and what accounts have set. Sealed bytes are hexadecimal. */
import type { Flag, TimeMs } from '../schema.ts'

export interface EncryptionKeysTable {
  /** A UUID. */
  id: string
  accountId: string
  region: string
  description: string
  state: 'enabled' | 'disabled'
  /** `alias/aws/ebs`: made by itself, shared with nobody. */
  isManaged: Flag
  /** The version that seals what is new. */
  currentVersion: number
  createdAt: TimeMs
  rotatedAt: TimeMs | null
}

/** Older versions stay, for what they have sealed. */
export interface EncryptionKeyVersionsTable {
  keyId: string
  version: number
  /** The version's key, under the master key. */
  sealed: string
  createdAt: TimeMs
}

export interface EncryptionKeyAliasesTable {
  accountId: string
  region: string
  /** `alias/…` */
  name: string
  keyId: string
  createdAt: TimeMs
}

/** Accounts that may use another's key. */
export interface EncryptionKeyGrantsTable {
  keyId: string
  grantee: string
}

/** The key of one lineage: of a volume, its snapshots, the volumes made of these, and so on. */
export interface DataKeysTable {
  id: string
  keyId: string
  keyVersion: number
  /** The data key, under that version of the named key. */
  sealed: string
  /** The data key that this one is, sealed by another named key; its own id for one that began a lineage. */
  originId: string
  createdAt: TimeMs
}

/** What an account has set for a region; no row is the same as neither. */
export interface EbsDefaultsTable {
  accountId: string
  region: string
  encryptsByDefault: Flag
  /** Null is the account's `alias/aws/ebs`. */
  defaultKeyId: string | null
}

export interface EncryptionTables {
  encryptionKeys: EncryptionKeysTable
  encryptionKeyVersions: EncryptionKeyVersionsTable
  encryptionKeyAliases: EncryptionKeyAliasesTable
  encryptionKeyGrants: EncryptionKeyGrantsTable
  dataKeys: DataKeysTable
  ebsDefaults: EbsDefaultsTable
}
