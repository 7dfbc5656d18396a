/**
 * The port between the cloud and the network. The cloud says what a VPC should be, whole, every time ({@link VpcPlan});
 * a driver makes it so and can be asked again at any moment. Drivers: `namespace` (a Linux network namespace per VPC),
 * `user` (QEMU's own user networking, where namespaces cannot be had), `simulated` (no packets).
 */

export type Protocol = 'tcp' | 'udp' | 'icmp' | 'icmpv6' | number | 'all'

/** One resolved security-group rule: groups are already replaced by their members' addresses. */
export interface TrafficRule {
  protocol: Protocol
  /** For tcp and udp a port range; for icmp type and code, -1 meaning any. */
  fromPort: number
  toPort: number
  /** CIDR blocks on the other side. */
  peers: readonly string[]
}

/** One entry of a network ACL; the first that matches a packet decides. */
export interface BorderRule extends TrafficRule {
  verdict: 'allow' | 'deny'
}

/**
 * What crosses the border of a subnet: every packet is judged, answers too, and what no rule speaks of does not pass.
 * Metadata, DHCP and the VPC's resolver are within it. Source: "Control subnet traffic with network access control lists"
 * in the Amazon VPC user guide.
 */
export interface SubnetBorder {
  cidr: string
  ingress: readonly BorderRule[]
  egress: readonly BorderRule[]
}

/** What guests are told at their next lease. */
export interface DhcpPlan {
  domainName: string | null
  /** IPv4 addresses; `resolver` is the VPC's own. */
  nameServers: readonly string[]
  ntpServers: readonly string[]
  netbiosNameServers: readonly string[]
  netbiosNodeType: number | null
}

export interface NicPlan {
  /** `eni-…` */
  id: string
  instanceId: string
  mac: string
  privateIp: string
  subnetCidr: string
  hostname: string
  /** 127.x.y.z on the host, or null. */
  publicIp: string | null
  /**
   * Where its packets may go outside of the VPC, as CIDR blocks. Absent for everywhere. With an empty list it has no way
   * out, and its public address no way in.
   */
  outside?: readonly string[]
  ingress: readonly TrafficRule[]
  egress: readonly TrafficRule[]
  /** How many links a metadata session token may travel (1 to 64); without it as many as IP allows. */
  metadataHopLimit?: number
}

/** Everything that a VPC should be. No network interfaces: nothing of it needs to exist on the host. */
export interface VpcPlan {
  /** `vpc-…` */
  id: string
  cidr: string
  dhcp: DhcpPlan
  /** Subnets that do not let everything through. */
  borders: readonly SubnetBorder[]
  nics: readonly NicPlan[]
}

/** How a machine joins its VPC. */
export type NicAttachment =
  /** A tap that waits inside a namespace: `enter` is the argument array that starts a program in there. */
  | { kind: 'tap'; ifname: string; enter: readonly string[] }
  /** QEMU user networking: the value of `-netdev user,id=…` after the id, without a leading comma. */
  | { kind: 'user'; options: string }
  | { kind: 'none' }

export type GuestAnswer =
  /** Its SSH server accepts connections. */
  | 'accepts'
  /** Its network is up: it has refused the connection, or was heard otherwise. */
  | 'refuses'
  | 'silent'

export interface NetworkProbe {
  ok: boolean
  /** One line for people: what was tried and what it said, and what to do about it. */
  detail: string
}

export interface NetworkDriver {
  readonly kind: 'namespace' | 'user' | 'simulated'
  /** Whether this host can do it; tried for real. */
  probe(): Promise<NetworkProbe>
  /** Brings the host to the plan: namespace, bridge, addresses, leases, filters, public listeners. Serial per VPC. */
  apply(plan: VpcPlan): Promise<void>
  /** How that interface's machine attaches; the interface must be in the plan applied last. */
  attachment(vpcId: string, nicId: string): Promise<NicAttachment>
  /** What a guest says to somebody who asks for its SSH port. */
  answer(vpcId: string, privateIp: string): Promise<GuestAnswer>
  /** VPCs of which something exists on this host now. */
  list(): Promise<string[]>
  /** A free loopback address for an instance that none of `taken` uses. */
  allocatePublicIp(taken: ReadonlySet<string>): Promise<string>
  /** Closes public listeners and connections of this process; namespaces and their agents go on. */
  close(): Promise<void>
}
