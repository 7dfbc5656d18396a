/**
 * The port between the cloud and whatever runs machines. Two drivers implement it, `qemu` and `simulated`, and both pass
 * `driver.suite.ts`. Every call can be repeated: asking for what already is so changes nothing.
 *
 * Machines outlive the process that started them. A driver keeps what it must know of a machine under the machine's own
 * folder, so that the next process finds it by id alone.
 */
import type { NicAttachment } from '../network/driver.ts'

export interface ServedBase {
  socketPath: string
  exportName: string
}

/** A raw file, or in a sealed chain a qcow2 file sealed like its layers. */
export interface LocalBase {
  path: string
}

/** 32 bytes. It is handed to programs in memory alone: no argument, environment or file ever holds it. */
export type DiskKey = Buffer

/** What a disk is made of, bottom to top. Files record no backing: this is the whole truth, given at every start. */
export interface DiskChain {
  /**
   * What lies under the lowest layer: a snapshot that is served lazily, the same as a file of this host once all of it
   * was fetched, or null for a disk that began empty.
   */
  base: ServedBase | LocalBase | null
  /** qcow2 files, lowest first; only the last is written. */
  layers: readonly string[]
  /**
   * The 32 bytes under which all layers and a {@link LocalBase} are sealed on the host; null for a disk that lies there in
   * the clear. A {@link ServedBase} is read in the clear in either case, and never written.
   */
  key: DiskKey | null
}

export interface MachineDisk {
  /** `vol-…`; the guest sees it without the dash as the disk's serial. */
  volumeId: string
  /** 0 is the boot disk; each slot is one hot-plug port. */
  slot: number
  chain: DiskChain
  /** Set for a disk that other machines have as well: the machine opens nothing of the chain, and reads and writes here. */
  shared?: ServedBase
  /** How much the guest may do with it in a second; null or absent lets it do what the host can. */
  limits?: DiskLimits | null
}

/** Operations of up to 256 KiB count as one, as on EBS. What is null is not bounded. */
export interface DiskLimits {
  iops: number | null
  /** As long as the disk has saved operations up, which it does while it does fewer than `iops`. */
  burst: { iops: number; seconds: number } | null
  bytesPerSecond: number | null
}

export interface MachineSpec {
  /** `i-…` */
  id: string
  vcpus: number
  memoryMib: number
  instanceType: string
  disks: readonly MachineDisk[]
  /** The primary one, which is part of the machine. */
  nic: Omit<MachineNic, 'index'>
  /** Others, each on a hot-plug port of its own. */
  moreNics?: readonly MachineNic[]
}

export interface MachineNic {
  /** 1 to 3 for those that come and go. */
  index: number
  mac: string
  attachment: NicAttachment
}

export type MachineStatus =
  /** No process: never started, destroyed, or vanished (a crash). */
  | { state: 'absent' }
  | { state: 'running'; pid: number | null }
  /** The guest waits, mostly for a disk of the host: it goes on by itself once the cause is gone. `reason` is for people. */
  | { state: 'paused'; pid: number | null; reason: string }
  /**
   * The guest switched itself off; the process waits to be collected with {@link MachineDriver.destroy}. `sinceMs` is the
   * last sign of life that the host has of it.
   */
  | { state: 'shutdown'; pid: number | null; sinceMs: number | null }

/** Red, green and blue, a byte each, row by row from the top. */
export interface Picture {
  widthPx: number
  heightPx: number
  rgb: Buffer
}

export interface DiskUsage {
  /** Bytes that the disk's layer files take on the host. */
  localBytes: number
}

export interface MachineDriver {
  readonly kind: 'qemu' | 'simulated'
  /** What executes guests: hardware, emulation, or nothing (simulated). */
  readonly accelerator: 'kvm' | 'tcg' | null
  /** How many machines may boot at once before all of them become slow. */
  readonly bootConcurrency: number

