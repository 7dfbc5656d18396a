/**
 * IAM, as far as the tools of instance-store images need it: the certificates that an account signs its bundles with. Its
 * protocol (AWS Query) is that of STS. Kiln's keys belong to accounts, so that there are no users to name.
 */
import type { SigningCertificate } from '../../cloud/certificates/certificates.ts'
import type { Cloud } from '../../cloud/cloud.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'
import { queryAnswer, queryError } from '../query-answers.ts'
import { queryForm } from '../query-form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from '../service.ts'
import { element, textElement } from '../xml-writer.ts'

const namespace = 'https://iam.amazonaws.com/doc/2010-05-08/'
const idShape = /^[\w]{24,128}$/

type Form = ReturnType<typeof queryForm>
/** The content of the operation's result element; undefined when the operation answers none. */
type Handler = (cloud: Cloud, accountId: string, form: Form) => Promise<string | undefined>

const handlers: Readonly<Record<string, Handler>> = {
  async UploadSigningCertificate({ certificates }, accountId, form) {
    const row = await certificates.upload(accountId, required(form, 'CertificateBody'))
    return element('Certificate', certificateElements(row))
  },
  async ListSigningCertificates({ certificates }, accountId) {
    const rows = await certificates.list(accountId)
    const members = rows.map((row) => element('member', certificateElements(row)))
    return element('Certificates', ...members) + textElement('IsTruncated', 'false')
  },
  async UpdateSigningCertificate({ certificates }, accountId, form) {
    const status = required(form, 'Status')
    if (status !== 'Active' && status !== 'Inactive') {
      throw new KilnError('ValidationError', `Status must be Active or Inactive, and is '${clipped(status)}'`)
    }
    await certificates.setStatus(accountId, certificateId(form), status === 'Active' ? 'active' : 'inactive')
    return undefined
  },
  async DeleteSigningCertificate({ certificates }, accountId, form) {
    await certificates.delete(accountId, certificateId(form))
    return undefined
  },
}

export function createIamService({ cloud }: { cloud: Cloud }): ApiService {
  return {
    name: 'iam',
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle: (request) => handle(cloud, request),
    errorAnswer: (error, requestId) => queryError(namespace, error, requestId),
  }
}

async function handle(cloud: Cloud, request: ServiceRequest): Promise<HttpAnswer> {
  const form = queryForm(request)
  const action = form.get('Action')
  if (!action) throw new KilnError('MissingAction', 'The request must contain the parameter Action')
  request.audit.action = action
  if (!Object.hasOwn(handlers, action)) {
    throw new KilnError('InvalidAction', `The action ${clipped(action)} is not valid for this endpoint.`)
  }
  const userName = form.get('UserName')
  if (userName) {
    throw new KilnError('NoSuchEntity', `The user with name ${clipped(userName)} cannot be found.`)
  }
  const result = await handlers[action]!(cloud, request.accountId, form)
  return queryAnswer(namespace, action, request.requestId, result)
}

function certificateElements(row: SigningCertificate): string {
  return [
    textElement('UserName', row.accountId),
    textElement('CertificateId', row.id),
    textElement('CertificateBody', row.body),
    textElement('Status', row.status === 'active' ? 'Active' : 'Inactive'),
    textElement('UploadDate', new Date(row.createdAt).toISOString()),
  ].join('')
}

function required(form: Form, name: string): string {
  const value = form.get(name)
  if (!value) throw new KilnError('ValidationError', `The request must contain the parameter ${name}`)
  return value
}

function certificateId(form: Form): string {
  const id = required(form, 'CertificateId')
  if (!idShape.test(id)) throw new KilnError('ValidationError', `CertificateId cannot be '${clipped(id)}'`)
  return id
}
