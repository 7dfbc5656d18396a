/** What a handler of an EC2 operation is: the SDK's own types in and out, and the context of one request. */
import type { Cloud } from '../../cloud/cloud.ts'
import type { Log } from '../../lib/log.ts'
import type { AuthSettings } from '../http/exchange.ts'
import type { Guest } from '../http/guests.ts'
import type { Ec2Operations } from './model/operations.generated.ts'

export type OperationName = keyof Ec2Operations
export type InputOf<Name extends OperationName> = Ec2Operations[Name]['input']
export type OutputOf<Name extends OperationName> = Ec2Operations[Name]['output']

/** Who asks, where, and what answers. */
export interface RequestContext<C = Cloud> {
  requestId: string
  /** 12 digits. */
  accountId: string
  /** One of `src/lib/regions.ts`. */
  region: string
  cloud: C
  /** How what is signed inside the request is checked. */
  auth: AuthSettings
  /** The instance that the request comes from, if it comes from one. */
  guest?: Guest | undefined
  log: Log
}

export type Ec2Handler<Name extends OperationName, C = Cloud> = (
  input: InputOf<Name>,
  context: RequestContext<C>,
) => Promise<OutputOf<Name>>

/** The operations that are served; all others answer `UnsupportedOperation`. */
export type Ec2Handlers<C = Cloud> = { readonly [Name in OperationName]?: Ec2Handler<Name, C> }
