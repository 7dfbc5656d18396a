/**
 * Usage types as AWS's own reports write them: a region's code, a hyphen, and the name (`EU-EBS:VolumeUsage.gp3`). Usage in
 * us-east-1 has no code, but for services that came late. A few names differ from the volume type's.
 *
 * Sources: "AWS Region billing codes"; "Understand codes for Amazon EBS in billing and usage reports".
 */

const codes: Readonly<Record<string, string>> = {
  'af-south-1': 'AFS1',
  'ap-east-1': 'APE1',
  'ap-northeast-1': 'APN1',
  'ap-northeast-2': 'APN2',
  'ap-northeast-3': 'APN3',
  'ap-south-1': 'APS3',
  'ap-south-2': 'APS5',
  'ap-southeast-1': 'APS1',
  'ap-southeast-2': 'APS2',
  'ap-southeast-3': 'APS4',
  'ap-southeast-4': 'APS6',
  'ca-central-1': 'CAN1',
  'ca-west-1': 'CAN2',
  'eu-central-1': 'EUC1',
  'eu-central-2': 'EUC2',
  'eu-north-1': 'EUN1',
  'eu-south-1': 'EUS1',
  'eu-south-2': 'EUS2',
  'eu-west-1': 'EU',
  'eu-west-2': 'EUW2',
  'eu-west-3': 'EUW3',
  'il-central-1': 'ILC1',
  'me-central-1': 'MEC1',
  'me-south-1': 'MES1',
  'sa-east-1': 'SAE1',
  'us-east-1': 'USE1',
  'us-east-2': 'USE2',
  'us-west-1': 'USW1',
  'us-west-2': 'USW2',
}

/** The region whose usage AWS writes without a code, unless it is one of these. */
const unmarkedRegion = 'us-east-1'
const alwaysMarked = /^PublicIPv4:/

const regions: ReadonlyMap<string, string> = new Map([
  ...Object.entries(codes).map(([region, code]): [string, string] => [code, region]),
  // Ireland's, as some services write it.
  ['EUW1', 'eu-west-1'],
])

const awsNames: ReadonlyMap<string, string> = new Map([
  ['EBS:VolumeUsage.io1', 'EBS:VolumeUsage.piops'],
  ['EBS:VolumeUsage.standard', 'EBS:VolumeUsage'],
  ['EBS:VolumeP-IOPS.io1', 'EBS:VolumeP-IOPS.piops'],
])

const ownNames: ReadonlyMap<string, string> = new Map([...awsNames].map(([own, aws]) => [aws, own]))

/** `EU` for eu-west-1; undefined for a region that AWS's list does not have. */
export function billingCode(region: string): string | undefined {
  return codes[region]
}

/** `EUC1-EBS:VolumeUsage.piops` for io1 in eu-central-1. A region without a code gives the bare name. */
export function awsUsageType(usageType: string, region: string): string {
  const name = awsNames.get(usageType) ?? usageType
  const code = region === unmarkedRegion && !alwaysMarked.test(name) ? undefined : billingCode(region)
  return code ? `${code}-${name}` : name
}

/** The other way round. Without a code it is us-east-1's, and with `USE1-` too. */
export function parseAwsUsageType(text: string): { usageType: string; region: string } {
  const [, code = '', rest = text] = /^([A-Z]{2,3}\d?)-(.+)$/.exec(text) ?? []
  const region = regions.get(code)
  const name = region ? rest : text
  return { usageType: ownNames.get(name) ?? name, region: region ?? unmarkedRegion }
}
