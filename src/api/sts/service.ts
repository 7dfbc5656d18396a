/**
 * STS, as far as the tools that people use with EC2 ask for it: who am I? Its protocol (AWS Query) is EC2's with another
 * envelope around answers and errors.
 */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'
import { queryAnswer, queryError } from '../query-answers.ts'
import { queryForm } from '../query-form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from '../service.ts'
import { textElement } from '../xml-writer.ts'

const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/'

/** The operations of STS, so that those that are not served can say so. */
const operations: ReadonlySet<string> = new Set([
  'AssumeRole',
  'AssumeRoleWithSAML',
  'AssumeRoleWithWebIdentity',
  'AssumeRoot',
  'DecodeAuthorizationMessage',
  'GetAccessKeyInfo',
  'GetCallerIdentity',
  'GetDelegatedAccessToken',
  'GetFederationToken',
  'GetSessionToken',
  'GetWebIdentityToken',
])

export function createStsService(): ApiService {
  return {
    name: 'sts',
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer: (error, requestId) => queryError(namespace, error, requestId),
  }
}

async function handle(request: ServiceRequest): Promise<HttpAnswer> {
  const action = queryForm(request).get('Action')
  if (!action) throw new KilnError('MissingAction', 'The request must contain the parameter Action')
  if (!operations.has(action)) {
    throw new KilnError('InvalidAction', `The action ${clipped(action)} is not valid for this web service.`)
  }
  request.audit.action = action
  if (action !== 'GetCallerIdentity') {
    throw new KilnError('UnsupportedOperation', `The ${action} operation is not supported by Kiln.`)
  }
  const { accountId } = request
  // Kiln's keys belong to accounts, not to users: every caller is the account itself.
  const result = [
    textElement('Arn', `arn:aws:iam::${accountId}:root`),
    textElement('UserId', accountId),
    textElement('Account', accountId),
  ]
  return queryAnswer(namespace, action, request.requestId, result.join(''))
}
