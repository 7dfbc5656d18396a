/**
 * What a version of a launch template says. It is kept as the request gave it, and answers give it back as it is: the
 * members of RequestLaunchTemplateData and of ResponseLaunchTemplateData have the same names.
 */
import type { RequestLaunchTemplateData, ResponseLaunchTemplateData } from '@aws-sdk/client-ec2'
import type { LaunchTemplateFacts, VersionContents } from '../../../cloud/launch-templates/launch-templates.ts'
import { launchTagTypes, readUserData } from './launch-request.ts'
import { readTagSpecifications } from './tag-specifications.ts'

/**
 * Throws what EC2 refuses in a template at once: user data that are no base64 or too long, tags that no resource may have.
 * All else is told when an instance is launched.
 */
export function templateContents(data: RequestLaunchTemplateData): VersionContents {
  readUserData(data.UserData)
  readTagSpecifications(data.TagSpecifications, launchTagTypes)
  return { data: JSON.stringify(data), facts: factsOf(data) }
}

/** Dates were written as texts; there is one. */
export function templateData(text: string): ResponseLaunchTemplateData {
  const data = JSON.parse(text) as ResponseLaunchTemplateData
  const spot = data.InstanceMarketOptions?.SpotOptions
  if (spot?.ValidUntil) spot.ValidUntil = new Date(spot.ValidUntil)
  return data
}

/**
 * What a new version says that is based on another: whatever it names itself replaces the same parameter there. Snapshots
 * of block devices are not taken over. Source: CreateLaunchTemplateVersion in the EC2 API reference.
 */
export function basedOn(source: string | undefined, data: RequestLaunchTemplateData): RequestLaunchTemplateData {
  if (source === undefined) return data
  const { BlockDeviceMappings: devices, ...rest } = templateData(source) as RequestLaunchTemplateData
  const inherited = devices?.map(({ Ebs: ebs, ...mapping }) => {
    if (!ebs) return mapping
    const { SnapshotId: _, ...kept } = ebs
    return { ...mapping, Ebs: kept }
  })
  return { ...rest, ...(inherited && { BlockDeviceMappings: inherited }), ...data }
}

function factsOf(data: RequestLaunchTemplateData): LaunchTemplateFacts {
  const { Placement: placement, MetadataOptions: metadata, IamInstanceProfile: profile } = data
  const some = (...values: readonly unknown[]) => values.filter((value) => value !== undefined).map(String)
  return {
    'ebs-optimized': some(data.EbsOptimized),
    'host-resource-group-arn': some(placement?.HostResourceGroupArn),
    'http-endpoint': some(metadata?.HttpEndpoint),
    'http-tokens': some(metadata?.HttpTokens),
    'iam-instance-profile': some(profile?.Arn),
    'image-id': some(data.ImageId),
    'instance-type': some(data.InstanceType),
    'kernel-id': some(data.KernelId),
    'license-configuration-arn': some(
      ...(data.LicenseSpecifications ?? []).map((each) => each.LicenseConfigurationArn),
    ),
    'network-card-index': some(...(data.NetworkInterfaces ?? []).map((each) => each.NetworkCardIndex)),
    'ram-disk-id': some(data.RamDiskId),
  }
}
