/** What the metadata service must know of an instance, and who tells it. */

export interface ImdsBlockDevice {
  /** As the launch mapped it: `/dev/xvda`, `/dev/sdf`. */
  deviceName: string
  kind: 'root' | 'ebs' | 'ephemeral'
}

/** An instance profile, and credentials of its role. */
export interface ImdsIdentity {
  profileArn: string
  profileId: string
  /** Milliseconds since the Unix epoch. */
  updatedAt: number
  /** Null when the profile is gone or has no role. */
  role: {
    name: string
    /** Null when the role does not let instances have it. */
    credentials(): { accessKeyId: string; secret: string; token: string; expiresAt: number } | null
  } | null
}

export interface ImdsNetwork {
  /** 0 is the primary one. */
  deviceIndex: number
  /** `eni-…` */
  interfaceId: string
  mac: string
  privateIp: string
  /** With its domain. */
  privateHostname: string
  publicIp: string | null
  publicHostname: string | null
  subnetId: string
  subnetCidr: string
  vpcId: string
  vpcCidr: string
  securityGroups: readonly { id: string; name: string }[]
}

export interface ImdsInstance {
  /** `i-…` */
  instanceId: string
  /** `ami-…` */
  imageId: string
  /** Where an instance-store image's manifest lies; null for EBS-backed ones. */
  imageManifestPath: string | null
  instanceType: string
  architecture: 'x86_64' | 'arm64'
  /** 12 digits. */
  accountId: string
  region: string
  availabilityZone: string
  /** As `use1-az1`. */
  availabilityZoneId: string
  reservationId: string
  launchIndex: number
  /** Whether detailed monitoring is on. */
  monitoring: 'enabled' | 'disabled'
  lifeCycle: 'on-demand' | 'spot'
  /** What the instance type's machines run on. */
  system: 'nitro' | 'xen'
  /** Milliseconds since the Unix epoch. */
  launchedAtMs: number
  network: ImdsNetwork
  /** Of the interfaces beside the primary one. */
  moreNetworks: readonly ImdsNetwork[]
  /** The key pair of the launch, in OpenSSH's one-line form; null for a launch without one. */
  key: { name: string; openSshPublicKey: string } | null
  userData: Buffer | null
  /** What its instance profile gives it; null without one. */
  iam: ImdsIdentity | null
  blockDevices: readonly ImdsBlockDevice[]
  options: {
    httpEndpoint: 'enabled' | 'disabled'
    httpTokens: 'optional' | 'required'
    instanceMetadataTags: 'enabled' | 'disabled'
  }
  tags: Readonly<Record<string, string>>
}

/** What proves that an identity document comes from this cloud. */
export interface IdentitySignatures {
  /** RSA with SHA-256 over the document: base64, in lines. */
  signature: string
  /** The document within a signed message of PKCS #7, with no certificate: PEM without its first and last line. */
  pkcs7: string
}

/** The port to whoever knows the instances. */
export interface ImdsSource {
  /** The instance that has this private address in that VPC now, or null. */
  instanceAt(vpcId: string, privateIp: string): Promise<ImdsInstance | null>
  signaturesOf(document: string): Promise<IdentitySignatures>
}
