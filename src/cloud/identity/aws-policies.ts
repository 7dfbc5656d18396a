/** The policies of AWS's own that are known here, as data: those around instances, their images and S3. */
import { readFileSync } from 'node:fs'

export interface AwsPolicy {
  arn: string
  id: string
  name: string
  path: string
  description: string
  version: number
  /** JSON. */
  document: string
  createdAt: number
  updatedAt: number
}

interface Written extends Omit<AwsPolicy, 'arn' | 'document' | 'createdAt' | 'updatedAt'> {
  document: object
  createdAt: string
  updatedAt: string
}

let read: readonly AwsPolicy[] | undefined

export function awsPolicies(): readonly AwsPolicy[] {
  if (read) return read
  const text = readFileSync(new URL('./aws-policies.json', import.meta.url), 'utf8')
  const { policies } = JSON.parse(text) as { policies: Written[] }
  read = policies.map((policy) => ({
    ...policy,
    arn: `arn:aws:iam::aws:policy${policy.path}${policy.name}`,
    document: JSON.stringify(policy.document),
    createdAt: Date.parse(policy.createdAt),
    updatedAt: Date.parse(policy.updatedAt),
  }))
  return read
}
