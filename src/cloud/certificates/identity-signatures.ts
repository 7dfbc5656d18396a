/**
 * Signatures of instance identity documents: whoever has the cloud's certificate can tell that a document comes from this
 * cloud, and which instance it is of. The key is the one that bundles are sealed for; what it signs there is text in XML
 * with SHA-1, so neither signature can be taken for the other.
 *
 * Source: "Verify the instance identity document for an Amazon EC2 instance" in the Amazon EC2 user guide.
 */
import { sign } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { CloudIdentity } from './certificates.ts'

export interface DocumentSignatures {
  /** RSA with SHA-256 over the document: base64, in lines. */
  signature: string
  /** The document within a signed message of PKCS #7, with no certificate: PEM without its first and last line. */
  pkcs7: string
}

/** Documents change when their instance is started anew; programs ask again and again. */
const documentsKept = 1000
const lineLength = 64

export class IdentitySignatures {
  readonly #certificates: { cloudIdentity(): Promise<CloudIdentity> }
  readonly #made = new LRUCache<string, DocumentSignatures>({ max: documentsKept })

  constructor(certificates: { cloudIdentity(): Promise<CloudIdentity> }) {
    this.#certificates = certificates
  }

  async of(document: string): Promise<DocumentSignatures> {
    const known = this.#made.get(document)
    if (known) return known
    const identity = await this.#certificates.cloudIdentity()
    const made = {
      signature: inLines(sign('sha256', Buffer.from(document), identity.privateKey).toString('base64')),
      pkcs7: await signedMessage(document, identity),
    }
    this.#made.set(document, made)
    return made
  }
}

/** Carries no certificate, as EC2's: a verifier must bring the one that it believes in. */
async function signedMessage(document: string, { certificate, privateKey }: CloudIdentity): Promise<string> {
  const { default: forge } = await import('node-forge')
  const message = forge.pkcs7.createSignedData()
  message.content = forge.util.createBuffer(document, 'utf8')
  message.addSigner({
    key: forge.pki.privateKeyFromPem(String(privateKey.export({ type: 'pkcs1', format: 'pem' }))),
    certificate: forge.pki.certificateFromPem(certificate),
    digestAlgorithm: forge.pki.oids.sha256!,
  })
  message.sign()
  const bytes = Buffer.from(forge.asn1.toDer(message.toAsn1()).getBytes(), 'latin1')
  return inLines(bytes.toString('base64'))
}

const inLines = (base64: string) => base64.match(new RegExp(`.{1,${lineLength}}`, 'g'))!.join('\n')
