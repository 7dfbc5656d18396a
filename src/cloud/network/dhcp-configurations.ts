/** Single DHCP options as requests word them. Source: CreateDhcpOptions in the EC2 API reference. */
import ipaddr from 'ipaddr.js'
import { KilnError } from '../../lib/errors.ts'
import type { DhcpPlan } from '../ports.ts'

export interface DhcpConfiguration {
  key: string
  values: readonly string[]
}

/** Stands for the resolver of the VPC itself. */
export const amazonDns = 'AmazonProvidedDNS'

const serversMax = 4
const domainNameMax = 255
/** Seconds. */
const leaseTimes = { min: 140, max: 2_147_483_647 }

type Check = (values: readonly string[], key: string) => void

const checks: Readonly<Record<string, Check>> = {
  'domain-name': only((value) => value.length <= domainNameMax && /^[\w.-]+( [\w.-]+)*$/.test(value)),
  'domain-name-servers': servers((value) => value === amazonDns || isAddress(value)),
  'ntp-servers': ntpServers,
  'netbios-name-servers': servers((value) => ipaddr.IPv4.isValidFourPartDecimal(value)),
  'netbios-node-type': only((value) => ['1', '2', '4', '8'].includes(value)),
  'ipv6-address-preferred-lease-time': only(
    (value) => /^\d{1,10}$/.test(value) && Number(value) >= leaseTimes.min && Number(value) <= leaseTimes.max,
  ),
}

/** Several servers may be in one value, with commas between them. Throws InvalidParameterValue. */
export function checkConfiguration({ key, values: given }: DhcpConfiguration): DhcpConfiguration {
  const check = Object.hasOwn(checks, key) ? checks[key] : undefined
  if (!check) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${key.slice(0, 100)}) for parameter DhcpConfiguration.Key is invalid. Unknown DHCP option`,
    )
  }
  const values = given.flatMap((value) => value.split(',')).map((value) => value.trim())
  if (values.length === 0) throw invalid(key, '')
  check(values, key)
  return { key, values }
}

function only(isValid: (value: string) => boolean): Check {
  return (values, key) => {
    const wrong = values.length > 1 ? values.join(',') : values.find((value) => !isValid(value))
    if (wrong !== undefined) throw invalid(key, wrong)
  }
}

function servers(isValid: (value: string) => boolean): Check {
  return (values, key) => {
    const wrong = values.find((value) => !isValid(value))
    if (wrong !== undefined) throw invalid(key, wrong)
    if (values.length > serversMax) throw tooMany(key)
  }
}

/** Four of each kind. */
function ntpServers(values: readonly string[], key: string): void {
  const wrong = values.find((value) => !isAddress(value))
  if (wrong !== undefined) throw invalid(key, wrong)
  const ipv6 = values.filter((value) => value.includes(':')).length
  if (Math.max(ipv6, values.length - ipv6) > serversMax) throw tooMany(key)
}

const isAddress = (value: string) => ipaddr.IPv4.isValidFourPartDecimal(value) || ipaddr.IPv6.isValid(value)

const invalid = (key: string, value: string) =>
  new KilnError(
    'InvalidParameterValue',
    `Value (${value.slice(0, 100)}) for the DHCP option ${key} (DhcpConfiguration.Value) is invalid`,
  )

const tooMany = (key: string) =>
  new KilnError(
    'InvalidParameterValue',
    `The DHCP option ${key} (DhcpConfiguration.Value) takes at most ${serversMax} servers`,
  )

/** What guests are told of it. They have no IPv6 here, so its servers are of no use to them. */
export function dhcpPlanOf(configurations: readonly DhcpConfiguration[]): DhcpPlan {
  const valuesOf = (key: string) =>
    (configurations.find((one) => one.key === key)?.values ?? []).filter((value) => !value.includes(':'))
  const nodeType = valuesOf('netbios-node-type')[0]
  return {
    domainName: valuesOf('domain-name')[0] ?? null,
    nameServers: valuesOf('domain-name-servers').map((value) => (value === amazonDns ? 'resolver' : value)),
    ntpServers: valuesOf('ntp-servers'),
    netbiosNameServers: valuesOf('netbios-name-servers'),
    netbiosNodeType: nodeType === undefined ? null : Number(nodeType),
  }
}
