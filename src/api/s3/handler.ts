/** What answers an operation of S3. */
import type { Cloud } from '../../cloud/cloud.ts'
import type { Clock } from '../../lib/clock.ts'
import type { AuthSettings } from '../http/exchange.ts'
import type { HttpAnswer } from '../service.ts'
import type { S3Operation } from './operations.ts'
import type { S3Request } from './request.ts'

export type S3Cloud = Pick<Cloud, 'enter' | 'buckets' | 'objects' | 'multipartUploads'>

/** For requests whose signature lies in their body. */
export interface S3Edge {
  auth: AuthSettings
  clock: Clock
}

export type S3Handler = (request: S3Request, cloud: S3Cloud, edge: S3Edge) => Promise<HttpAnswer>
export type S3Handlers = Readonly<Record<S3Operation, S3Handler>>
