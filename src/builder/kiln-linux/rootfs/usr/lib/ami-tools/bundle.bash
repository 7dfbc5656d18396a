# Makes a bundle: image, tar, gzip, AES-128-CBC, parts of 10 MiB with SHA-1 digests, a signed manifest.
# Sourced after options.bash and cloud.bash.
part_mib=10
max_image_mib=10240

# What ec2-bundle-image and ec2-bundle-vol both take.
take_bundle_options() {
  takes cert value "your X.509 certificate (PEM, RSA)" -c --cert
  takes privatekey value "the certificate's private key (PEM)" -k --privatekey
  takes user value "your account's number, 12 digits" -u --user
  takes arch value 'i386, x86_64 or arm64; this machine unless given' -r --arch
  takes destination value 'where the bundle goes; /mnt where something is mounted there, else /tmp' -d --destination
  takes prefix value "what the bundle's files are called; 'image' or the image's name" -p --prefix
  takes ec2cert value "the cloud's certificate; fetched from the cloud unless given" --ec2cert
  takes mapping list 'VIRTUAL=DEVICE,..., such as ami=sda1,root=/dev/sda1,ephemeral0=sdb' -B --block-device-mapping
  takes kernel value 'the kernel image (aki-...)' --kernel
  takes ramdisk value 'the RAM disk image (ari-...)' --ramdisk
  takes productcodes list 'CODE,...' --productcodes
  takes batch flag 'ask nothing (it never does)' --batch
  takes url value 'the cloud to fetch its certificate from' --url
}

# Checks all of them before anything is made.
check_bundle_options() {
  needs_file cert -c
  needs_file privatekey -k
  needs user -u
  option[user]=${option[user]//-/}
  [[ ${option[user]} =~ ^[0-9]{12}$ ]] || fail "-u: an account's number has 12 digits"
  : "${option[arch]:=$(uname -m)}"
  case ${option[arch]} in
    i386 | x86_64 | arm64) ;;
    aarch64) option[arch]=arm64 ;;
    *) fail "-r: the architecture '${option[arch]}' is none of i386, x86_64, arm64" ;;
  esac
  [ -n "${option[destination]-}" ] || option[destination]=$(roomy_directory)
  needs_directory destination -d
  option[destination]=$(cd "${option[destination]}" && pwd -P)
  needs_plain_name -p "${option[prefix]}"
  local pair
  for pair in ${option[mapping]//,/ }; do
    [[ $pair =~ ^[a-z]+[0-9]*=[A-Za-z0-9/]+$ ]] || fail "-B: '$pair' is not VIRTUAL=DEVICE"
  done
  [[ ${option[productcodes]-} =~ ^[A-Za-z0-9,-]*$ ]] || fail "--productcodes: '${option[productcodes]}' are not codes"
  check_id kernel --kernel
  check_id ramdisk --ramdisk
  check_certificate -c "${option[cert]}"
  openssl pkey -in "${option[privatekey]}" -passin pass: -noout 2>/dev/null ||
    fail "-k: ${option[privatekey]} holds no private key that opens without a password"
  [ "$(openssl pkey -in "${option[privatekey]}" -passin pass: -pubout)" = \
    "$(openssl x509 -in "${option[cert]}" -noout -pubkey)" ] ||
    fail "-k: the private key is not the one of the certificate ${option[cert]}"
  [ -n "${option[ec2cert]-}" ] || find_cloud_certificate
  needs_file ec2cert --ec2cert
  check_certificate --ec2cert "${option[ec2cert]}"
}

check_id() {
  [[ ${option[$1]-} =~ ^[a-z0-9-]*$ ]] || fail "$2: '${option[$1]}' is not an id"
}

check_certificate() {
  openssl x509 -in "$2" -noout 2>/dev/null || fail "$1: $2 is not an X.509 certificate in PEM"
  openssl x509 -in "$2" -noout -text | grep -q 'Public Key Algorithm: rsaEncryption' ||
    fail "$1: the certificate $2 has no RSA key"
}

roomy_directory() {
  if grep -q '^[^ ]* /mnt ' /proc/mounts; then echo /mnt; else echo /tmp; fi
}

# bundle_image IMAGE: writes the parts and the manifest of that file. Of half a bundle nothing stays.
bundle_image() {
  local image=$1 key iv part digest
  local stem=${option[destination]}/${option[prefix]}
  local work=$stem.bundling
  local -a names=() digests=()
  local bundled=0
  mkdir "$work" || fail "$work cannot be made: another bundling may be going on, or have been cut off"
  unfinished=$stem
  rm -f "$stem.manifest.xml" "$stem".part.[0-9]*
  key=$(openssl rand -hex 16) && iv=$(openssl rand -hex 16) || fail 'openssl gives no random key'

  echo "Bundling $image (${option[arch]})..."
  # What is read once is packed, counted and cut on the way. The archive's digest is taken at a named pipe, so that its
  # end can be waited for.
  mkfifo "$work/archive"
  openssl dgst -sha1 -r <"$work/archive" >"$work/digest" &
  local counter=$!
  tar --create --sparse --file=- --directory="${image%/*}" -- "${image##*/}" | tee "$work/archive" | gzip |
    openssl enc -e -aes-128-cbc -K "$key" -iv "$iv" | cut_into_parts "$stem" ||
    fail "the bundle could not be written; is there room in ${option[destination]}?"
  wait $counter || fail 'the digest could not be taken'

  while read -r digest part; do
    names+=("$part")
    digests+=("$digest")
    bundled=$((bundled + $(stat -c %s "${option[destination]}/$part")))
  done <"$work/parts"
  read -r digest _ <"$work/digest"
  write_manifest "$(stat -c %s "$image")" $bundled "$digest" "$key" "$iv" >"$work/manifest" ||
    fail 'the manifest could not be sealed and signed'
  mv "$work/manifest" "$stem.manifest.xml"
  rm -r "$work"
  unfinished=
  sync
  echo "Created ${option[prefix]}.manifest.xml"
}

