/**
 * The one way to refuse a request. {@link catalogue} holds every code that Kiln answers, with EC2's documented code and
 * its HTTP status; the text is given where it is thrown, because EC2's messages name the parameter and the value.
 *
 * Source of the codes: "Error codes for the Amazon EC2 API" in the EC2 API reference, and the errors of each operation
 * in the EBS direct APIs reference; for S3 "Error responses" in the S3 API reference.
 */

const client = 400

export const catalogue = {
  // Requests
  AuthFailure: 401,
  DryRunOperation: 412,
  FilterLimitExceeded: client,
  IdempotentParameterMismatch: client,
  IncompleteBody: client,
  IncompleteSignature: client,
  InternalError: 500,
  InvalidAction: client,
  InvalidClientTokenId: 403,
  InvalidHostHeader: 403,
  InvalidPaginationToken: client,
  InvalidNextToken: client,
  InvalidParameter: client,
  InvalidParameterCombination: client,
  InvalidParameterValue: client,
  InvalidRequest: client,
  MalformedQueryString: 404,
  MissingAction: client,
  MissingAuthenticationToken: 403,
  MissingParameter: client,
  NoSuchVersion: client,
  OptInRequired: 403,
  RequestEntityTooLarge: 413,
  RequestExpired: client,
  RequestLimitExceeded: 503,
  RequestTimeout: 408,
  ServerBusy: 503,
  SignatureDoesNotMatch: 403,
  UnauthorizedOperation: 403,
  UnknownParameter: client,
  UnsupportedOperation: client,
  UnsupportedProtocol: client,
  Unavailable: 503,
  // Images
  'InvalidAMIID.Malformed': client,
  'InvalidAMIID.NotFound': client,
  'InvalidAMIID.Unavailable': client,
  'InvalidAMIName.Duplicate': client,
  'InvalidAMIName.Malformed': client,
  InvalidAMIAttributeItemValue: client,
  InvalidBlockDeviceMapping: client,
  InvalidManifest: client,
  'InvalidUserID.Malformed': client,
  // Bundles
  BundlingInProgress: client,
  'InvalidBundleID.NotFound': client,
  // Instances
  IncorrectInstanceState: client,
  IncorrectState: client,
  InsufficientInstanceCapacity: 500,
  InstanceLimitExceeded: client,
  InvalidInstanceAttributeValue: client,
  'InvalidInstanceID.Malformed': client,
  'InvalidInstanceID.NotFound': client,
  InvalidInstanceType: client,
  InvalidCpuCredits: client,
  'InvalidUserData.Malformed': client,
  OperationNotPermitted: client,
  'InstanceCreditSpecification.NotSupported': client,
  // Spot instances and fleets
  'InvalidFleetId.Malformed': client,
  'InvalidFleetId.NotFound': client,
  'InvalidSpotInstanceRequestID.Malformed': client,
  'InvalidSpotInstanceRequestID.NotFound': client,
  MaxSpotInstanceCountExceeded: client,
  SpotMaxPriceTooLow: client,
  // Launch templates
  'InvalidLaunchTemplateId.Malformed': client,
  'InvalidLaunchTemplateId.NotFound': client,
  'InvalidLaunchTemplateId.VersionNotFound': client,
  'InvalidLaunchTemplateName.AlreadyExistsException': client,
  'InvalidLaunchTemplateName.MalformedException': client,
  'InvalidLaunchTemplateName.NotFoundException': client,
  // Volumes and snapshots
  'InvalidSnapshot.InUse': client,
  'InvalidSnapshot.NotFound': client,
  'InvalidSnapshotID.Malformed': client,
  'InvalidVolume.NotFound': client,
  'InvalidVolumeID.Malformed': client,
  'InvalidVolume.ZoneMismatch': client,
  InvalidVolumeSize: client,
  AttachmentLimitExceeded: client,
  IncorrectModificationState: client,
  'InvalidAttachment.NotFound': client,
  'InvalidVolumeModification.NotFound': client,
  VolumeInUse: client,
  CustomerKeyHasBeenRevoked: client,
  InvalidParameterDependency: client,
  VolumeTypeNotAvailableInZone: client,
  SnapshotCreationPerVolumeRateExceeded: client,
  ConcurrentSnapshotLimitExceeded: client,
  // Imports and exports
  InvalidConversionTaskId: client,
  'InvalidConversionTaskId.Malformed': client,
  'InvalidExportTaskID.Malformed': client,
  'InvalidExportTaskID.NotFound': client,
  // Key pairs
  'InvalidKeyPair.Duplicate': client,
  'InvalidKeyPair.Format': client,
  'InvalidKeyPair.NotFound': client,
  'InvalidKey.Format': client,
  // Network
  CannotDelete: client,
  DependencyViolation: client,
  'Gateway.NotAttached': client,
  'InvalidGatewayID.NotFound': client,
  'InvalidRoute.NotFound': client,
  'InvalidSubnet.Conflict': client,
  'InvalidSubnet.Range': client,
  'InvalidVpc.Range': client,
  InternetGatewayLimitExceeded: client,
  RouteAlreadyExists: client,
  RouteLimitExceeded: client,
  RouteTableLimitExceeded: client,
  SubnetLimitExceeded: client,
  VpcLimitExceeded: client,
  DhcpOptionsLimitExceeded: client,
  'InvalidNetworkAclEntry.NotFound': client,
  NetworkAclEntryAlreadyExists: client,
  NetworkAclEntryLimitExceeded: client,
  NetworkAclLimitExceeded: client,
  'InvalidDhcpOptionID.NotFound': client,
  'InvalidDhcpOptionsId.Malformed': client,
  'InvalidNetworkAclID.NotFound': client,
  'InvalidNetworkAclId.Malformed': client,
  'InvalidVpcEndpointId.NotFound': client,
  'InvalidGroup.Duplicate': client,
  'InvalidGroup.InUse': client,
  'InvalidGroup.NotFound': client,
  'InvalidGroup.Reserved': client,
  'InvalidGroupId.Malformed': client,
  'InvalidNetworkInterfaceID.NotFound': client,
  'InvalidNetworkInterfaceId.Malformed': client,
  'InvalidNetworkInterface.InUse': client,
  NetworkInterfaceLimitExceeded: client,
  'InvalidAttachmentID.NotFound': client,
  'InvalidNetworkInterfaceAttachmentId.Malformed': client,
  NatGatewayLimitExceeded: client,
  NatGatewayMalformed: client,
  NatGatewayNotFound: client,
  'InvalidNatGatewayID.NotFound': client,
  'InvalidPermission.Duplicate': client,
  'InvalidPermission.Malformed': client,
  'InvalidPermission.NotFound': client,
  'InvalidInternetGatewayID.NotFound': client,
  'InvalidInternetGatewayId.Malformed': client,
  'InvalidPrefixListID.NotFound': client,
  'InvalidPrefixListId.Malformed': client,
  PrefixListMaxEntriesExceeded: client,
  PrefixListVersionMismatch: client,
  InvalidServiceName: client,
  VpcEndpointLimitExceeded: client,
  'InvalidVpcEndpointId.Malformed': client,
  'InvalidRouteTableID.NotFound': client,
  'InvalidRouteTableId.Malformed': client,
  'InvalidSecurityGroupRuleId.NotFound': client,
  'InvalidSecurityGroupRuleId.Malformed': client,
  'InvalidSecurityGroupID.NotFound': client,
  'InvalidSubnetID.NotFound': client,
  'InvalidSubnetID.Malformed': client,
  'InvalidVpcID.NotFound': client,
  'InvalidVpcID.Malformed': client,
  InsufficientFreeAddressesInSubnet: client,
  'InvalidIPAddress.InUse': client,
  AddressLimitExceeded: client,
  'InvalidAddress.NotFound': client,
  'InvalidAllocationID.Malformed': client,
  'InvalidAllocationID.NotFound': client,
  'InvalidAssociationID.Malformed': client,
  'InvalidAssociationID.NotFound': client,
  InvalidInstanceID: client,
  'InvalidPublicIpv4PoolID.NotFound': client,
  'Resource.AlreadyAssociated': client,
  RulesPerSecurityGroupLimitExceeded: client,
  SecurityGroupLimitExceeded: client,
  SecurityGroupsPerInterfaceLimitExceeded: client,
  VPCIdNotSpecified: client,
  // Tags and places
  InvalidID: client,
  'InvalidTagKey.Malformed': client,
  TagLimitExceeded: client,
  InvalidRegion: client,
  InvalidZone: client,
  'InvalidZone.NotFound': client,
  // IAM and STS
  DeleteConflict: 409,
  EntityAlreadyExists: 409,
  ExpiredToken: client,
  InvalidInput: client,
  MalformedPolicyDocument: client,
  // Certificates of bundles, in IAM's words
  DuplicateCertificate: 409,
  LimitExceeded: 409,
  MalformedCertificate: client,
  NoSuchEntity: 404,
  ValidationError: client,
  // EBS direct APIs: an exception and its reason
  'AccessDeniedException.DependencyAccessDenied': 403,
  'AccessDeniedException.UnauthorizedAccount': 403,
  ConcurrentLimitExceededException: client,
  'RequestThrottledException.AccountThrottled': client,
  UnknownOperationException: 404,
  'ValidationException.ConflictingBlockUpdate': client,
  'ValidationException.InvalidBlock': client,
  'ValidationException.InvalidBlockToken': client,
  'ValidationException.InvalidPageToken': client,
  'ValidationException.InvalidParameterValue': client,
  'ValidationException.InvalidSnapshotId': client,
  'ValidationException.InvalidTag': client,
  'ValidationException.InvalidVolumeSize': client,
  'ValidationException.UnrelatedSnapshots': client,
  // S3
  AccessDenied: 403,
  AuthorizationQueryParametersError: client,
  AuthorizationHeaderMalformed: client,
  BadDigest: client,
  BucketAlreadyExists: 409,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: client,
  EntityTooSmall: client,
  IllegalLocationConstraintException: client,
  InvalidAccessKeyId: 403,
  InvalidArgument: client,
  InvalidBucketName: client,
  InvalidDigest: client,
  InvalidLocationConstraint: client,
  InvalidPart: client,
  InvalidPartNumber: 416,
  InvalidPartOrder: client,
  InvalidPolicyDocument: client,
  InvalidRange: 416,
  InvalidStorageClass: client,
  InvalidURI: client,
  KeyTooLongError: client,
  MalformedACLError: client,
  MalformedPOSTRequest: client,
  MalformedTrailerError: client,
  MalformedXML: client,
  MaxMessageLengthExceeded: client,
  MetadataTooLarge: client,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  MissingSecurityHeader: client,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchPublicAccessBlockConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  OperationAborted: 409,
  PermanentRedirect: 301,
  PreconditionFailed: 412,
  ReplicationConfigurationNotFoundError: 404,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  TooManyBuckets: client,
  UnexpectedContent: client,
  UnresolvableGrantByEmailAddress: client,
  XAmzContentSHA256Mismatch: client,
  // KMS: its exceptions
  AccessDeniedException: client,
  AlreadyExistsException: client,
  InvalidAliasNameException: client,
  NotFoundException: client,
  UnsupportedOperationException: client,
  // Cost Explorer and the price list: theirs
  BillExpirationException: client,
  DataUnavailableException: client,
  InvalidNextTokenException: client,
  RequestChangedException: client,
  ResourceNotFoundException: client,
  SerializationException: client,
  UnresolvableUsageUnitException: client,
  // Budgets: AWS Budgets' exceptions
  DuplicateRecordException: client,
  // Limits
  MaxIOPSLimitExceeded: client,
  ResourceLimitExceeded: client,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof catalogue

/** A refusal that the caller sees: an EC2 code, its HTTP status and a public text. The cause stays in the log. */
export class KilnError extends Error {
  readonly code: ErrorCode
  readonly status: number

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'KilnError'
    this.code = code
    this.status = catalogue[code]
  }
}

export function isKilnError(error: unknown, code?: ErrorCode): error is KilnError {
  return error instanceof KilnError && (code === undefined || error.code === code)
}

/** Throws when one of our own assumptions does not hold: a bug, never a user's mistake. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** Of Node's system errors, and PostgreSQL's disk_full. */
const diskFullCodes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', '53100'])
const sqliteFull = 13

/** Whether something could not be written because there is no room for it. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  return diskFullCodes.has(code) || errcode === sqliteFull || isDiskFull(error.cause)
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
