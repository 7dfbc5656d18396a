/** What an account sets for its instances: metadata options of new ones, and whether serial consoles may be entered. */
import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { scopeOf } from '../shared/scope.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const accountSettingHandlers = {
  async GetInstanceMetadataDefaults(_, context) {
    const defaults = await context.cloud.accountSettings.metadataDefaults(scopeOf(context))
    return {
      AccountLevel: {
        HttpTokens: defaults.httpTokens ?? undefined,
        HttpEndpoint: defaults.httpEndpoint ?? undefined,
        HttpPutResponseHopLimit: defaults.httpPutResponseHopLimit ?? undefined,
        InstanceMetadataTags: defaults.instanceMetadataTags ?? undefined,
        ManagedBy: 'account',
      },
    }
  },

  async ModifyInstanceMetadataDefaults(input, context) {
    refuseGiven({ HttpTokensEnforced: input.HttpTokensEnforced === 'enabled' })
    const hops = input.HttpPutResponseHopLimit
    await context.cloud.accountSettings.setMetadataDefaults(scopeOf(context), {
      ...(input.HttpTokens && { httpTokens: preference(input.HttpTokens) }),
      ...(input.HttpEndpoint && { httpEndpoint: preference(input.HttpEndpoint) }),
      ...(hops !== undefined && { httpPutResponseHopLimit: hops === -1 ? null : hops }),
      ...(input.InstanceMetadataTags && { instanceMetadataTags: preference(input.InstanceMetadataTags) }),
    })
    return { Return: true }
  },

  // A serial console is read with GetConsoleOutput. Nothing here lets anybody type into one, whatever this says.
  async GetSerialConsoleAccessStatus(_, context) {
    const isAllowed = await context.cloud.accountSettings.serialConsoleAccess(scopeOf(context))
    return { SerialConsoleAccessEnabled: isAllowed, ManagedBy: 'account' }
  },

  async EnableSerialConsoleAccess(_, context) {
    await context.cloud.accountSettings.setSerialConsoleAccess(scopeOf(context), true)
    return { SerialConsoleAccessEnabled: true }
  },

  async DisableSerialConsoleAccess(_, context) {
    await context.cloud.accountSettings.setSerialConsoleAccess(scopeOf(context), false)
    return { SerialConsoleAccessEnabled: false }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'accountSettings'>>

const preference = <Value extends string>(value: Value | 'no-preference') =>
  value === 'no-preference' ? null : (value as Exclude<Value, 'no-preference'>)
