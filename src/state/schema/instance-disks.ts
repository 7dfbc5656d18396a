/** A disk in the instance store. The row is there as long as the instance may have a machine. */
export interface InstanceDisksTable {
  /** `AWS-…`: what the guest sees as the disk's serial, but for the dash. */
  id: string
  instanceId: string
  /** `root`, or `ephemeral0` and so on. */
  virtualName: string
  deviceName: string
  slot: number
  sizeBytes: number
}

export interface InstanceDiskTables {
  instanceDisks: InstanceDisksTable
}
