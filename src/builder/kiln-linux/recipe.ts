/**
 * What Kiln Linux is made of. Everything that decides what the image holds stands here or lies in `rootfs/` and
 * `initrd/`; the other files of this folder only put it together.
 */

/** Counts up when the image changes for its users; the rest of the version comes from the inputs themselves. */
export const release = '1.0'

export const mib = 1024 * 1024
const sectorBytes = 512

/** EC2 volumes are whole GiB. */
export const diskSizeBytes = 1024 * mib

/** Where the two partitions lie. The first holds SYSLINUX, the kernel and the initrd; the second is the root. */
export const layout = {
  sectorBytes,
  bootStartBytes: 1 * mib,
  bootSizeBytes: 31 * mib,
  rootStartBytes: 32 * mib,
} as const

/**
 * What boots fastest without KVM (measured): one serial port to probe, no mitigations between a guest and itself, no
 * self-tests of the crypto code, no waiting for quiet read-copy-update periods.
 */
export const kernelCommandLine = [
  'quiet',
  '8250.nr_uarts=1',
  'mitigations=off',
  'nokaslr',
  'tsc=reliable',
  'no_timer_check',
  'cryptomgr.notests',
  'rcupdate.rcu_expedited=1',
  'console=ttyS0',
].join(' ')

/** The kernel's own package depends on this name's newest version. */
export const kernelMetaPackage = 'linux-image-cloud-amd64'

/** Drivers of the initrd, in the order in which they need each other. NVMe and ext4 are part of Debian's cloud kernel. */
export const initrdModules = [
  'drivers/virtio/virtio_ring.ko',
  'drivers/virtio/virtio.ko',
  'drivers/virtio/virtio_pci_legacy_dev.ko',
  'drivers/virtio/virtio_pci_modern_dev.ko',
  'drivers/virtio/virtio_pci.ko',
  'drivers/block/virtio_blk.ko',
  'net/core/failover.ko',
  'drivers/net/net_failover.ko',
  'drivers/net/virtio_net.ko',
] as const

/**
 * Drivers that the scripts in `rootfs/usr/lib` load: the power button and its way to user space, the port on which the
 * host speaks to the guest agent, and the loop devices in which the AMI tools make a disk.
 */
export const rootModules = [
  'drivers/acpi/button.ko',
  'drivers/input/evdev.ko',
  'drivers/char/virtio_console.ko',
  'drivers/block/loop.ko',
] as const

const libraries = ['{usr/,}lib/x86_64-linux-gnu/*.so*']

/** Debian package → the files of it that go into the image (glob patterns below the package's root). */
export const packageFiles: Readonly<Record<string, readonly string[]>> = {
  'busybox-static': ['bin/busybox'],
  bash: ['bin/bash'],
  'ncurses-base': ['lib/terminfo/{a,d,l,r,s,t,v,x}/{ansi,dumb,linux,rxvt*,screen*,tmux*,vt*,xterm*}'],
  'dropbear-bin': ['usr/sbin/dropbear', 'usr/bin/dropbearkey', 'usr/bin/dbclient'],
  // scp's new protocol speaks to sftp-server; Packer and Terraform still start scp itself.
  'openssh-sftp-server': ['usr/lib/sftp-server', 'usr/lib/openssh/sftp-server'],
  'openssh-client': ['usr/bin/scp'],
  'qemu-guest-agent': ['usr/sbin/qemu-ga'],
  e2fsprogs: ['sbin/resize2fs', 'sbin/mke2fs'],
  // For the AMI tools: bundles are sealed by the one, and sparse files are packed by the other (busybox's tar packs zeros).
  openssl: ['usr/bin/openssl', 'etc/ssl/openssl.cnf', 'usr/lib/ssl/openssl.cnf'],
  tar: ['bin/tar'],
  sudo: ['usr/bin/sudo', 'usr/libexec/sudo/{sudoers,libsudo_util}.so*'],
  'libpam-modules': ['lib/x86_64-linux-gnu/security/pam_permit.so'],
  libc6: [
    'lib64/ld-linux-x86-64.so.2',
    'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
    'lib/x86_64-linux-gnu/lib{c,m,dl,rt,util,pthread,resolv}.so.*',
  ],
  libacl1: libraries,
  libaudit1: libraries,
  libblkid1: libraries,
  'libcap-ng0': libraries,
  'libcom-err2': libraries,
  libcrypt1: libraries,
  libext2fs2: libraries,
  'libglib2.0-0': ['usr/lib/x86_64-linux-gnu/lib{glib,gmodule}-2.0.so*'],
  libgmp10: libraries,
  libnuma1: libraries,
  libpam0g: libraries,
  'libpcre2-8-0': libraries,
  libselinux1: libraries,
  libssl3: libraries,
  libtinfo6: libraries,
  libtomcrypt1: libraries,
  libtommath1: libraries,
  libudev1: libraries,
  liburing2: ['usr/lib/x86_64-linux-gnu/liburing.so*'],
  libuuid1: libraries,
  zlib1g: libraries,
}

/** Directories that exist though no file is put into them. */
export const emptyDirectories: Readonly<Record<string, number>> = {
  dev: 0o755,
  'etc/dropbear': 0o700,
  home: 0o755,
  mnt: 0o755,
  opt: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  sys: 0o555,
  tmp: 0o1777,
  'usr/local/bin': 0o755,
  'usr/local/sbin': 0o755,
  'var/lib/kiln/instances': 0o755,
  'var/log': 0o755,
  'var/spool/cron/crontabs': 0o755,
  'var/tmp': 0o1777,
}

/** Symbolic links: where → what they say. One `usr` for all programs and libraries, as in Debian. */
export const links: Readonly<Record<string, string>> = {
  bin: 'usr/bin',
  sbin: 'usr/sbin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  'etc/mtab': '/proc/mounts',
  'usr/bin/ssh': 'dbclient',
  'usr/sbin/halt': 'shutdown',
  'usr/sbin/poweroff': 'shutdown',
  'usr/sbin/reboot': 'shutdown',
  'var/run': '/run',
}

/** Files whose mode is neither 0755 (they begin with `#!` or are programs of a package) nor 0644. */
export const modes: Readonly<Record<string, number>> = {
  'etc/shadow': 0o600,
  'etc/sudoers': 0o440,
  'usr/bin/sudo': 0o4755,
}
