# Reads a bundle's manifest. It may come from anybody, so only what has the expected shape is believed.
max_manifest_bytes=1048576

# read_manifest FILE: sets `manifest`, the text about the image, and the arrays `part_names` and `part_digests`.
read_manifest() {
  [ -f "$1" ] && [ -r "$1" ] || fail "there is no manifest $1 that can be read"
  [ "$(stat -c %s "$1")" -le $max_manifest_bytes ] || fail "$1 is larger than a manifest may be"
  manifest=$(tr -d '\n\r\t\000' <"$1")
  [[ $manifest == *'<manifest>'*'<image>'*'</image>'*'</manifest>'* && $manifest != *'<!'* ]] || fail "$1 is not a manifest"
  [ "$(manifest_text version)" = "$manifest_version" ] || fail "$1 is not a manifest of version $manifest_version"
  manifest=${manifest#*<image>} manifest=${manifest%%</image>*}
  part_names=() part_digests=()
  local name digest count
  while read -r digest name; do
    needs_plain_name "$1" "$name"
    [[ $digest =~ ^[0-9a-f]{40}$ ]] || fail "$1: the part $name has no SHA-1 digest"
    part_names+=("$name")
    part_digests+=("$digest")
  done < <(sed 's/<part /\n&/g' <<<"$manifest" |
    sed -n 's|^<part [^>]*> *<filename>\([^<]*\)</filename> *<digest[^>]*>\([0-9a-f]*\) *</digest>.*|\2 \1|p')
  count=$(sed -n 's/.*<parts count="\([0-9]*\)".*/\1/p' <<<"$manifest")
  if [ ${#part_names[@]} = 0 ] || [ "${#part_names[@]}" != "$count" ]; then
    fail "$1 names ${#part_names[@]} parts, and says that there are ${count:-none}"
  fi
}

# manifest_text ELEMENT: what the first element of that name holds.
manifest_text() {
  sed -n "s|</$1>.*||; s|.*<$1\( [^>]*\)\{0,1\}> *||p" <<<"$manifest"
}

# same_digest FILE DIGEST
same_digest() {
  local found
  found=$(openssl dgst -sha1 -r "$1") && [ "${found%% *}" = "$2" ]
}

# The text that a manifest's element holds sealed for the owner of a key: open_sealed ELEMENT PRIVATE-KEY.
open_sealed() {
  local digits
  digits=$(manifest_text "$1")
  [[ $digits =~ ^([0-9a-f]{2})+$ ]] || return 1
  # shellcheck disable=SC2059
  printf "$(sed 's/../\\x&/g' <<<"$digits")" | openssl pkeyutl -decrypt -inkey "$2" -passin pass: 2>/dev/null
}
