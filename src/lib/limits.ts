/** Every bound in one place. A bound that is hit answers with a clear error that names it. */
export const limits = {
  /** EC2's: 10 GiB. */
  instanceStoreRootBytes: 10 * 1024 ** 3,
  /** IAM allows two: of a user, or of the account itself. */
  signingCertificatesPerAccount: 2,
  /** Of an account, as IAM's quotas have it. */
  users: 5000,
  groups: 300,
  roles: 1000,
  instanceProfiles: 1000,
  policies: 1500,
  groupsPerUser: 10,
  accessKeysPerUser: 2,
  /** Managed policies attached to one user, group or role. */
  attachedPolicies: 10,
  versionsPerPolicy: 5,
  identityPathLength: 512,
  /** Characters of policies without white space; those within an identity count together. */
  managedPolicyLength: 6144,
  trustPolicyLength: 2048,
  inlinePolicyLength: { user: 2048, group: 5120, role: 10_240 },
  /** Answers of IAM in one page: usual, and most. */
  identityPageDefault: 100,
  identityPageMax: 1000,
  /** Largest EC2 or STS request body. */
  requestBodyBytes: 1024 * 1024,
  /** How long it may take to send one. */
  requestBodyMs: 60_000,
  /** How long anything at all may take to be sent, objects too. */
  uploadMs: 24 * 3600_000,
  /** Parameters of one query form, dots in one parameter's name, and items of one list. */
  requestParameters: 10_000,
  parameterDepth: 16,
  listItems: 5000,
  /** Line and headers of a request. */
  requestHeaderBytes: 32 * 1024,
  /** Largest user data after base64 decoding (EC2: 16 KB). */
  userDataBytes: 16 * 1024,
  /** Longest public key that can be imported; an RSA key of 4096 bits in PEM has 800. */
  publicKeyBytes: 16 * 1024,
  /** Most instances in one RunInstances. */
  instancesPerRequest: 1000,
  /** Ways to launch an instance in one CreateFleet; fleets of one DeleteFleets. */
  poolsPerFleet: 300,
  fleetsPerDeletion: 25,
  /** Default and largest page of a Describe call. */
  pageDefault: 1000,
  pageMin: 5,
  pageMax: 1000,
  routeTablePageMax: 100,
  filtersPerRequest: 50,
  valuesPerFilter: 200,
  /** Characters of a filter's name or of one value; no text that can be filtered by is longer than 256. */
  filterTextLength: 1024,
  /** `*` in one filter value. */
  wildcardsPerValue: 8,
  tagsPerResource: 50,
  /** Resources of one CreateTags or DeleteTags, and tags of one DeleteTags. */
  taggedPerRequest: 1000,
  instanceTypesPerRequest: 100,
  /** Characters. */
  tagKeyLength: 128,
  tagValueLength: 256,
  clientTokenLength: 64,
  /** Of the operations on launch templates. */
  launchTemplateTokenLength: 128,
  /** Launch templates of an account in a region; versions of one template. */
  launchTemplatesPerRegion: 5000,
  versionsPerLaunchTemplate: 10_000,
  launchTemplatePageMax: 200,
  /** Versions of one DeleteLaunchTemplateVersions. */
  launchTemplateVersionsPerRequest: 200,
  /** GiB; EC2's bound for gp2 and gp3 is 16 TiB, for io2 64 TiB. */
  volumeGibMax: 65_536,
  /** Snapshots of an account in a region that are written block by block at once (AWS: pending snapshots per account). */
  snapshotUploadsPerAccount: 100,
  /** Requests to the EBS direct APIs that are worked on at once, and that wait for their turn. */
  directRequestsAtOnce: 64,
  directRequestsWaiting: 256,
  bucketsPerAccount: 10_000,
  /** One PutObject, or one part of a multipart upload (S3: 5 GiB). */
  objectPartBytes: 5 * 1024 ** 3,
  /** An XML document in a request to S3: ten thousand parts with their checksums have 2 MiB. */
  s3DocumentBytes: 4 * 1024 ** 2,
  /** Names and values of an object's own metadata. */
  objectMetadataBytes: 2048,
  disksPerInstance: 24,
  encryptionKeysPerRegion: 1000,
  keyDescriptionLength: 8192,
  /** Groups of costs in one answer, and values or tags of one (Cost Explorer: 1,000). */
  costGroupsPerPage: 1000,
  /** Expressions within expressions of a filter of costs. */
  costFilterDepth: 16,
  /** Accounts that one encryption key is shared with. */
  keyGrantees: 500,
  /** Instances that one volume may be attached to at once. */
  instancesPerVolume: 16,
  /** Snapshots of an account in a region that are kept ready for fast restores; GiB of the largest. */
  fastRestoresPerRegion: 5,
  fastRestoreGibMax: 16_384,
  /** Imports and exports of an account in a region that are not done (EC2: 20 imports, 5 exports). */
  transfersPerAccount: 20,
  /** GiB of the snapshots of an image that is stored as one object (EC2: 5,000 GB). */
  storedImageGib: 5000,
  /** GiB of snapshots of an account in a region that are being stored, and restored, at once. */
  storingGibAtOnce: 1200,
  restoringGibAtOnce: 600,
  /** JSON in the header of a stored image: 24 disks and 25 sets of tags have about 500 KB. */
  storedImageFactsBytes: 1024 * 1024,
  /** Images of one DescribeStoreImageTasks. */
  storeTaskImages: 20,
  /** Layers of a root in the instance store: one, and one more for each bundle that is made of it while it runs. */
  rootLayers: 32,
  /** Instances whose last sign of life is remembered. */
  instancesSeen: 100_000,
  /** Largest piece of a file that is sent here, or fetched, in one request. */
  transferPieceBytes: 8 * 1024 * 1024,
  /** Files that are being sent here at once. */
  uploadsAtOnce: 16,
  /** Accounts and groups of one ModifySnapshotAttribute, and of one ModifyImageAttribute. */
  snapshotGrantees: 500,
  imageGrantees: 10_000,
  /** Volumes that one CreateSnapshots may leave out. */
  excludedVolumes: 40,
  snapshotLockDays: 36_500,
  snapshotLockCoolOffHours: 72,
  temporaryRestoreDays: 180,
  /** Of one question of `kiln cost`: periods (a year of hours), groupings, and values of a filter. */
  costPeriods: 366 * 24,
  costDimensions: 8,
  costValues: 1000,
  /** Each is judged every minute. */
  budgets: 200,
  thresholdsPerBudget: 10,
  consoleBytes: 64 * 1024,
  /** VPCs, and internet gateways, of an account in a region. */
  vpcs: 50,
  subnetsPerVpc: 200,
  routeTablesPerVpc: 200,
  routesPerTable: 50,
  networkAclsPerVpc: 200,
  /** In each direction. */
  entriesPerNetworkAcl: 40,
  /** Of an account in a region. */
  dhcpOptionSets: 100,
  prefixLists: 100,
  prefixListEntries: 1000,
  prefixListEntriesPerRequest: 100,
  prefixListPageMax: 100,
  endpointsPerVpc: 20,
  networkInterfaces: 5000,
  /** The primary one included. */
  interfacesPerInstance: 4,
  natGatewaysPerZone: 5,
  /** Public addresses that an account keeps in a region. */
  elasticAddresses: 256,
  securityGroupsPerVpc: 2500,
  rulesPerSecurityGroup: 60,
  securityGroupsPerInstance: 5,
  /** Longest path that may hold our unix sockets: the kernel's sun_path is 108 bytes. */
  homePathBytes: 72,
} as const
