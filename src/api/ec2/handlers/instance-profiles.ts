/** Instance profiles of instances. What happens to one takes effect at once: nothing here is seen under way. */
import type { IamInstanceProfileAssociation, IamInstanceProfileSpecification } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { InstanceProfileAssociation } from '../../../cloud/identity/instance-profile-associations.ts'
import type { ProfileWish } from '../../../cloud/identity/instance-profiles.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { readProfile } from '../shared/launch-request.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'

export const instanceProfileHandlers = {
  async AssociateIamInstanceProfile(input, context) {
    const instanceId = readId('instance', input.InstanceId!)
    const wish = requiredProfile(input.IamInstanceProfile)
    const row = await context.cloud.instanceProfileAssociations.associate(scopeOf(context), instanceId, wish)
    return { IamInstanceProfileAssociation: ec2Association(row, 'associating') }
  },

  async DisassociateIamInstanceProfile(input, context) {
    const id = readId('instanceProfileAssociation', input.AssociationId!)
    const row = await context.cloud.instanceProfileAssociations.disassociate(scopeOf(context), id)
    return { IamInstanceProfileAssociation: ec2Association(row, 'disassociating') }
  },

  async ReplaceIamInstanceProfileAssociation(input, context) {
    const id = readId('instanceProfileAssociation', input.AssociationId!)
    const wish = requiredProfile(input.IamInstanceProfile)
    const row = await context.cloud.instanceProfileAssociations.replace(scopeOf(context), id, wish)
    return { IamInstanceProfileAssociation: ec2Association(row, 'associating') }
  },

  async DescribeIamInstanceProfileAssociations(input, context) {
    const operation = 'DescribeIamInstanceProfileAssociations'
    const ids = readIds('instanceProfileAssociation', input.AssociationIds)
    const page = await context.cloud.instanceProfileAssociations.list(scopeOf(context), {
      ...(ids && { ids }),
      filters: readFilters(input.Filters),
      page: readPage(operation, input, context, { ids: { parameter: 'AssociationIds', given: ids } }),
    })
    return {
      IamInstanceProfileAssociations: page.items.map((row) => ec2Association(row, 'associated')),
      NextToken: nextTokenOf(operation, context, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'instanceProfileAssociations'>>

function requiredProfile(profile: IamInstanceProfileSpecification | undefined): ProfileWish {
  const wish = readProfile(profile)
  if (wish) return wish
  throw new KilnError(
    'MissingParameter',
    'The request must contain the parameter IamInstanceProfile.Arn or IamInstanceProfile.Name',
  )
}

const ec2Association = (
  row: InstanceProfileAssociation,
  state: IamInstanceProfileAssociation['State'],
): IamInstanceProfileAssociation => ({
  AssociationId: row.id,
  InstanceId: row.instanceId,
  IamInstanceProfile: { Arn: row.profileArn, Id: row.profileId },
  State: state,
  Timestamp: new Date(row.createdAt),
})
