import { type ExpressionBuilder, type Selectable, type SqlBool, sql } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { Builder, FilterRule, FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { LaunchTemplatesTable, LaunchTemplateVersionsTable } from './schema/launch-templates.ts'
import type { Database } from './schema.ts'

export type LaunchTemplate = Selectable<LaunchTemplatesTable>
export type LaunchTemplateVersion = Selectable<LaunchTemplateVersionsTable>
/** A version and what its template says of it. */
export type LaunchTemplateVersionView = LaunchTemplateVersion & {
  accountId: string
  templateName: string
  defaultVersion: number
}

const templateFilters: FilterRules = {
  tags: { tagsOf: 'launchTemplates.id' },
  'create-time': { time: 'launchTemplates.createdAt' },
  'launch-template-name': { column: 'launchTemplates.name' },
}

/** What versions can be found by beside their own columns: the names of the facts. */
export const launchTemplateFactNames = [
  'ebs-optimized',
  'host-resource-group-arn',
  'http-endpoint',
  'http-tokens',
  'iam-instance-profile',
  'image-id',
  'instance-type',
  'kernel-id',
  'license-configuration-arn',
  'network-card-index',
  'ram-disk-id',
] as const

export type LaunchTemplateFacts = { [Name in (typeof launchTemplateFactNames)[number]]?: readonly string[] }

function fact(name: string): FilterRule {
  return {
    exists: (eb, match) =>
      eb.exists(
        eb
          .selectFrom('launchTemplateFacts as f')
          .select('f.value')
          .whereRef('f.templateId', '=', 'launchTemplateVersions.templateId' as never)
          .whereRef('f.version', '=', 'launchTemplateVersions.version' as never)
          .where('f.name', '=', name)
          .where(match('f.value')),
      ),
  }
}

const isDefault = (eb: Builder) =>
  sql<SqlBool>`${eb.ref('launchTemplateVersions.version' as never)} = ${eb.ref('launchTemplates.defaultVersion' as never)}`

const versionFilters: FilterRules = {
  ...Object.fromEntries(launchTemplateFactNames.map((name) => [name, fact(name)])),
  'create-time': { time: 'launchTemplateVersions.createdAt' },
  // Metadata has an IPv4 endpoint and no other.
  'http-protocol-ipv4': fact('http-endpoint'),
  'is-default-version': { truth: isDefault },
}

/** Which versions of a list are meant. Without anything all are. */
export interface VersionChoice {
  numbers?: readonly number[]
  isLatest?: boolean
  isDefault?: boolean
  min?: number
  max?: number
}

export class LaunchTemplateRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: LaunchTemplate): Promise<void> {
    await this.#db.insertInto('launchTemplates').values(row).execute()
  }

  async insertVersion(row: LaunchTemplateVersion, facts: LaunchTemplateFacts): Promise<void> {
    const { templateId, version } = row
    await this.#db.insertInto('launchTemplateVersions').values(row).execute()
    const rows = Object.entries(facts).flatMap(([name, values]) =>
      [...new Set(values)].map((value) => ({ templateId, version, name, value })),
    )
    await insertRows(this.#db, 'launchTemplateFacts', rows)
  }

  async update(id: string, patch: Partial<Omit<LaunchTemplatesTable, 'id'>>): Promise<void> {
    await this.#db.updateTable('launchTemplates').set(patch).where('id', '=', id).execute()
  }

  get(id: string): Promise<LaunchTemplate | undefined> {
    return this.#db.selectFrom('launchTemplates').selectAll().where('id', '=', id).executeTakeFirst()
  }

  named(accountId: string, region: string, name: string): Promise<LaunchTemplate | undefined> {
    return this.#db
      .selectFrom('launchTemplates')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('name', '=', name)
      .executeTakeFirst()
  }

  async count(accountId: string, region: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('launchTemplates')
      .select((eb) => eb.fn.countAll().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  async countVersions(templateId: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('launchTemplateVersions')
      .select((eb) => eb.fn.countAll().as('count'))
      .where('templateId', '=', templateId)
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  version(templateId: string, version: number): Promise<LaunchTemplateVersion | undefined> {
    return this.#db
      .selectFrom('launchTemplateVersions')
      .selectAll()
      .where('templateId', '=', templateId)
      .where('version', '=', version)
      .executeTakeFirst()
  }

  /** Those of the numbers that the template has a version of. */
  async present(templateId: string, numbers: readonly number[]): Promise<Set<number>> {
    if (numbers.length === 0) return new Set()
    const rows = await this.#db
      .selectFrom('launchTemplateVersions')
      .select('version')
      .where('templateId', '=', templateId)
      .where('version', 'in', [...numbers])
      .execute()
    return new Set(rows.map((row) => row.version))
  }

  /** The highest number of a version that is left; 0 for none. */
  async highest(templateId: string): Promise<number> {
    const row = await this.#db
      .selectFrom('launchTemplateVersions')
      .select('version')
      .where('templateId', '=', templateId)
      .orderBy('version', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row?.version ?? 0
  }

  async removeVersion(templateId: string, version: number): Promise<void> {
    for (const table of ['launchTemplateFacts', 'launchTemplateVersions'] as const) {
      await this.#db.deleteFrom(table).where('templateId', '=', templateId).where('version', '=', version).execute()
    }
  }

  /** The template with all of its versions. */
  async remove(id: string): Promise<void> {
    for (const table of ['launchTemplateFacts', 'launchTemplateVersions'] as const) {
      await this.#db.deleteFrom(table).where('templateId', '=', id).execute()
    }
    await this.#db.deleteFrom('launchTemplates').where('id', '=', id).execute()
  }

  /** The oldest first. */
  list(region: string, request: ListRequest & { names?: readonly string[] }): Promise<Page<LaunchTemplate>> {
    let query = this.#db
      .selectFrom('launchTemplates')
      .selectAll()
      .where('launchTemplates.accountId', '=', request.accountId)
      .where('launchTemplates.region', '=', region)
    if (request.names) query = query.where('launchTemplates.name', 'in', [...request.names])
    const order = { time: 'launchTemplates.createdAt', id: 'launchTemplates.id' }
    return listPage(query, templateFilters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }

  /** The highest number first; `ids` are those of templates. */
  listVersions(
    region: string,
    request: ListRequest & { choice: VersionChoice },
  ): Promise<Page<LaunchTemplateVersionView>> {
    const { choice } = request
    let query = this.#db
      .selectFrom('launchTemplateVersions')
      .innerJoin('launchTemplates', 'launchTemplates.id', 'launchTemplateVersions.templateId')
      .selectAll('launchTemplateVersions')
      .select(['launchTemplates.accountId', 'launchTemplates.name as templateName', 'launchTemplates.defaultVersion'])
      .where('launchTemplates.accountId', '=', request.accountId)
      .where('launchTemplates.region', '=', region)
    if (choice.min !== undefined) query = query.where('launchTemplateVersions.version', '>=', choice.min)
    if (choice.max !== undefined) query = query.where('launchTemplateVersions.version', '<=', choice.max)
    if (choice.numbers || choice.isLatest || choice.isDefault) query = query.where((eb) => isChosen(eb, choice))
    const order = {
      time: 'launchTemplateVersions.version',
      id: 'launchTemplateVersions.templateId',
      isDescending: true,
    }
    return listPage(query, versionFilters, order, request, (row) => ({ time: row.version, id: row.templateId }))
  }
}

function isChosen(
  eb: ExpressionBuilder<Database, 'launchTemplateVersions' | 'launchTemplates'>,
  { numbers = [], isLatest, isDefault: isDefaultWanted }: VersionChoice,
) {
  const version = 'launchTemplateVersions.version'
  return eb.or([
    ...(numbers.length > 0 ? [eb(version, 'in', [...numbers])] : []),
    ...(isLatest ? [eb(version, '=', eb.ref('launchTemplates.latestVersion'))] : []),
    ...(isDefaultWanted ? [eb(version, '=', eb.ref('launchTemplates.defaultVersion'))] : []),
  ])
}
