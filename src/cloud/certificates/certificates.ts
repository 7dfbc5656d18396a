/**
 * Certificates of instance-store bundles: the cloud's own, which bundles are sealed for, and those of accounts, which their
 * bundles are signed with. Source: UploadSigningCertificate and its siblings in the IAM API reference.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { BadBundle } from '../../bundles/bad-bundle.ts'
import { createIdentity, type Identity, readCertificate } from '../../bundles/identity.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { CertificateOwner, SigningCertificate } from '../../state/signing-certificates.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { cloudIdentitySetting } from '../encryption/master-key.ts'

export type { CertificateOwner, SigningCertificate }

export interface CloudIdentity {
  /** PEM. */
  certificate: string
  privateKey: KeyObject
}

/** IAM's ids of certificates: 32 capitals and digits. */
const idAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const idLength = 32

type CertificateDeps = Pick<CloudDeps, 'state' | 'random' | 'clock' | 'masterKey'>

export class Certificates {
  readonly #deps: CertificateDeps
  #cloud: Promise<CloudIdentity> | undefined

  constructor(deps: CertificateDeps) {
    this.#deps = deps
  }

  /** The cloud's own certificate and key: made once, the same for all regions and hosts of a state. */
  cloudIdentity(): Promise<CloudIdentity> {
    this.#cloud ??= this.#readOrMake().catch((error) => {
      this.#cloud = undefined
      throw error
    })
    return this.#cloud
  }

  /** Certificates (PEM) whose signature under a manifest of that account counts: its active ones, and the cloud's. */
  async trustedFor({ accountId }: Pick<Scope, 'accountId'>): Promise<string[]> {
    const { certificate } = await this.cloudIdentity()
    const all = await this.#deps.state.signingCertificates.of(accountId)
    const own = all.filter(({ status }) => status === 'active')
    return [certificate, ...own.map(({ body }) => body)]
  }

  list({ accountId, userId }: CertificateOwner): Promise<SigningCertificate[]> {
    return this.#deps.state.signingCertificates.of(accountId, userId)
  }

  async upload(owner: CertificateOwner, text: string): Promise<SigningCertificate> {
    const { pem, fingerprint } = this.#read(text)
    const { state, clock } = this.#deps
    const row: SigningCertificate = {
      ...owner,
      ...{ id: this.#newId(), body: pem, fingerprint, status: 'active', createdAt: clock.now() },
    }
    await state.transaction(async (tx) => {
      const present = await tx.signingCertificates.of(owner.accountId)
      if (present.some((each) => each.fingerprint === fingerprint)) {
        throw new KilnError('DuplicateCertificate', 'The account has this certificate already (CertificateBody)')
      }
      if (present.filter(({ userId }) => userId === owner.userId).length >= limits.signingCertificatesPerAccount) {
        throw new KilnError(
          'LimitExceeded',
          `Cannot exceed quota for SigningCertificatesPerUser: ${limits.signingCertificatesPerAccount}`,
        )
      }
      await tx.signingCertificates.insert(row)
    })
    return row
  }

  async setStatus(owner: CertificateOwner, id: string, status: SigningCertificate['status']): Promise<void> {
    if (!(await this.#deps.state.signingCertificates.setStatus(owner, id, status))) throw noSuch(id)
  }

  async delete(owner: CertificateOwner, id: string): Promise<void> {
    if (!(await this.#deps.state.signingCertificates.delete(owner, id))) throw noSuch(id)
  }

  #read(text: string): { pem: string; fingerprint: string } {
    try {
      return readCertificate(text)
    } catch (error) {
      if (error instanceof BadBundle) throw new KilnError('MalformedCertificate', `CertificateBody: ${error.message}`)
      throw error
    }
  }

  async #readOrMake(): Promise<CloudIdentity> {
    const { state, masterKey, random, clock } = this.#deps
    const known = await state.settings.value(cloudIdentitySetting)
    const text =
      known ??
      (await state.settings.getOrMake(
        cloudIdentitySetting,
        await this.#make(random.bytes(8).toString('hex'), clock.now()),
      ))
    const { certificate, sealed } = JSON.parse(text) as { certificate: string; sealed: string }
    const pem = masterKey.unseal(Buffer.from(sealed, 'hex'), cloudIdentitySetting).toString()
    return { certificate, privateKey: createPrivateKey(pem) }
  }

  async #make(serial: string, nowMs: number): Promise<() => string> {
    const made: Identity = await createIdentity({ commonName: 'Kiln', serialNumber: serial, nowMs })
    const sealed = this.#deps.masterKey.seal(Buffer.from(made.privateKey), cloudIdentitySetting).toString('hex')
    return () => JSON.stringify({ certificate: made.certificate, sealed })
  }

  #newId(): string {
    return [...this.#deps.random.bytes(idLength)].map((byte) => idAlphabet[byte % idAlphabet.length]).join('')
  }
}

const noSuch = (id: string) => new KilnError('NoSuchEntity', `The Certificate with id ${id} cannot be found.`)
