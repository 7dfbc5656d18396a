/** Small things that are asked of an instance, or set on it. */
import { encode } from 'jpeg-js'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Picture } from '../../../cloud/ports.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readId, readIds } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'

type Context = RequestContext<Pick<Cloud, 'instances'>>

export const instanceFactHandlers = {
  /** Machines boot by BIOS: none has UEFI's variables. An image's id, which Terraform asks with, is no instance's. */
  async GetInstanceUefiData(input, context) {
    const { id } = await context.cloud.instances.get(scopeOf(context), readId('instance', input.InstanceId!))
    throw new KilnError('UnsupportedOperation', `The instance '${id}' boots by legacy-bios and has no UEFI data.`)
  },

  /** There is no Windows here; of a Linux instance EC2 too answers an empty text. */
  async GetPasswordData(input, context) {
    const instance = await context.cloud.instances.get(scopeOf(context), readId('instance', input.InstanceId!))
    return { InstanceId: instance.id, Timestamp: new Date(instance.launchedAt), PasswordData: '' }
  },

  async GetConsoleScreenshot(input, context) {
    const id = readId('instance', input.InstanceId!)
    const picture = await context.cloud.instances.screen(scopeOf(context), id, { wake: input.WakeUp ?? false })
    return { InstanceId: id, ImageData: jpegOf(picture).toString('base64') }
  },

  async MonitorInstances(input, context) {
    return setMonitoring(context, input.InstanceIds, true)
  },

  async UnmonitorInstances(input, context) {
    return setMonitoring(context, input.InstanceIds, false)
  },
} satisfies Ec2Handlers<Pick<Cloud, 'instances'>>

/** All of the instances, or none when one of them does not exist or is terminated. EC2 answers with the way to the new state. */
async function setMonitoring(context: Context, given: readonly string[] | undefined, isOn: boolean) {
  const scope = scopeOf(context)
  const ids = readIds('instance', given)
  if (!ids) throw new KilnError('MissingParameter', 'The request must contain the parameter InstanceId')
  await context.cloud.instances.setMonitoring(scope, ids, isOn)
  const state = isOn ? ('pending' as const) : ('disabling' as const)
  return { InstanceMonitorings: ids.map((id) => ({ InstanceId: id, Monitoring: { State: state } })) }
}

const jpegQuality = 75

function jpegOf({ widthPx, heightPx, rgb }: Picture): Buffer {
  const data = Buffer.alloc(widthPx * heightPx * 4, 255)
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) rgb.copy(data, to, from, from + 3)
  return encode({ width: widthPx, height: heightPx, data }, jpegQuality).data
}
