/** Launch templates. Source: their operations in the EC2 API reference. */
import type { LaunchTemplate as Ec2LaunchTemplate } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { LaunchTemplate } from '../../../cloud/launch-templates/launch-templates.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { instanceTemplateData } from '../shared/instance-template-data.ts'
import { templateContents } from '../shared/launch-template-data.ts'
import { readTemplateRef, readVersion } from '../shared/launch-template-refs.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { templateWarning } from '../shared/template-launch.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags, rootArn } from '../shared/views.ts'

export const launchTemplateHandlers = {
  async CreateLaunchTemplate(input, context) {
    refuseGiven({ Operator: input.Operator })
    // Tags of the template; those of what it launches are part of its data.
    const { 'launch-template': tags } = readTagSpecifications(input.TagSpecifications, ['launch-template'])
    const contents = templateContents(input.LaunchTemplateData!)
    const template = await context.cloud.launchTemplates.create(scopeOf(context), {
      name: input.LaunchTemplateName!,
      description: readDescription(input.VersionDescription),
      ...{ contents, tags },
      clientToken: readClientToken(input, limits.launchTemplateTokenLength),
    })
    return { LaunchTemplate: ec2LaunchTemplate(template, tags), Warning: templateWarning(contents.data) }
  },

  async DescribeLaunchTemplates(input, context) {
    const scope = scopeOf(context)
    const page = await context.cloud.launchTemplates.list(scope, {
      ids: readIds('launchTemplate', input.LaunchTemplateIds),
      names: input.LaunchTemplateNames?.length ? input.LaunchTemplateNames : undefined,
      filters: readFilters(input.Filters),
      page: readPage('DescribeLaunchTemplates', input, scope, { min: 1, max: limits.launchTemplatePageMax }),
    })
    const tags = await tagsOf(context, page.items)
    return {
      LaunchTemplates: page.items.map((template) => ec2LaunchTemplate(template, tags.get(template.id))),
      NextToken: nextTokenOf('DescribeLaunchTemplates', scope, page.next),
    }
  },

  async ModifyLaunchTemplate(input, context) {
    const ref = readTemplateRef(input)
    readClientToken(input, limits.launchTemplateTokenLength)
    if (!input.DefaultVersion) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter SetDefaultVersion')
    }
    const version = readVersion('SetDefaultVersion', input.DefaultVersion)
    const template = await context.cloud.launchTemplates.setDefault(scopeOf(context), ref, version)
    const tags = await tagsOf(context, [template])
    return { LaunchTemplate: ec2LaunchTemplate(template, tags.get(template.id)) }
  },

  async DeleteLaunchTemplate(input, context) {
    const template = await context.cloud.launchTemplates.delete(scopeOf(context), readTemplateRef(input))
    return { LaunchTemplate: ec2LaunchTemplate(template, []) }
  },

  async GetLaunchTemplateData(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const view = await cloud.instances.view(scope, readId('instance', input.InstanceId!))
    const ids = view.attachments.map((attachment) => attachment.volumeId)
    const volumes = ids.length > 0 ? (await cloud.volumes.list(scope, { ids })).items : []
    const byId = new Map(volumes.map((volume) => [volume.id, volume]))
    return { LaunchTemplateData: instanceTemplateData(view, byId, await cloud.tags.of(scope, [view.id])) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'launchTemplates' | 'tags' | 'instances' | 'volumes'>>

const descriptionLengthMax = 255

export function readDescription(text: string | undefined): string | null {
  if (text && text.length > descriptionLengthMax) {
    throw new KilnError(
      'InvalidParameterValue',
      `VersionDescription has ${text.length} characters; at most ${descriptionLengthMax} are allowed.`,
    )
  }
  return text || null
}

function tagsOf(context: RequestContext<Pick<Cloud, 'tags'>>, templates: readonly LaunchTemplate[]) {
  return context.cloud.tags.of(
    scopeOf(context),
    templates.map((template) => template.id),
  )
}

function ec2LaunchTemplate(template: LaunchTemplate, tags: readonly Tag[] | undefined): Ec2LaunchTemplate {
  return {
    LaunchTemplateId: template.id,
    LaunchTemplateName: template.name,
    CreateTime: new Date(template.createdAt),
    CreatedBy: rootArn(template.accountId),
    DefaultVersionNumber: template.defaultVersion,
    LatestVersionNumber: template.latestVersion,
    Tags: ec2Tags(tags),
  }
}
