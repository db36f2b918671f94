# shellcheck shell=bash
# Options and messages, on both machines.

IS_SAID=0
say() { printf '==> %s\n' "$*" 2>/dev/null || true; }
die() {
  printf 'error: %s\n' "$*" >&2 2>/dev/null || true
  IS_SAID=1
  exit 1
}
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing on $2. Install it, then try again."; }
is_number() { [[ $1 =~ ^[0-9]{1,5}$ ]]; }

# The settings that are stored on the host, with their defaults.
SETTINGS=(SUPERVISOR PORTS WAIT OBSERVE RELOAD KEEP)
SUPERVISOR='' PORTS=4000,4001,4010,4011 WAIT=120 OBSERVE=15 RELOAD='' KEEP=5
BASE=/srv/chat SSH_CONFIG='' GIVEN=()

# Reads the options of both halves. Positional arguments are collected in WORDS.
read_options() {
  WORDS=()
  while (($#)); do
    case $1 in
      --base | --ssh-config | --supervisor | --ports | --wait | --observe | --reload | --keep)
        (($# > 1)) || die "$1 needs a value."
        local name=${1#--}
        name=${name//-/_}
        printf -v "${name^^}" '%s' "$2"
        GIVEN+=("${name^^}")
        shift ;;
      -*) die "There is no option $1. ./deploy.sh help lists them." ;;
      *) WORDS+=("$1") ;;
    esac
    shift
  done
}

check_options() {
  [[ $BASE =~ ^/[A-Za-z0-9._/-]+$ && $BASE != *..* ]] || die "--base is an absolute path of letters, digits and ._/-"
  [[ ${SUPERVISOR:-auto} =~ ^(auto|none|systemd)$ ]] || die "--supervisor is auto, none or systemd."
  [[ $PORTS =~ ^[0-9]{1,5}(,[0-9]{1,5}){3}$ ]] || die "--ports has four ports: REST and WebSocket of both slots, for example 4000,4001,4010,4011"
  [[ -z $(tr ',' '\n' <<<"$PORTS" | sort | uniq -d) ]] || die "--ports needs four different ports."
  is_number "$WAIT" && is_number "$OBSERVE" || die "--wait and --observe are numbers of seconds."
  is_number "$KEEP" && ((KEEP >= 2)) || die "--keep is a number of at least 2: the current release and the one before it."
}
