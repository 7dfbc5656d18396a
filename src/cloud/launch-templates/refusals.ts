/** Why a launch template is refused. Source: "Error codes for the Amazon EC2 API" in the EC2 API reference. */
import { KilnError } from '../../lib/errors.ts'
import type { LaunchTemplate } from '../../state/launch-templates.ts'

/** Throws InvalidLaunchTemplateName.MalformedException. */
export function checkTemplateName(name: string): void {
  if (/^[a-zA-Z0-9().\-/_]{3,128}$/.test(name)) return
  throw new KilnError(
    'InvalidLaunchTemplateName.MalformedException',
    'A launch template name (LaunchTemplateName) must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _',
  )
}

export const alreadyExists = () =>
  new KilnError(
    'InvalidLaunchTemplateName.AlreadyExistsException',
    'Launch template name already in use (LaunchTemplateName).',
  )

export const notFound = (id: string) =>
  new KilnError('InvalidLaunchTemplateId.NotFound', `The launch template '${id}' (LaunchTemplateId) does not exist.`)

export const nameNotFound = (name: string) =>
  new KilnError(
    'InvalidLaunchTemplateName.NotFoundException',
    `The launch template named '${name.slice(0, 128)}' (LaunchTemplateName) does not exist.`,
  )

export const versionNotFound = ({ id, name }: Pick<LaunchTemplate, 'id' | 'name'>, version: number) =>
  new KilnError(
    'InvalidLaunchTemplateId.VersionNotFound',
    `Could not find version ${version} of the launch template '${name}' (${id}).`,
  )
