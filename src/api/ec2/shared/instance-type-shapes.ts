/** Instance types as EC2 tells them, and as filters look at them. What Kiln does not have, a type does not claim. */
import type { InstanceStorageInfo, InstanceTypeInfo } from '@aws-sdk/client-ec2'
import type { InstanceStorage, InstanceType } from '../../../cloud/instances/instance-types.ts'
import { limits } from '../../../lib/limits.ts'
import type { ListedRules } from './listed.ts'

export function ec2InstanceType(type: InstanceType): InstanceTypeInfo {
  const cores = type.vcpus / type.threadsPerCore
  return {
    InstanceType: type.name as InstanceTypeInfo['InstanceType'],
    CurrentGeneration: type.currentGeneration,
    FreeTierEligible: false,
    SupportedUsageClasses: ['on-demand'],
    SupportedRootDeviceTypes: type.mayRootInInstanceStore ? ['ebs', 'instance-store'] : ['ebs'],
    SupportedVirtualizationTypes: ['hvm'],
    SupportedBootModes: ['legacy-bios'],
    BareMetal: false,
    Hypervisor: type.hypervisor,
    ProcessorInfo: { SupportedArchitectures: ['x86_64'] },
    VCpuInfo: { DefaultVCpus: type.vcpus, DefaultCores: cores, DefaultThreadsPerCore: type.threadsPerCore },
    MemoryInfo: { SizeInMiB: Math.floor(type.memoryMib) },
    InstanceStorageSupported: type.storage !== null,
    InstanceStorageInfo: type.storage ? storageOf(type.storage) : undefined,
    EbsInfo: {
      EbsOptimizedSupport: 'unsupported',
      EncryptionSupport: 'unsupported',
      NvmeSupport: 'unsupported',
      MaximumEbsAttachments: limits.disksPerInstance,
      AttachmentLimitType: 'dedicated',
    },
    NetworkInfo: {
      NetworkPerformance: 'Up to the host',
      MaximumNetworkInterfaces: 1,
      MaximumNetworkCards: 1,
      DefaultNetworkCardIndex: 0,
      NetworkCards: [{ NetworkCardIndex: 0, NetworkPerformance: 'Up to the host', MaximumNetworkInterfaces: 1 }],
      Ipv4AddressesPerInterface: 1,
      Ipv6AddressesPerInterface: 0,
      Ipv6Supported: false,
      EnaSupport: 'unsupported',
      EfaSupported: false,
      EncryptionInTransitSupported: false,
      EnaSrdSupported: false,
    },
    PlacementGroupInfo: { SupportedStrategies: [] },
    HibernationSupported: false,
    BurstablePerformanceSupported: type.burstable,
    DedicatedHostsSupported: false,
    AutoRecoverySupported: false,
    NitroEnclavesSupport: 'unsupported',
    NitroTpmSupport: 'unsupported',
    SupportedInRegion: true,
  }
}

function storageOf({ count, sizeGb, media, isNvme }: InstanceStorage): InstanceStorageInfo {
  return {
    TotalSizeInGB: count * sizeGb,
    Disks: [{ Count: count, SizeInGB: sizeGb, Type: media }],
    NvmeSupport: isNvme ? 'required' : 'unsupported',
    EncryptionSupport: 'unsupported',
  }
}

/** EC2's filters about what no type tells here. */
const untold: ListedRules<InstanceTypeInfo> = Object.fromEntries(
  [
    'ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps',
    'ebs-info.ebs-optimized-info.baseline-iops',
    'ebs-info.ebs-optimized-info.baseline-throughput-in-mbps',
    'ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps',
    'ebs-info.ebs-optimized-info.maximum-iops',
    'ebs-info.ebs-optimized-info.maximum-throughput-in-mbps',
    'network-info.bandwidth-weightings',
    'network-info.efa-info.maximum-efa-interfaces',
    'network-info.flexible-ena-queues-support',
    'nitro-tpm-info.supported-versions',
    'processor-info.supported-features',
    'processor-info.sustained-clock-speed-in-ghz',
    'reboot-migration-support',
    'vcpu-info.valid-cores',
    'vcpu-info.valid-threads-per-core',
  ].map((name) => [name, () => []]),
)

