/** The tables of launch templates. */
import type { TimeMs } from '../schema.ts'

export interface LaunchTemplatesTable {
  id: string
  accountId: string
  region: string
  name: string
  defaultVersion: number
  /** The highest that there is. */
  latestVersion: number
  /** The highest that there ever was: numbers are not given twice. */
  versionsMade: number
  createdAt: TimeMs
}

export interface LaunchTemplateVersionsTable {
  templateId: string
  version: number
  description: string | null
  /** What is to be launched, as whoever wrote it reads it. */
  data: string
  createdAt: TimeMs
}

/** What a version can be found by: one row for each value, under the name of the filter that looks at it. */
export interface LaunchTemplateFactsTable {
  templateId: string
  version: number
  name: string
  value: string
}

export interface LaunchTemplateTables {
  launchTemplates: LaunchTemplatesTable
  launchTemplateVersions: LaunchTemplateVersionsTable
  launchTemplateFacts: LaunchTemplateFactsTable
}
