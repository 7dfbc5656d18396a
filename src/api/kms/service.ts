/**
 * KMS, as far as whoever encrypts volumes asks for it: keys are made, named, listed, switched off and on, and rotated.
 * Nothing is encrypted for callers.
 */
import type { Cloud } from '../../cloud/cloud.ts'
import { createJsonService } from '../json-protocol.ts'
import type { ApiService } from '../service.ts'
import { kmsHandlers } from './handlers.ts'

export type KmsCloud = Pick<Cloud, 'enter' | 'encryptionKeys'>

export function createKmsService({ cloud }: { cloud: KmsCloud }): ApiService {
  return createJsonService({
    ...{ name: 'kms', title: 'KMS', targetPrefix: 'TrentService', handlers: kmsHandlers },
    async call(handler, input, scope) {
      await cloud.enter(scope)
      return await handler(input, { scope, keys: cloud.encryptionKeys })
    },
    messageMember: 'message',
    exceptions: {
      CustomerKeyHasBeenRevoked: 'DisabledException',
      InternalError: 'KMSInternalException',
      InvalidParameterValue: 'ValidationException',
      ResourceLimitExceeded: 'LimitExceededException',
      SerializationException: 'ValidationException',
    },
  })
}