  /**
   * Starts the machine, or finds that it runs; one whose guest switched itself off is collected and started anew. Throws
   * with the host's reason when it cannot start.
   */
  start(spec: MachineSpec): Promise<void>
  inspect(id: string): Promise<MachineStatus>
  /** The ids of all machines that have a process (or a simulated life) now. */
  list(): Promise<string[]>
  /** ACPI power button; does not wait. Nothing happens when there is no process. */
  pressPowerButton(id: string): Promise<void>
  /** Hardware reset; the process stays. Throws when there is none, or when the guest switched itself off. */
  reset(id: string): Promise<void>
  /**
   * Pulls the plug and collects the process; resolves when it is gone. A start under way fails. Disk files and the console
   * stay.
   */
  destroy(id: string): Promise<void>
  /** Removes what the driver kept of a destroyed machine (console, sockets). */
  forget(id: string): Promise<void>
  /** The newest `maxBytes` of serial output, and when the last byte was written (ms); null when there was never any. */
  consoleOutput(id: string, maxBytes: number): Promise<{ text: string; atMs: number } | null>
  /**
   * What the machine's screen shows now. With `wake` a key is pressed before, as one does at a screen that went dark.
   * Null for a machine without a screen; throws when there is no process.
   */
  screen(id: string, options: { wake: boolean }): Promise<Picture | null>
  /**
   * Puts a new empty layer (a file made with {@link DiskTools.createLayer}, under the disk's own key) on top of each named
   * disk at one instant, so that all former tops freeze together. Disks that already write to their new layer are left as
   * they are.
   *
   * With `quiesce` the guest's own agent is asked to write everything out and hold still for that instant. A guest
   * without one, or one that does not answer in time, is frozen all the same: `quiesced` says which it was.
   */
  freeze(
    id: string,
    tops: readonly { volumeId: string; newLayerPath: string }[],
    options?: { quiesce: boolean },
  ): Promise<{ quiesced: boolean }>
  /** Plugs a disk into the running machine; nothing happens when it is there. The guest sees it come. Throws with the reason. */
  plugDisk(id: string, disk: MachineDisk): Promise<void>
  /**
   * Asks the guest to let go of a disk and waits a few seconds; whether it has. One that is not there has been let go of.
   * With `force` the disk is taken away from a guest that does not let go: what it writes from then on is lost.
   */
  unplugDisk(id: string, volumeId: string, options: { force: boolean }): Promise<boolean>
  /** Plugs a network card into the running machine; nothing happens when it is there. Throws with the reason. */
  plugNic(id: string, nic: MachineNic): Promise<void>
  /** As {@link unplugDisk}; with `force` a card that the guest does not let go of carries nothing any more. */
  unplugNic(id: string, index: number, options: { force: boolean }): Promise<boolean>
  /** Grows a disk under the running guest, which sees its new size. */
  resizeDisk(id: string, volumeId: string, sizeBytes: number): Promise<void>
  limitDisk(id: string, volumeId: string, limits: DiskLimits | null): Promise<void>
  /** Lets the running machine read a disk's served base from the local file that now holds all of it. */
  localizeBase(id: string, disk: MachineDisk): Promise<void>
  /** Called with a machine's id whenever its status may have changed. Returns the way to stop listening. */
  onChange(listener: (id: string) => void): () => void
  /** Lets go of all machines, which go on. */
  close(): Promise<void>
}

/** An NBD export on a unix socket. */
export interface ServedDisk {
  socketPath: string
  exportName: string
  /** Ends the server. What was flushed before is in the file. */
  close(): Promise<void>
}

/** A disk that several machines have at once: somebody else holds its files, and serves it to all of them. */
export interface SharedDisk {
  volumeId: string
  chain: DiskChain
  /** For all machines together. */
  limits: DiskLimits | null
}

/**
 * Like machines, what serves a disk outlives the process that started it, and is found by the disk's id alone. A guest
 * whose disk is not served waits until it is again. One real implementation (qemu-storage-daemon) is for both drivers.
 */
