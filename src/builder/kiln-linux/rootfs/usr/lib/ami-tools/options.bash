# The AMI tools' options, and how a tool ends. Sourced first, by bash. $tool is the command's name; what a command takes
# is declared by `takes`, and what it got stands in the array `option`.
# Source: "Amazon EC2 AMI tools reference", EC2 user guide.
set -o pipefail
export LC_ALL=C
tool=${0##*/}
# The options are those of the classic tools' 1.5; the manifests are of this version.
tools_version=1.5.0
manifest_version=2007-10-10

declare -A option option_of kind_of
usage=
# Words that belong to no option.
rest=()

fail() {
  echo "$tool: $*" >&2
  exit 1
}

# takes NAME value|list|flag MEANING FORM...: one option. The values of a list are joined by commas.
takes() {
  local name=$1 kind=$2 meaning=$3 form line
  shift 3
  kind_of[$name]=$kind
  for form; do option_of[$form]=$name; done
  printf -v line '  %-34s %s\n' "$*" "$meaning"
  usage+=$line
}

# read_options WORD...: fills `option` and `rest`.
read_options() {
  local word form name value
  takes help flag 'this text' -h --help
  takes manual flag 'this text' --manual
  takes version flag 'the version of the tools' --version
  takes debug flag 'show every command that is run' --debug
  while [ $# -gt 0 ]; do
    word=$1
    shift
    case $word in
      --) rest+=("$@") && break ;;
      --*=*) form=${word%%=*} value=${word#*=} ;;
      -[!-]?*) form=${word:0:2} value=${word:2} ;;
      -?*) form=$word value= ;;
      *) rest+=("$word") && continue ;;
    esac
    name=${option_of[$form]-}
    [ -n "$name" ] || fail "$form is not an option of this command (see --help)"
    if [ "${kind_of[$name]}" = flag ]; then
      [ "$word" = "$form" ] || fail "$form takes no value"
      option[$name]=1
      continue
    fi
    if [ "$word" = "$form" ]; then
      [ $# -gt 0 ] || fail "$form needs a value"
      value=$1
      shift
    fi
    if [ "${kind_of[$name]}" = list ] && [ -n "${option[$name]-}" ]; then value=${option[$name]},$value; fi
    option[$name]=$value
    [ "$name" != exclude ] || take_expanded_glob "$@" || shift $?
  done
  if [ -n "${option[help]-}${option[manual]-}" ]; then
    printf 'Usage: %s OPTIONS\n%s' "$tool" "$usage"
    exit 0
  fi
  if [ -n "${option[version]-}" ]; then
    echo "$tools_version ${manifest_version//-/}"
    exit 0
  fi
  [ -z "${option[debug]-}" ] || set -x
}

# After `-e /keys/*` the shell may have put the files in place of the star: they are excluded too, not ignored.
# Returns how many words were taken.
take_expanded_glob() {
  local count=0
  while [ $# -gt 0 ] && [[ $1 == /* ]] && [ $count -lt 250 ]; do
    option[exclude]+=,$1
    count=$((count + 1))
    shift
  done
  return $count
}

# needs NAME FORM: an option that must be given.
needs() {
  [ -n "${option[$1]-}" ] || fail "$2 is missing"
}

# needs_file NAME FORM: an option that names a file which can be read.
needs_file() {
  needs "$1" "$2"
  if [ ! -f "${option[$1]}" ] || [ ! -r "${option[$1]}" ]; then fail "$2: there is no file ${option[$1]} that can be read"; fi
}

# needs_directory NAME FORM
needs_directory() {
  [ -d "${option[$1]}" ] || fail "$2: there is no directory ${option[$1]}"
}

# needs_plain_name WHERE NAME: the name of a file.
needs_plain_name() {
  [[ $2 =~ ^[A-Za-z0-9_+@%=,~-][A-Za-z0-9._+@%=,~\ -]{0,199}$ ]] || fail "$1: '$2' is not a name for a bundle's files"
}
