/** The certificates that bundles are signed with: a user's, or without a name those of the account itself. */
import type { CertificateOwner, SigningCertificate } from '../../../cloud/certificates/certificates.ts'
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../../ec2/codec/form.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { iamTime, shortPage } from '../inputs.ts'
import { iamStatus, readStatus } from './access-keys.ts'

const idShape = /^[\w]{24,128}$/

export const signingCertificateHandlers = {
  async UploadSigningCertificate(input, context) {
    const { owner, userName } = await ownerOf(input.UserName, context)
    const row = await context.cloud.certificates.upload(owner, input.CertificateBody!)
    return { Certificate: iamCertificate(row, userName) }
  },

  async ListSigningCertificates(input, context) {
    const { owner, userName } = await ownerOf(input.UserName, context)
    const { items, answer } = shortPage(await context.cloud.certificates.list(owner), input, context)
    return { Certificates: items.map((row) => iamCertificate(row, userName)), ...answer }
  },

  async UpdateSigningCertificate(input, context) {
    const { owner } = await ownerOf(input.UserName, context)
    const status = readStatus(input.Status)
    await context.cloud.certificates.setStatus(owner, certificateId(input.CertificateId), status)
    return {}
  },

  async DeleteSigningCertificate(input, context) {
    const { owner } = await ownerOf(input.UserName, context)
    await context.cloud.certificates.delete(owner, certificateId(input.CertificateId))
    return {}
  },
} satisfies IamHandlers

async function ownerOf(
  name: string | undefined,
  { accountId, caller, cloud }: IamContext,
): Promise<{ owner: CertificateOwner; userName: string }> {
  const own = caller.kind === 'user' ? caller.identity : null
  const user = name === undefined ? own : await cloud.identity.all.get(accountId, 'user', name)
  return { owner: { accountId, userId: user?.id ?? null }, userName: user?.name ?? accountId }
}

const iamCertificate = (row: SigningCertificate, userName: string) => ({
  UserName: userName,
  CertificateId: row.id,
  CertificateBody: row.body,
  Status: iamStatus(row.status),
  UploadDate: iamTime(row.createdAt),
})

function certificateId(id: string | undefined): string {
  if (idShape.test(id ?? '')) return id!
  throw new KilnError('ValidationError', `CertificateId cannot be '${clipped(id ?? '')}'`)
}
