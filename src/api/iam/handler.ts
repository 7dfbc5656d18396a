/** What a handler of an IAM operation is: the SDK's own types in and out, and the context of one request. */
import type { Cloud } from '../../cloud/cloud.ts'
import type { Caller } from '../../cloud/identity/callers.ts'
import type { IamOperations } from './model/operations.generated.ts'

export interface IamContext {
  operation: string
  /** 12 digits. */
  accountId: string
  caller: Caller
  cloud: Pick<Cloud, 'identity' | 'certificates'>
}

type OperationName = keyof IamOperations

/** The operations that are served; all others answer `UnsupportedOperation`. */
export type IamHandlers = {
  readonly [Name in OperationName]?: (
    input: IamOperations[Name]['input'],
    context: IamContext,
  ) => Promise<IamOperations[Name]['output']>
}
