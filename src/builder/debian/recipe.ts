/**
 * What the Debian image is made of. Everything that decides what it holds stands here or lies in `rootfs/`; the other
 * files of this folder only put it together.
 */

export const release = { version: '12', codename: 'bookworm', title: 'Debian 12 (bookworm)' } as const

/** Debian's own on EC2: the account that publishes it, how its images are called, whom to log in as. */
export const publisher = {
  accountId: '136693071363',
  ownerAlias: 'amazon',
  login: 'admin',
  rootDevice: '/dev/xvda',
} as const

/** Suites of Debian's archive, of which the image knows those that this host's apt knows. The first is needed. */
export const suites = ['bookworm', 'bookworm-updates', 'bookworm-security'] as const

const mib = 1024 * 1024

export const sectorBytes = 512

/** A GUID partition table, a small partition for GRUB's core, and the root, behind which nothing lies: it can grow. */
export const layout = {
  diskBytes: 2048 * mib,
  grub: { number: 14, startBytes: 1 * mib, sizeBytes: 3 * mib, type: '21686148-6449-6E6F-744E-656564454649' },
  root: { number: 1, startBytes: 4 * mib, sizeBytes: 2043 * mib, type: '0FC63DAF-8483-4772-8E79-3D69D8477DE4' },
  diskGuid: '4B494C4E-0012-4000-8000-000000000001',
  rootUuid: '4b494c4e-0012-4000-8000-000000000002',
} as const

/** Features that Debian 12's GRUB and kernel know, whatever this host's mke2fs would choose. */
export const ext4Features = [
  ...['has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'filetype', 'extent', '64bit', 'flex_bg'],
  ...['sparse_super', 'large_file', 'huge_file', 'dir_nlink', 'extra_isize', 'metadata_csum'],
] as const

/** Beside what is essential to Debian; apt adds what these depend on, and nothing that they merely recommend. */
export const packages = [
  ...['systemd', 'systemd-sysv', 'systemd-resolved', 'systemd-timesyncd', 'libpam-systemd', 'dbus', 'udev', 'kmod'],
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'zstd', 'grub-pc-bin', 'grub2-common'],
  ...['cloud-init', 'cloud-guest-utils', 'fdisk', 'e2fsprogs', 'isc-dhcp-client', 'locales', 'netbase'],
  ...['openssh-server', 'sudo', 'qemu-guest-agent', 'ca-certificates', 'python3', 'tzdata'],
  ...['bash-completion', 'curl', 'iproute2', 'iputils-ping', 'less', 'nano', 'procps', 'vim-tiny', 'wget'],
] as const

/** The first boot's menu; `update-grub` writes another when a kernel comes, by what `/etc/default/grub` says. */
export function grubMenu(): string {
  return `# The menu of the image; update-grub replaces it.
set timeout=0
serial --unit=0 --speed=115200
terminal_output serial
search --no-floppy --fs-uuid --set=root ${layout.rootUuid}
menuentry 'Debian' {
  linux /vmlinuz root=UUID=${layout.rootUuid} ro console=tty0 console=ttyS0,115200n8
  initrd /initrd.img
}
`
}

export function mountTable(): string {
  return `UUID=${layout.rootUuid} / ext4 errors=remount-ro 0 1\n`
}

/** `debian-12-amd64-20260101-1234`: the day, and a number that says of which packages. */
export function imageVersion(builtAtMs: number, inputsSha256: string): string {
  const day = new Date(builtAtMs).toISOString().slice(0, 10).replaceAll('-', '')
  const number = Number(BigInt(`0x${inputsSha256}`) % 10_000n)
  return `${day}-${String(number).padStart(4, '0')}`
}

export const imageName = (version: string) => `debian-${release.version}-amd64-${version}`