export interface SharedDisks {
  /** Serves the disk for reading and writing, or finds that it is served. Throws with the host's reason. */
  serve(disk: SharedDisk): Promise<ServedBase>
  isServed(volumeId: string): Promise<boolean>
  /** The volumes that are served now. */
  list(): Promise<string[]>
  /** As {@link MachineDriver.freeze} does it for the disks of one machine. */
  freeze(volumeId: string, newLayerPath: string): Promise<void>
  limit(volumeId: string, limits: DiskLimits | null): Promise<void>
  /** Lets it read its served base from the local file that now holds all of it. */
  localizeBase(volumeId: string, chain: DiskChain): Promise<void>
  /** Flushes and ends it. Nothing happens when it is not served. */
  end(volumeId: string): Promise<void>
}

/** Work on disk files that no machine holds. One real implementation (qemu-img, qemu-storage-daemon) serves both drivers. */
export interface DiskTools {
  /**
   * Makes an empty qcow2 of that virtual size, sealed when there is a key, whole or not at all; a file that is there
   * already is replaced.
   */
  createLayer(path: string, sizeBytes: number, key: DiskKey | null): Promise<void>
  /** Grows the top of a chain that no machine holds, sealed or not; nothing happens when it has that size. */
  growLayer(path: string, sizeBytes: number): Promise<void>
  /**
   * Serves a frozen chain read-only over NBD on a unix socket, with the meta contexts `base:allocation` and
   * `qemu:allocation-depth` (1 = the top layer). Works while a machine writes above it. `close` ends the server.
   */
  openForReading(chain: DiskChain, sizeBytes: number): Promise<ServedDisk>
  /** Serves one sealed file (of {@link createLayer}) for writing, with nothing under it. Nobody else may have it open. */
  openForWriting(path: string, sizeBytes: number, key: DiskKey): Promise<ServedDisk>
  /** Bytes that those files take on the host. */
  usage(paths: readonly string[]): Promise<DiskUsage>
}

export type DiskFormat = 'raw' | 'qcow2' | 'vmdk' | 'vhd' | 'vhdx'
export type ImageFormat = DiskFormat | 'ova'

/** A disk in a file that somebody sent: its headers were checked, and lead nowhere else. */
export interface FoundDisk {
  format: DiskFormat
  /** Where it lies in its archive; null when it is all of the file. */
  window: { offsetBytes: number; lengthBytes: number } | null
  /** Its name in the archive. */
  name: string | null
  /** What a machine sees as its size. */
  sizeBytes: number
}

/** A disk that is to be written into an image file. */
export interface DiskToWrite {
  /** A snapshot that is served lazily. */
  source: ServedBase
  sizeBytes: number
}

/** Work on image files of other systems: what somebody sends, and what somebody takes away. */
export interface ImageFileTools {
  /**
   * The disks that a file holds, the one to boot from first. Throws UnusableImage (`lib/unusable-image.ts`) when it
   * cannot be read safely, or is not of the declared format.
   */
  inspect(
    path: string,
    declared: ImageFormat | null,
    signal?: AbortSignal,
  ): Promise<{ format: ImageFormat; disks: FoundDisk[] }>
  /** The first bytes of the disk in that file, as a machine would read them. */
  startOf(path: string, disk: FoundDisk, lengthBytes: number, scratchPath: string): Promise<Buffer>
  /**
   * Serves the disk read-only, as {@link DiskTools.openForReading} does; behind its end there are zeros up to `sizeBytes`.
   * Needs a scratch file, which is gone after `close`.
   */
  openForReading(
    path: string,
    disk: FoundDisk,
    sizeBytes: number,
    scratchPath: string,
  ): Promise<{ socketPath: string; exportName: string; close(): Promise<void> }>
  /** Writes disks into a new image file, whole when it resolves. Only an OVA takes more than one. */
  write(
    request: { disks: readonly DiskToWrite[]; format: ImageFormat; path: string; name: string },
    progress?: { onPercent?: (percent: number) => void | Promise<void>; signal?: AbortSignal },
  ): Promise<void>
}