export const instanceTypeFilters: ListedRules<InstanceTypeInfo> = {
  ...untold,
  'ebs-info.attachment-limit-type': (type) => type.EbsInfo!.AttachmentLimitType,
  'ebs-info.maximum-ebs-attachments': (type) => type.EbsInfo!.MaximumEbsAttachments,
  'network-info.encryption-in-transit-supported': (type) => type.NetworkInfo!.EncryptionInTransitSupported,
  'network-info.ipv6-addresses-per-interface': (type) => type.NetworkInfo!.Ipv6AddressesPerInterface,
  'network-info.maximum-network-cards': (type) => type.NetworkInfo!.MaximumNetworkCards,
  'auto-recovery-supported': (type) => type.AutoRecoverySupported,
  'bare-metal': (type) => type.BareMetal,
  'burstable-performance-supported': (type) => type.BurstablePerformanceSupported,
  'current-generation': (type) => type.CurrentGeneration,
  'dedicated-hosts-supported': (type) => type.DedicatedHostsSupported,
  'ebs-info.ebs-optimized-support': (type) => type.EbsInfo!.EbsOptimizedSupport,
  'ebs-info.encryption-support': (type) => type.EbsInfo!.EncryptionSupport,
  'ebs-info.nvme-support': (type) => type.EbsInfo!.NvmeSupport,
  'free-tier-eligible': (type) => type.FreeTierEligible,
  'hibernation-supported': (type) => type.HibernationSupported,
  hypervisor: (type) => type.Hypervisor,
  'instance-storage-info.disk.count': (type) => type.InstanceStorageInfo?.Disks?.map(({ Count }) => Count),
  'instance-storage-info.disk.size-in-gb': (type) => type.InstanceStorageInfo?.Disks?.map(({ SizeInGB }) => SizeInGB),
  'instance-storage-info.disk.type': (type) => type.InstanceStorageInfo?.Disks?.map(({ Type }) => Type),
  'instance-storage-info.encryption-support': (type) => type.InstanceStorageInfo?.EncryptionSupport,
  'instance-storage-info.nvme-support': (type) => type.InstanceStorageInfo?.NvmeSupport,
  'instance-storage-info.total-size-in-gb': (type) => type.InstanceStorageInfo?.TotalSizeInGB,
  'instance-storage-supported': (type) => type.InstanceStorageSupported,
  'instance-type': (type) => type.InstanceType,
  'memory-info.size-in-mib': (type) => type.MemoryInfo!.SizeInMiB,
  'network-info.ena-support': (type) => type.NetworkInfo!.EnaSupport,
  'network-info.efa-supported': (type) => type.NetworkInfo!.EfaSupported,
  'network-info.ipv4-addresses-per-interface': (type) => type.NetworkInfo!.Ipv4AddressesPerInterface,
  'network-info.ipv6-supported': (type) => type.NetworkInfo!.Ipv6Supported,
  'network-info.maximum-network-interfaces': (type) => type.NetworkInfo!.MaximumNetworkInterfaces,
  'network-info.network-performance': (type) => type.NetworkInfo!.NetworkPerformance,
  'nitro-enclaves-support': (type) => type.NitroEnclavesSupport,
  'nitro-tpm-support': (type) => type.NitroTpmSupport,
  'processor-info.supported-architecture': (type) => type.ProcessorInfo!.SupportedArchitectures,
  'supported-boot-mode': (type) => type.SupportedBootModes,
  'supported-in-region': (type) => type.SupportedInRegion,
  'supported-root-device-type': (type) => type.SupportedRootDeviceTypes,
  'supported-usage-class': (type) => type.SupportedUsageClasses,
  'supported-virtualization-type': (type) => type.SupportedVirtualizationTypes,
  'vcpu-info.default-cores': (type) => type.VCpuInfo!.DefaultCores,
  'vcpu-info.default-threads-per-core': (type) => type.VCpuInfo!.DefaultThreadsPerCore,
  'vcpu-info.default-vcpus': (type) => type.VCpuInfo!.DefaultVCpus,
}
