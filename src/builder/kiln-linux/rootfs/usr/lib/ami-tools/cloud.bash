# The cloud's address and certificate, and its S3: requests by bash and openssl alone, because busybox's wget cannot PUT.
# Sourced after options.bash.
# Sources: "Signature Version 4 signing process" and "Signing and authenticating REST requests", S3 user guide.
lib=${BASH_SOURCE[0]%/*}
guest_endpoint=http://169.254.169.254:4566
installed_certificate=/etc/ec2/amitools/cert-ec2.pem
answer_seconds=60
transfer_seconds=600

take_s3_options() {
  takes access value 'your access key id' -a --access-key
  takes secret value 'your secret access key' -s --secret-key
  takes token value 'the session token of temporary keys' -t --delegation-token
  takes url value "the cloud's address; this instance's cloud unless given" --url
  takes region value "the bucket's region; the instance's own unless given" --region
  takes sigv value 'the version of the signature, 2 or 4 (4)' --sigv
  takes retry flag 'try again when the cloud fails, up to five times' --retry
  takes batch flag 'ask nothing (it never does)' --batch
}

# check_s3_options: fills in what was not given. `-b BUCKET/PATH` sets `bucket` and `folder`, which ends with a slash.
check_s3_options() {
  needs bucket -b
  bucket=${option[bucket]%%/*} folder=
  if [[ ${option[bucket]} == */* ]]; then folder=${option[bucket]#*/} folder=${folder%/}; fi
  folder=${folder:+$folder/}
  [[ $bucket =~ ^[A-Za-z0-9._-]{3,255}$ ]] || fail "-b: '$bucket' is not a bucket's name"
  : "${option[access]:=${AWS_ACCESS_KEY_ID-}}" "${option[secret]:=${AWS_SECRET_ACCESS_KEY-}}"
  : "${option[token]:=${AWS_SESSION_TOKEN-}}"
  needs access -a
  needs secret -s
  : "${option[sigv]:=4}"
  [[ ${option[sigv]} =~ ^[24]$ ]] || fail '--sigv is 2 or 4'
  : "${option[region]:=$(own_region)}"
  [[ ${option[region]} =~ ^[a-z0-9-]+$ ]] || fail "--region: '${option[region]}' is not a region"
}

own_region() {
  local region=${AWS_REGION:-${AWS_DEFAULT_REGION-}}
  if [ -z "$region" ] && [ "$(endpoint)" = $guest_endpoint ]; then
    # shellcheck disable=SC1091
    region=$(. "$lib/../kiln/imds.bash" && imds_open && imds_get meta-data/placement/region)
  fi
  echo "${region:-us-east-1}"
}

