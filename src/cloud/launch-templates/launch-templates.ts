/**
 * Launch templates: what is to be launched, in numbered versions that never change. The contents of a version belong to
 * whoever writes and reads them; here they are a text. Source: "Store instance launch parameters in Amazon EC2 launch
 * templates" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type {
  LaunchTemplate,
  LaunchTemplateFacts,
  LaunchTemplateVersion,
  LaunchTemplateVersionView,
} from '../../state/launch-templates.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { idsWithout } from '../asked-ids.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { alreadyExists, checkTemplateName, nameNotFound, notFound, versionNotFound } from './refusals.ts'

export type { LaunchTemplate, LaunchTemplateFacts, LaunchTemplateVersionView }

export type LaunchTemplateRef = { id: string } | { name: string }
/** A number, or what EC2 calls `$Latest` and `$Default`. */
export type VersionName = number | 'latest' | 'default'

/** What a version says: a text, and what it can be found by. */
export interface VersionContents {
  data: string
  facts: LaunchTemplateFacts
}

interface NewVersion {
  description: string | null
  clientToken?: ClientToken | undefined
}

export class LaunchTemplates {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InvalidLaunchTemplateName.MalformedException and InvalidLaunchTemplateName.AlreadyExistsException. */
  async create(
    scope: Scope,
    request: NewVersion & { name: string; contents: VersionContents; tags: readonly Tag[] },
  ): Promise<LaunchTemplate> {
    const { state, random, clock } = this.#deps
    const { accountId, region } = scope
    const { name, tags, contents, description } = request
    checkTemplateName(name)
    const [id] = await createOnce(this.#deps, scope, 'CreateLaunchTemplate', request.clientToken, async (tx) => {
      if (await tx.launchTemplates.named(accountId, region, name)) throw alreadyExists()
      if ((await tx.launchTemplates.count(accountId, region)) >= limits.launchTemplatesPerRegion) {
        throw new KilnError(
          'ResourceLimitExceeded',
          `An account can have at most ${limits.launchTemplatesPerRegion} launch templates in a region`,
        )
      }
      const template = { ...scope, id: newId('launchTemplate', random), name, createdAt: clock.now() }
      await tx.launchTemplates.insert({ ...template, defaultVersion: 1, latestVersion: 1, versionsMade: 1 })
      await this.#insertVersion(tx, { templateId: template.id, version: 1, description }, contents)
      await tx.tags.put({ id: template.id, type: 'launch-template', ...scope }, tags)
      return [template.id]
    })
    return findTemplate(state, scope, { id: id! })
  }

  /** `write` is given what the source version says, if there is one. */
  async createVersion(
    scope: Scope,
    ref: LaunchTemplateRef,
    request: NewVersion & { source: VersionName | null; write(source: string | undefined): VersionContents },
  ): Promise<LaunchTemplateVersionView> {
    const { state } = this.#deps
    const { source, description } = request
    const [made] = await createOnce(
      this.#deps,
      scope,
      'CreateLaunchTemplateVersion',
      request.clientToken,
      async (tx) => {
        const template = await findTemplate(tx, scope, ref)
        if ((await tx.launchTemplates.countVersions(template.id)) >= limits.versionsPerLaunchTemplate) {
          throw new KilnError(
            'ResourceLimitExceeded',
            `A launch template can have at most ${limits.versionsPerLaunchTemplate} versions`,
          )
        }
        const from = source === null ? undefined : await findVersion(tx, template, source)
        const version = template.versionsMade + 1
        await this.#insertVersion(tx, { templateId: template.id, version, description }, request.write(from?.data))
        await tx.launchTemplates.update(template.id, { latestVersion: version, versionsMade: version })
        return [`${template.id}:${version}`]
      },
    )
    const [id, version] = made!.split(':') as [string, string]
    const template = await findTemplate(state, scope, { id })
    return viewOf(template, await findVersion(state, template, Number(version)))
  }

  async #insertVersion(
    tx: Repositories,
    about: Pick<LaunchTemplateVersion, 'templateId' | 'version' | 'description'>,
    { data, facts }: VersionContents,
  ): Promise<void> {
    await tx.launchTemplates.insertVersion({ ...about, data, createdAt: this.#deps.clock.now() }, facts)
  }

  /** By ids and names, or all. Throws for one that does not exist. */
  async list(
    scope: Scope,
    request: Omit<ListRequest, 'accountId'> & { names?: readonly string[] | undefined },
  ): Promise<Page<LaunchTemplate>> {
    const { launchTemplates } = this.#deps.state
    const { accountId, region } = scope
    const { ids, names, ...rest } = request
    if (!ids && !names) return launchTemplates.list(region, { ...rest, accountId })
    const byId = ids ? (await launchTemplates.list(region, { accountId, ids })).items : []
    const [missing] = idsWithout(ids ?? [], byId)
    if (missing !== undefined) throw notFound(missing)
    const byName = names ? (await launchTemplates.list(region, { accountId, names })).items : []
    const unnamed = names?.find((name) => !byName.some((row) => row.name === name))
    if (unnamed !== undefined) throw nameNotFound(unnamed)
    return launchTemplates.list(region, { ...rest, accountId, ids: [...byId, ...byName].map((row) => row.id) })
  }

  /** Of one template, or of all of the account's. Throws InvalidLaunchTemplateId.VersionNotFound. */
  async listVersions(
    scope: Scope,
    ref: LaunchTemplateRef | null,
    request: Pick<ListRequest, 'filters' | 'page'> & {
      versions: readonly VersionName[]
      min?: number | undefined
      max?: number | undefined
    },
  ): Promise<Page<LaunchTemplateVersionView>> {
    const { state } = this.#deps
    const { versions, min, max, ...rest } = request
    const numbers = versions.filter((version) => typeof version === 'number')
    const template = ref && (await findTemplate(state, scope, ref))
    if (template) {
      const present = await state.launchTemplates.present(template.id, numbers)
      const missing = numbers.find((version) => !present.has(version))
      if (missing !== undefined) throw versionNotFound(template, missing)
    }
    const choice = {
      ...(numbers.length > 0 && { numbers }),
      ...(min !== undefined && { min }),
      ...(max !== undefined && { max }),
      isLatest: versions.includes('latest'),
      isDefault: versions.includes('default'),
    }
    const whose = template ? { ids: [template.id] } : {}
    return state.launchTemplates.listVersions(scope.region, { ...rest, ...whose, choice, accountId: scope.accountId })
  }

  async version(scope: Scope, ref: LaunchTemplateRef, version: VersionName): Promise<LaunchTemplateVersionView> {
    const { state } = this.#deps
    const template = await findTemplate(state, scope, ref)
    return viewOf(template, await findVersion(state, template, version))
  }

  async setDefault(scope: Scope, ref: LaunchTemplateRef, version: VersionName): Promise<LaunchTemplate> {
    return this.#deps.state.transaction(async (tx) => {
      const template = await findTemplate(tx, scope, ref)
      const { version: defaultVersion } = await findVersion(tx, template, version)
      await tx.launchTemplates.update(template.id, { defaultVersion })
      return { ...template, defaultVersion }
    })
  }

  /** The template, with its versions, as it was. */
  async delete(scope: Scope, ref: LaunchTemplateRef): Promise<LaunchTemplate> {
    return this.#deps.state.transaction(async (tx) => {
      const template = await findTemplate(tx, scope, ref)
      await tx.tags.removeAll(template.id)
      await tx.launchTemplates.remove(template.id)
      return template
    })
  }

  /** Deletes each version that there is, but for the default one. What became of each, in the order of the numbers given. */
  async deleteVersions(
    scope: Scope,
    ref: LaunchTemplateRef,
    versions: readonly number[],
  ): Promise<{ template: LaunchTemplate; outcomes: { version: number; outcome: 'deleted' | 'absent' | 'default' }[] }> {
    return this.#deps.state.transaction(async (tx) => {
      const template = await findTemplate(tx, scope, ref)
      const present = await tx.launchTemplates.present(template.id, versions)
      const outcomes = versions.map((version) => {
        if (version === template.defaultVersion) return { version, outcome: 'default' } as const
        return { version, outcome: present.delete(version) ? 'deleted' : 'absent' } as const
      })
      for (const { version, outcome } of outcomes) {
        if (outcome === 'deleted') await tx.launchTemplates.removeVersion(template.id, version)
      }
      await tx.launchTemplates.update(template.id, { latestVersion: await tx.launchTemplates.highest(template.id) })
      return { template, outcomes }
    })
  }
}

async function findTemplate(state: Repositories, scope: Scope, ref: LaunchTemplateRef): Promise<LaunchTemplate> {
  const { accountId, region } = scope
  if ('name' in ref) {
    const named = await state.launchTemplates.named(accountId, region, ref.name)
    if (named) return named
    throw nameNotFound(ref.name)
  }
  return owned(await state.launchTemplates.get(ref.id), scope, () => notFound(ref.id))
}

async function findVersion(
  state: Repositories,
  template: LaunchTemplate,
  name: VersionName,
): Promise<LaunchTemplateVersion> {
  const { defaultVersion, latestVersion } = template
  const number = name === 'latest' ? latestVersion : name === 'default' ? defaultVersion : name
  const version = await state.launchTemplates.version(template.id, number)
  if (version) return version
  throw versionNotFound(template, number)
}

function viewOf(template: LaunchTemplate, version: LaunchTemplateVersion): LaunchTemplateVersionView {
  const { accountId, name: templateName, defaultVersion } = template
  return { ...version, accountId, templateName, defaultVersion }
}