# For the tools' EXIT traps.
unfinished=
remove_unfinished() {
  [ -z "$fetched_certificate" ] || rm -f "$fetched_certificate"
  [ -z "$unfinished" ] || rm -rf "$unfinished.bundling" "$unfinished.manifest.xml" "$unfinished".part.[0-9]*
}

# cut_into_parts STEM: from standard input. `DIGEST NAME` of each part goes to STEM.bundling/parts.
cut_into_parts() {
  local number=0 part digest
  while :; do
    part=$1.part.$(printf %02d $number)
    dd bs=1M count=$part_mib iflag=fullblock of="$part" status=none || return 1
    if [ ! -s "$part" ]; then
      rm "$part"
      break
    fi
    digest=$(openssl dgst -sha1 -r "$part") || return 1
    echo "${digest%% *} ${part##*/}" >>"$1.bundling/parts"
    echo "Created ${part##*/}"
    number=$((number + 1))
  done
}

# write_manifest IMAGE-BYTES BUNDLED-BYTES ARCHIVE-DIGEST KEY IV: the manifest on standard output. Uses `names`, `digests`.
# What is signed are the two elements, as they stand, one after the other.
write_manifest() {
  local machine image index signature cloud_key cloud_iv user_key user_iv
  cloud_key=$(sealed_for "${option[ec2cert]}" "$4") && cloud_iv=$(sealed_for "${option[ec2cert]}" "$5") &&
    user_key=$(sealed_for "${option[cert]}" "$4") && user_iv=$(sealed_for "${option[cert]}" "$5") || return 1

  machine="<machine_configuration><architecture>${option[arch]}</architecture>$(mapping_xml)"
  [ -z "${option[productcodes]-}" ] || machine+=$(product_codes_xml)
  [ -z "${option[kernel]-}" ] || machine+="<kernel_id>${option[kernel]}</kernel_id>"
  [ -z "${option[ramdisk]-}" ] || machine+="<ramdisk_id>${option[ramdisk]}</ramdisk_id>"
  machine+='</machine_configuration>'

  image="<image><name>${option[prefix]}</name><user>${option[user]}</user><type>machine</type>"
  image+="<digest algorithm=\"SHA1\">$3</digest><size>$1</size><bundled_size>$2</bundled_size>"
  image+="<ec2_encrypted_key algorithm=\"AES-128-CBC\">$cloud_key</ec2_encrypted_key>"
  image+="<user_encrypted_key algorithm=\"AES-128-CBC\">$user_key</user_encrypted_key>"
  image+="<ec2_encrypted_iv>$cloud_iv</ec2_encrypted_iv><user_encrypted_iv>$user_iv</user_encrypted_iv>"
  image+="<parts count=\"${#names[@]}\">"
  for index in "${!names[@]}"; do
    image+="<part index=\"$index\"><filename>${names[index]}</filename>"
    image+="<digest algorithm=\"SHA1\">${digests[index]}</digest></part>"
  done
  image+='</parts></image>'

  signature=$(printf %s "$machine$image" | openssl dgst -sha1 -sign "${option[privatekey]}" -passin pass: | to_hex) ||
    return 1
  printf '<?xml version="1.0"?>\n<manifest><version>%s</version>' "$manifest_version"
  printf '<bundler><name>kiln-ami-tools</name><version>%s</version><release>1</release></bundler>' "$tools_version"
  printf '%s%s<signature>%s</signature></manifest>\n' "$machine" "$image" "$signature"
}

mapping_xml() {
  [ -n "${option[mapping]-}" ] || return 0
  local pair
  printf '<block_device_mapping>'
  for pair in ${option[mapping]//,/ }; do
    printf '<mapping><virtual>%s</virtual><device>%s</device></mapping>' "${pair%%=*}" "${pair#*=}"
  done
  printf '</block_device_mapping>'
}

product_codes_xml() {
  printf '<product_codes>'
  # shellcheck disable=SC2086
  printf '<product_code>%s</product_code>' ${option[productcodes]//,/ }
  printf '</product_codes>'
}

# sealed_for CERTIFICATE TEXT: only the certificate's owner can read the text.
sealed_for() {
  printf %s "$2" | openssl pkeyutl -encrypt -certin -inkey "$1" | to_hex
}