endpoint() {
  local url=${option[url]:-${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL:-$guest_endpoint}}}
  [[ $url =~ ^http://[A-Za-z0-9.-]+(:[0-9]+)?/?$ ]] || fail "--url: '$url' is not http://HOST[:PORT]"
  echo "${url%/}"
}

# The cloud's certificate: the one that somebody installed, or what the cloud hands out now. That is not kept, because the
# disk may wake up in another cloud.
fetched_certificate=
find_cloud_certificate() {
  option[ec2cert]=$installed_certificate
  [ ! -s $installed_certificate ] || return 0
  fetched_certificate=$(mktemp) || exit 1
  option[ec2cert]=$fetched_certificate
  request GET /_kiln/certificate '' "$fetched_certificate" ||
    fail "the cloud's certificate could not be fetched from $(endpoint)/_kiln/certificate ($answer); give it with --ec2cert"
}

# request METHOD PATH BODY-FILE OUTPUT-FILE [HEADER...]: one exchange on a connection of its own. Succeeds for an answer
# 2xx; `status` and `answer`, a line for people, tell of any other. HTTP/1.0, so that a body is never in chunks.
request() {
  local method=$1 path=$2 body=$3 output=$4 url host port length=0 line expected= received
  shift 4
  url=$(endpoint) || exit 1
  host=${url#*://} port=80
  [[ $host != *:* ]] || port=${host##*:}
  status=0 answer="$host does not answer"
  { exec 3<>"/dev/tcp/${host%%:*}/$port"; } 2>/dev/null || return 1
  [ -z "$body" ] || length=$(stat -c %s "$body")
  # A cloud that refuses early closes the connection; what it said counts then.
  (
    trap '' PIPE
    printf '%s %s HTTP/1.0\r\nHost: %s\r\n' "$method" "$path" "$host"
    [ $# = 0 ] || printf '%s\r\n' "$@"
    printf 'Content-Length: %s\r\n\r\n' "$length"
    [ -z "$body" ] || timeout $transfer_seconds cat "$body"
  ) >&3 2>/dev/null
  if IFS=' ' read -r -t $answer_seconds _ status line <&3; then
    status=${status%$'\r'} answer="$status ${line%$'\r'}"
    while IFS= read -r -t $answer_seconds line <&3 && [ "$line" != $'\r' ]; do
      case ${line,,} in content-length:*) expected=${line//[!0-9]/} ;; esac
    done
    if [ "$method" != HEAD ]; then
      timeout $transfer_seconds cat <&3 >"$output"
      received=$(stat -c %s "$output")
      if [ -n "$expected" ] && [ "$received" != "$expected" ]; then
        status=0 answer="the answer broke off after $received of $expected bytes"
      fi
    fi
  fi
  exec 3>&-
  [[ $status == 2* ]] && return 0
  if [ "$method" != HEAD ] && [ -s "$output" ]; then
    line=$(head -c 4096 "$output" | tr -d '\r\n' | sed -n 's|.*<Code>\([^<]*\)</Code>.*<Message>\([^<]*\)</Message>.*|\1: \2|p')
    answer=${line:-$answer}
  fi
  return 1
}

# s3 METHOD KEY BODY-FILE OUTPUT-FILE [x-amz-NAME:VALUE...]: one signed request on the bucket; an empty key is the bucket
# itself. Tries again where --retry says so and the cloud, not the request, is at fault.
s3() {
  local path attempt=1
  path=/$bucket
  [ -z "$2" ] || path=/$bucket/$(uri "$2")
  until sign_and_send "$1" "$path" "${@:3}"; do
    if [ -z "${option[retry]-}" ] || [ $attempt -ge 5 ] || [[ $status == 4* ]]; then return 1; fi
    echo "$tool: $1 $path: $answer; trying again" >&2
    attempt=$((attempt + 1))
    sleep "${KILN_RETRY_SECONDS:-5}"
  done
}

# sign_and_send METHOD PATH BODY-FILE OUTPUT-FILE [x-amz-NAME:VALUE...]
sign_and_send() {
  local method=$1 path=$2 body=$3 output=$4
  local -a amz=("${@:5}")
  [ -z "${option[token]-}" ] || amz+=("x-amz-security-token:${option[token]}")
  if [ "${option[sigv]}" = 2 ]; then sign_version_2; else sign_version_4; fi
  request "$method" "$path" "$body" "$output" "${signed[@]}"
}

# Both use the caller's variables, and set `signed`, the headers to send.
sign_version_4() {
  local now scope payload canonical names key piece url
  now=$(date -u +%Y%m%dT%H%M%SZ) url=$(endpoint) || exit 1
  payload=$(openssl dgst -sha256 -r "${body:-/dev/null}") payload=${payload%% *}
  amz+=("host:${url#*://}" "x-amz-content-sha256:$payload" "x-amz-date:$now")
  mapfile -t amz < <(printf '%s\n' "${amz[@]}" | sort)
  names=$(printf '%s;' "${amz[@]%%:*}") names=${names%;}
  canonical=$method$'\n'$path$'\n\n'$(printf '%s\n' "${amz[@]}")$'\n\n'$names$'\n'$payload
  scope=${now%%T*}/${option[region]}/s3/aws4_request
  key=$(printf %s "AWS4${option[secret]}" | to_hex)
  for piece in "${now%%T*}" "${option[region]}" s3 aws4_request; do key=$(hmac_sha256 "$key" "$piece"); done
  canonical=$(printf %s "$canonical" | openssl dgst -sha256 -r)
  key=$(hmac_sha256 "$key" "AWS4-HMAC-SHA256"$'\n'"$now"$'\n'"$scope"$'\n'"${canonical%% *}")
  signed=("Authorization: AWS4-HMAC-SHA256 Credential=${option[access]}/$scope, SignedHeaders=$names, Signature=$key")
  for piece in "${amz[@]}"; do [[ $piece == host:* ]] || signed+=("${piece%%:*}: ${piece#*:}"); done
}

sign_version_2() {
  local piece md5='' signature
  amz+=("x-amz-date:$(date -u '+%a, %d %b %Y %H:%M:%S GMT')")
  mapfile -t amz < <(printf '%s\n' "${amz[@]}" | sort)
  [ -z "$body" ] || md5=$(openssl dgst -md5 -binary "$body" | openssl base64 -A)
  signature=$(printf '%s\n%s\n\n\n%s\n%s' "$method" "$md5" "$(printf '%s\n' "${amz[@]}")" "$path" |
    openssl dgst -sha1 -hmac "${option[secret]}" -binary | openssl base64 -A)
  signed=("Authorization: AWS ${option[access]}:$signature")
  [ -z "$md5" ] || signed+=("Content-MD5: $md5")
  for piece in "${amz[@]}"; do signed+=("${piece%%:*}: ${piece#*:}"); done
}

# hmac_sha256 HEX-KEY TEXT: hexadecimal.
hmac_sha256() {
  local said
  said=$(printf %s "$2" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1")
  printf %s "${said##* }"
}

# A key as it stands in a path: all but unreserved characters and slashes by their codes.
uri() {
  local text=$1 index character
  for ((index = 0; index < ${#text}; index++)); do
    character=${text:index:1}
    case $character in
      [A-Za-z0-9._~/-]) printf %s "$character" ;;
      *) printf %%%s "$(printf %s "$character" | to_hex | tr a-f A-F)" ;;
    esac
  done
}

to_hex() {
  od -An -v -tx1 | tr -d ' \n'
}
