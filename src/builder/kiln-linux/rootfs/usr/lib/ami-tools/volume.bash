# Makes a bootable disk of a running root: what ec2-bundle-vol does before it bundles. Sourced after bundle.bash.
mib=1048576
# The root begins here on every disk of Kiln Linux; before it lie the boot record and the boot partition.
root_start_mib=32
root_label=kiln-root

# Whose contents belong to the running machine; the directories themselves go along.
machine_directories=(/dev /media /mnt /proc /run /sys /tmp /var/tmp)
# What makes a disk this instance's: `identity`, `user-data` and `grow-root` write it anew at the first start.
identity_files=('/etc/dropbear/*' '/var/lib/kiln/instances/*' /var/lib/kiln/instance-id /var/lib/kiln/root-sectors
  /var/log/user-data.log)
# Source: "ec2-bundle-vol", --no-filter, in the AMI tools reference.
sensitive_files=('*/#*#' '*/.#*' '*.sw' '*.swo' '*.swp' '*~' '*.pem' '*.priv' '*id_rsa*' '*id_dsa*' '*.gpg' '*.jks'
  '*/.ssh/authorized_keys' '*/.bash_history')

check_volume_options() {
  : "${option[volume]:=/}" "${option[partition]:=mbr}"
  needs_directory volume -v
  option[volume]=$(realpath "${option[volume]}")
  case ${option[partition]} in
    mbr) ;;
    none) root_start_mib=0 ;;
    *) fail "-P: a disk of Kiln Linux has an MBR (mbr), or no partitions at all (none)" ;;
  esac
  root_disk=$(disk_below "$(device_of_root)") || fail 'the disk below / was not found'
  if [ -z "${option[size]-}" ]; then
    option[size]=$(($(cat "/sys/class/block/$root_disk/size") / 2048))
    [ "${option[size]}" -le $max_image_mib ] || option[size]=$max_image_mib
  fi
  [[ ${option[size]} =~ ^[1-9][0-9]{1,5}$ ]] && [ "${option[size]}" -ge 96 ] && [ "${option[size]}" -le $max_image_mib ] ||
    fail "-s: a size is a number of MiB from 96 to $max_image_mib"
  [ -z "${option[fstab]-}" ] || needs_file fstab --fstab
  [ -z "${option[script]-}" ] || [ -x "${option[script]}" ] || fail "--script: ${option[script]} is not a program"
  local path
  for path in ${option[exclude]//,/ } ${option[include]//,/ }; do
    [[ $path == /* ]] || fail "-e and -i take absolute paths: '$path' is none"
  done
}

device_of_root() {
  local device point
  while read -r device point _; do
    if [ "$point" = / ] && [[ $device == /dev/* ]]; then
      echo "${device#/dev/}"
      return
    fi
  done </proc/mounts
  return 1
}

# disk_below PARTITION: vda of vda2, nvme0n1 of nvme0n1p2.
disk_below() {
  local path
  path=$(readlink -f "/sys/class/block/$1") && [ -e "$path/partition" ] && path=${path%/*} && echo "${path##*/}"
}

# The mappings that make sense for an image, and the codes that must follow it.
inherit_metadata() {
  local name device mapping='' codes
  # shellcheck disable=SC1091
  . "$lib/../kiln/imds.bash"
  imds_open || return 0
  if [ -z "${option[mapping]-}" ]; then
    for name in $(imds_get meta-data/block-device-mapping/); do
      case $name in ami | root | swap | ephemeral[0-9] | ephemeral[0-9][0-9]) ;; *) continue ;; esac
      device=$(imds_get "meta-data/block-device-mapping/$name") && mapping+=,$name=$device
    done
    option[mapping]=${mapping#,}
  fi
  if [ -z "${option[productcodes]-}" ] && codes=$(imds_get meta-data/product-codes); then
    option[productcodes]=${codes//$'\n'/,}
  fi
}

# make_disk IMAGE: its boot record and boot partition are the running disk's, its root is empty; mounted at `$mounted`.
make_disk() {
  local blocks=$(((option[size] - root_start_mib) * mib / 4096))
  echo "Making a disk of ${option[size]} MiB..."
  # Nobody else may read what this holds of everybody's files, or have put something else there.
  (umask 077 && set -C && : >"$1") || fail "nothing can be written in ${option[destination]}"
  dd if="/dev/$root_disk" of="$1" bs=1M count=$root_start_mib status=none || fail 'the boot partition cannot be read'
  truncate -s $((option[size] * mib)) "$1" &&
    # As the builder makes it: zeros need no writing in a sparse file.
    mke2fs -q -F -t ext4 -b 4096 -J size=16 -m 1 -L "$root_label" \
      -E "offset=$((root_start_mib * mib)),lazy_itable_init=0,lazy_journal_init=0,nodiscard" "$1" $blocks ||
    fail "no file system can be made in ${option[destination]}; is there room?"
  [ -e /dev/loop0 ] || insmod /lib/modules/loop.ko || fail 'the kernel has no loop devices'
  loop=$(losetup -f) && losetup -o $((root_start_mib * mib)) "$loop" "$1" || fail 'no loop device is free'
  mounted=$(mktemp -d) && mount -t ext4 -o noatime,noinit_itable "$loop" "$mounted" ||
    fail 'the new file system cannot be mounted'
}

loop=
mounted=
# Lets the disk go, whatever of it there is.
leave_volume() {
  local failed=0
  if [ -n "$mounted" ]; then
    if grep -q "^[^ ]* $mounted " /proc/mounts; then umount "$mounted" || failed=1; fi
    rmdir "$mounted" && mounted=
  fi
  if [ -n "$loop" ]; then losetup -d "$loop" && loop= || failed=1; fi
  return $failed
}

# Brings the volume's files into the new root.
fill_disk() {
  local volume=${option[volume]%/} path status
  local -a walk=(--numeric-owner --xattrs '--xattrs-include=*' --warning=no-file-ignored --warning=no-file-changed)
  local -a left_out=(--anchored --wildcards --wildcards-match-slash)
  [ -n "${option[all]-}" ] || walk+=(--one-file-system)
  for path in "${machine_directories[@]}"; do left_out+=("--exclude=.$path/*"); done
  for path in "${identity_files[@]}"; do left_out+=("--exclude=.$path"); done
  [ -n "${option[nofilter]-}" ] || for path in "${sensitive_files[@]}"; do left_out+=("--exclude=$path"); done
  # What is being made here, and the key that only its owner should have.
  for path in "${option[destination]}/${option[prefix]}" "${option[destination]}/${option[prefix]}".{part.*,bundling,manifest.xml} \
    "$mounted/*" "$(realpath "${option[privatekey]}")"; do
    [[ $path != "$volume"/* ]] || left_out+=("--exclude=.${path#"$volume"}")
  done
  local -a named
  IFS=, read -r -a named <<<"${option[exclude]-}"
  for path in "${named[@]}"; do
    path=${path%/}
    [[ $path != "$volume"/* ]] || left_out+=("--exclude=.${path#"$volume"}")
  done

  echo "Copying ${option[volume]} into it..."
  tar --create --file=- --sparse --directory="${option[volume]}" "${walk[@]}" "${left_out[@]}" . | unpack
  # 1: a file changed meanwhile, as files of a running machine do.
  [[ "${PIPESTATUS[*]}" =~ ^[01]\ 0$ ]] || fail "the files did not all fit into ${option[size]} MiB (-s), or could not be read"

  IFS=, read -r -a named <<<"${option[include]-}"
  for path in "${named[@]}"; do
    [[ $path == "$volume"/* ]] && [ -e "$path" ] || fail "-i: there is no $path in ${option[volume]}"
    tar --create --file=- --directory="${option[volume]}" "${walk[@]}" -- ".${path#"$volume"}" | unpack ||
      fail "$path could not be included"
  done

  if [ -n "${option[fstab]-}" ]; then
    install_fstab <"${option[fstab]}"
  elif [ -n "${option[generatefstab]-}" ]; then
    printf 'LABEL=%s\t/\text4\tdefaults,noatime\t0 1\n' "$root_label" | install_fstab
  fi
  if [ -n "${option[script]-}" ]; then
    "${option[script]}" "$mounted" || { status=$? && fail "--script: ${option[script]} ended with $status"; }
  fi
}

unpack() {
  tar --extract --file=- --directory="$mounted" --numeric-owner --preserve-permissions --xattrs '--xattrs-include=*'
}

install_fstab() {
  mkdir -p "$mounted/etc" && cat >"$mounted/etc/fstab" && chmod 644 "$mounted/etc/fstab" || fail '/etc/fstab could not be written'
}
