/** The versions of launch templates. Source: their operations in the EC2 API reference. */
import type {
  DeleteLaunchTemplateVersionsResponseErrorItem,
  DeleteLaunchTemplateVersionsResponseSuccessItem,
  DescribeLaunchTemplateVersionsRequest,
  LaunchTemplateErrorCode,
  LaunchTemplateVersion,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { LaunchTemplateVersionView } from '../../../cloud/launch-templates/launch-templates.ts'
import { type ErrorCode, isKilnError, KilnError, messageOf } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { basedOn, templateContents, templateData } from '../shared/launch-template-data.ts'
import {
  readOptionalTemplateRef,
  readTemplateRef,
  readVersion,
  readVersionNumber,
} from '../shared/launch-template-refs.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { templateWarning } from '../shared/template-launch.ts'
import { rootArn } from '../shared/views.ts'
import { readDescription } from './launch-templates.ts'

export const launchTemplateVersionHandlers = {
  async CreateLaunchTemplateVersion(input, context) {
    const version = await context.cloud.launchTemplates.createVersion(scopeOf(context), readTemplateRef(input), {
      source: input.SourceVersion ? readVersion('SourceVersion', input.SourceVersion) : null,
      description: readDescription(input.VersionDescription),
      write: (source) => templateContents(basedOn(source, input.LaunchTemplateData!)),
      clientToken: readClientToken(input, limits.launchTemplateTokenLength),
    })
    return { LaunchTemplateVersion: ec2Version(version), Warning: templateWarning(version.data) }
  },

  async DescribeLaunchTemplateVersions(input, context) {
    const scope = scopeOf(context)
    const ref = readOptionalTemplateRef(input)
    const page = await context.cloud.launchTemplates.listVersions(scope, ref, {
      ...readChoice(input, ref !== null),
      filters: readFilters(input.Filters),
      page: readPage('DescribeLaunchTemplateVersions', input, scope, { min: 1, max: limits.launchTemplatePageMax }),
    })
    return {
      LaunchTemplateVersions: page.items.map(ec2Version),
      NextToken: nextTokenOf('DescribeLaunchTemplateVersions', scope, page.next),
    }
  },

  async DeleteLaunchTemplateVersions(input, context) {
    const numbers = readDeletions(input.Versions!)
    try {
      const ref = readTemplateRef(input)
      const { template, outcomes } = await context.cloud.launchTemplates.deleteVersions(scopeOf(context), ref, numbers)
      const about = { LaunchTemplateId: template.id, LaunchTemplateName: template.name }
      const deleted = outcomes.filter(({ outcome }) => outcome === 'deleted')
      const kept = outcomes.filter(({ outcome }) => outcome !== 'deleted')
      return deletions(
        deleted.map(({ version }) => ({ ...about, VersionNumber: version })),
        kept.map(({ version, outcome }) => ({ ...about, VersionNumber: version, ResponseError: whyKept(outcome) })),
      )
    } catch (error) {
      const code = isKilnError(error) ? templateErrors[error.code] : undefined
      if (!code) throw error
      const { LaunchTemplateId, LaunchTemplateName } = input
      const about = { LaunchTemplateId, LaunchTemplateName, ResponseError: { Code: code, Message: messageOf(error) } }
      return deletions(
        [],
        numbers.map((version) => ({ ...about, VersionNumber: version })),
      )
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'launchTemplates'>>

/** Throws for what EC2 takes only of a template that is named, and for versions that are named in two ways. */
function readChoice(input: DescribeLaunchTemplateVersionsRequest, isOfOne: boolean) {
  const { MinVersion: min, MaxVersion: max } = input
  const versions = (input.Versions ?? []).map((version) => readVersion('LaunchTemplateVersion', version))
  const needsTemplate = versions.length === 0 || min || max || versions.some((version) => typeof version === 'number')
  if (!isOfOne && needsTemplate) {
    throw new KilnError(
      'MissingParameter',
      'The request must contain the parameter LaunchTemplateId or LaunchTemplateName, or no versions (LaunchTemplateVersion) but $Latest and $Default',
    )
  }
  if (versions.length > 0 && (min || max)) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter LaunchTemplateVersion may not be used in combination with MinVersion or MaxVersion',
    )
  }
  return {
    versions,
    min: min ? readVersionNumber('MinVersion', min) : undefined,
    max: max ? readVersionNumber('MaxVersion', max) : undefined,
  }
}

function readDeletions(versions: readonly string[]): number[] {
  if (versions.length > limits.launchTemplateVersionsPerRequest) {
    throw new KilnError(
      'InvalidParameterValue',
      `The parameter LaunchTemplateVersion has ${versions.length} items; at most ${limits.launchTemplateVersionsPerRequest} are allowed.`,
    )
  }
  return [...new Set(versions.map((version) => readVersionNumber('LaunchTemplateVersion', version)))]
}

/** Told for each version, as the model has it, where other operations refuse the request. */
const templateErrors: { readonly [Code in ErrorCode]?: LaunchTemplateErrorCode } = {
  'InvalidLaunchTemplateId.NotFound': 'launchTemplateIdDoesNotExist',
  'InvalidLaunchTemplateId.Malformed': 'launchTemplateIdMalformed',
  'InvalidLaunchTemplateName.NotFoundException': 'launchTemplateNameDoesNotExist',
}

function whyKept(outcome: 'deleted' | 'absent' | 'default') {
  if (outcome === 'default') {
    return { Code: 'unexpectedError', Message: 'The default version of a launch template cannot be deleted.' } as const
  }
  return { Code: 'launchTemplateVersionDoesNotExist', Message: 'The launch template has no such version.' } as const
}

const deletions = (
  deleted: DeleteLaunchTemplateVersionsResponseSuccessItem[],
  kept: DeleteLaunchTemplateVersionsResponseErrorItem[],
) => ({ SuccessfullyDeletedLaunchTemplateVersions: deleted, UnsuccessfullyDeletedLaunchTemplateVersions: kept })

function ec2Version(version: LaunchTemplateVersionView): LaunchTemplateVersion {
  return {
    LaunchTemplateId: version.templateId,
    LaunchTemplateName: version.templateName,
    VersionNumber: version.version,
    VersionDescription: version.description ?? undefined,
    CreateTime: new Date(version.createdAt),
    CreatedBy: rootArn(version.accountId),
    DefaultVersion: version.version === version.defaultVersion,
    LaunchTemplateData: templateData(version.data),
  }
}
