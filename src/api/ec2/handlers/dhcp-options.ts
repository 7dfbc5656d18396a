import type { Cloud } from '../../../cloud/cloud.ts'
import { noDhcpOptions } from '../../../cloud/network/dhcp-options.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { ec2DhcpOptions } from '../shared/border-shapes.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'

export const dhcpOptionsHandlers = {
  async CreateDhcpOptions(input, context) {
    const { 'dhcp-options': tags } = readTagSpecifications(input.TagSpecifications, ['dhcp-options'])
    if (!input.DhcpConfigurations?.length) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter DhcpConfiguration')
    }
    const configurations = input.DhcpConfigurations.map(({ Key: key = '', Values: values = [] }) => ({ key, values }))
    const made = await context.cloud.dhcpOptions.create(scopeOf(context), { configurations, tags })
    return { DhcpOptions: ec2DhcpOptions(made, tags) }
  },

  async AssociateDhcpOptions(input, context) {
    const given = input.DhcpOptionsId!
    const id = given === noDhcpOptions ? noDhcpOptions : readId('dhcpOptions', given)
    await context.cloud.dhcpOptions.associate(scopeOf(context), id, readId('vpc', input.VpcId!))
    return {}
  },

  async DeleteDhcpOptions(input, context) {
    await context.cloud.dhcpOptions.delete(scopeOf(context), readId('dhcpOptions', input.DhcpOptionsId!))
    return {}
  },

  async DescribeDhcpOptions(input, context) {
    const { items, NextToken } = await describe('DescribeDhcpOptions', input, context, {
      kind: 'dhcpOptions',
      ids: ['DhcpOptionsIds', input.DhcpOptionsIds],
      list: (request) => context.cloud.dhcpOptions.list(scopeOf(context), request),
      shape: ec2DhcpOptions,
    })
    return { DhcpOptions: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'dhcpOptions' | 'tags'>>
