# The instance metadata service, by bash alone: one process asks for everything, and busybox's wget cannot PUT.
# Source: "Use the Instance Metadata Service to access instance metadata", EC2 user guide.
imds_address=169.254.169.254
imds_token=

# imds_request METHOD PATH [HEADER]: the body on standard output. Returns 0 for 200, 1 for a refusal, 2 for no answer.
# HTTP/1.0, so that a body is never in chunks; one without a length ends with the connection.
imds_request() {
  local protocol status line length=
  { exec 3<>"/dev/tcp/$imds_address/80"; } 2>/dev/null || return 2
  printf '%s %s HTTP/1.0\r\nHost: %s\r\n%s\r\n' "$1" "$2" "$imds_address" "${3:+$3$'\r\n'}" >&3
  if ! read -r -t 5 protocol status line <&3; then
    exec 3>&-
    return 2
  fi
  while IFS= read -r -t 5 line <&3 && [ "$line" != $'\r' ]; do
    case ${line,,} in content-length:*) length=${line//[!0-9]/} ;; esac
  done
  if [ "${status%$'\r'}" != 200 ]; then
    exec 3>&-
    case $status in 5*) return 2 ;; *) return 1 ;; esac
  fi
  # Without a program where that is enough: each costs 15 ms of boot time. Large bodies may hold zero bytes.
  if [ -z "$length" ]; then
    cat <&3
  elif [ "$length" -gt 2048 ]; then
    head -c "$length" <&3
  elif [ "$length" -gt 0 ]; then
    LC_ALL=C IFS= read -r -d '' -N "$length" -t 5 line <&3
    printf '%s' "$line"
  fi
  exec 3>&-
}

# Version 2 where it is offered; version 1 needs no token.
imds_open() {
  local result
  imds_token=$(imds_request PUT /latest/api/token 'X-aws-ec2-metadata-token-ttl-seconds: 21600')
  result=$?
  [ $result -ne 2 ]
}

# imds_get PATH below /latest/
imds_get() {
  imds_request GET "/latest/$1" "${imds_token:+X-aws-ec2-metadata-token: $imds_token}"
}
