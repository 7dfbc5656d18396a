/** The rooms below, as the cloud sees them: ports only, no drivers. The composition root brings the real ones. */
export type {
  BlockAt,
  CaptureSource,
  Collected,
  Flaw,
  LiveObjects,
  PackedSnapshot,
  Progress,
  RootDifference,
  SnapshotBlocks,
  VolumeReads,
} from '../blocks/ports.ts'
export type {
  DiskChain,
  DiskKey,
  DiskLimits,
  DiskTools,
  FoundDisk,
  ImageFileTools,
  ImageFormat,
  MachineDisk,
  MachineDriver,
  MachineSpec,
  MachineStatus,
  Picture,
  ServedBase,
  SharedDisks,
} from '../machines/driver.ts'
export type {
  BorderRule,
  DhcpPlan,
  NetworkDriver,
  NetworkProbe,
  NicPlan,
  SubnetBorder,
  TrafficRule,
  VpcPlan,
} from '../network/driver.ts'
export type { ContentStore } from '../objects/store.ts'
