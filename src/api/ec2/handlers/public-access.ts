/** Block public access, for snapshots and for images. Nothing but the account itself decides on it. */
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { scopeOf } from '../shared/scope.ts'

export const publicAccessHandlers = {
  async EnableSnapshotBlockPublicAccess(input, context) {
    if (input.State === 'unblocked') {
      throw new KilnError(
        'InvalidParameterValue',
        'Value (unblocked) for parameter State is invalid. Use DisableSnapshotBlockPublicAccess instead.',
      )
    }
    await context.cloud.publicAccess.set(scopeOf(context), 'snapshot', input.State!)
    return { State: input.State }
  },

  async DisableSnapshotBlockPublicAccess(_, context) {
    await context.cloud.publicAccess.set(scopeOf(context), 'snapshot', 'unblocked')
    return { State: 'unblocked' }
  },

  async GetSnapshotBlockPublicAccessState(_, context) {
    return { State: await context.cloud.publicAccess.get(scopeOf(context), 'snapshot'), ManagedBy: 'account' }
  },

  async EnableImageBlockPublicAccess(input, context) {
    await context.cloud.publicAccess.set(scopeOf(context), 'image', input.ImageBlockPublicAccessState!)
    return { ImageBlockPublicAccessState: input.ImageBlockPublicAccessState }
  },

  async DisableImageBlockPublicAccess(_, context) {
    await context.cloud.publicAccess.set(scopeOf(context), 'image', 'unblocked')
    return { ImageBlockPublicAccessState: 'unblocked' }
  },

  async GetImageBlockPublicAccessState(_, context) {
    const state = await context.cloud.publicAccess.get(scopeOf(context), 'image')
    return { ImageBlockPublicAccessState: state, ManagedBy: 'account' }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'publicAccess'>>
