/** Small pieces that many answers share. */
import type { Tag } from '../../../cloud/tags.ts'

/** `2026-11-23T08:00:00.000Z`, where EC2's model has a text instead of a time. */
export const isoTime = (timeMs: number) => new Date(timeMs).toISOString()

export const ec2Time = (timeMs: number | null) => (timeMs === null ? undefined : new Date(timeMs))

export const ec2Tags = (tags: readonly Tag[] | undefined) =>
  (tags ?? []).map(({ key, value }) => ({ Key: key, Value: value }))

/** Who creates things: Kiln knows accounts, and no users in them. */
export const rootArn = (accountId: string) => `arn:aws:iam::${accountId}:root`
