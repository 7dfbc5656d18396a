import type { VolumeAttachment as Ec2VolumeAttachment } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { VolumeView } from '../../../cloud/volumes/volumes.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const volumeAttachmentHandlers: Ec2Handlers<Cloud> = {
  async AttachVolume(input, context) {
    refuseGiven({ EbsCardIndex: (input.EbsCardIndex ?? 0) !== 0 })
    const attachment = await context.cloud.volumeAttachments.attach(scopeOf(context), {
      volumeId: readId('volume', input.VolumeId!),
      instanceId: readId('instance', input.InstanceId!),
      deviceName: input.Device!,
    })
    return ec2Attachment(attachment)
  },

  async DetachVolume(input, context) {
    const attachment = await context.cloud.volumeAttachments.detach(scopeOf(context), {
      volumeId: readId('volume', input.VolumeId!),
      instanceId: input.InstanceId ? readId('instance', input.InstanceId) : null,
      deviceName: input.Device || null,
      force: input.Force ?? false,
    })
    return ec2Attachment(attachment)
  },
}

export function ec2Attachment(attachment: VolumeView['attachments'][number]): Ec2VolumeAttachment {
  return {
    VolumeId: attachment.volumeId,
    InstanceId: attachment.instanceId,
    Device: attachment.deviceName,
    State: attachment.state,
    AttachTime: new Date(attachment.attachedAt),
    DeleteOnTermination: attachment.deleteOnTermination === 1,
  }
}
