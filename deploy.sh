#!/usr/bin/env bash
# Deploys a release to one host over SSH, with a health check and rollback. `./deploy.sh help` lists the commands; docs/OPERATIONS.md explains them.
# This is the half of the operator's machine. The other half, scripts/deploy/host.sh, is sent over ssh: nothing of it stays on the host.
set -euo pipefail

PARTS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/scripts/deploy
[[ -r $PARTS/options.sh && -r $PARTS/supervision.sh && -r $PARTS/host.sh ]] || {
  echo "error: $PARTS is missing or incomplete. Run deploy.sh in the repository, or in an unpacked archive." >&2
  exit 1
}
# shellcheck source=/dev/null
. "$PARTS/options.sh"

usage() {
  cat <<'HELP'
Usage: ./deploy.sh deploy ARCHIVE HOST [options]   Install and start the release of an archive that ./dev release made.
       ./deploy.sh rollback HOST [options]         Start the release that ran before the current one.
       ./deploy.sh restart HOST [options]          Start the current release again: after a change of its configuration, or of the host.
       ./deploy.sh stop HOST [options]             Stop the service. The releases and the configuration stay.
       ./deploy.sh status HOST [options]           Print what runs. The exit code is 0 if it is ready.

HOST is what ssh accepts, with a key or an agent: no password is asked for.

Options; those marked * are stored on the host, and apply until another deployment changes them:
  --base DIR            Folder of the deployment on the host (/srv/chat). DIR/config/.env or DIR/config/chat.toml must exist.
  --ssh-config FILE     Configuration file of ssh, for another port, key or host key.
  --supervisor NAME   * systemd, none (a shell that starts the process again), or auto (the default: systemd if it runs and the user may use it).
  --ports A,B,C,D     * REST and WebSocket port of the two slots (4000,4001,4010,4011). A deployment starts in the free slot.
  --wait SECONDS      * Time limit for the new process to become ready (120).
  --observe SECONDS   * Time for which it must stay ready before the traffic moves (15).
  --reload COMMAND    * Command on the host that reloads nginx after the traffic's addresses changed.
  --keep N            * Number of releases that stay on the host (5).

A failure leaves or restores the former release, and ends with exit code 1 and one line that begins with `error:`.
HELP
}

main() {
  local command=${1:-help} archive=''
  shift || true
  case $command in
    help | -h | --help) usage && exit 0 ;;
    deploy | rollback | restart | stop | status) ;;
    *) die "There is no command '$command'. ./deploy.sh help lists them." ;;
  esac
  read_options "$@"
  check_options
  if [[ $command == deploy ]]; then
    ((${#WORDS[@]} == 2)) || die "Name an archive and a host: ./deploy.sh deploy ARCHIVE HOST"
    archive=${WORDS[0]} HOST=${WORDS[1]}
    check_archive "$archive"
  else
    ((${#WORDS[@]} == 1)) || die "Name a host: ./deploy.sh $command HOST"
    HOST=${WORDS[0]}
  fi
  [[ $HOST =~ ^[A-Za-z0-9_][A-Za-z0-9._@:-]*$ ]] || die "'$HOST' is not a name for ssh."
  need ssh "this machine"
  [[ -z $SSH_CONFIG || -r $SSH_CONFIG ]] || die "The file --ssh-config $SSH_CONFIG cannot be read."

  # One connection for all steps.
  TEMPORARY=$(mktemp -d)
  SSH_OPTIONS=(-o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ControlMaster=auto -o "ControlPath=$TEMPORARY/c" -o ControlPersist=60)
  [[ -z $SSH_CONFIG ]] || SSH_OPTIONS+=(-F "$SSH_CONFIG")
  trap 'ssh "${SSH_OPTIONS[@]}" -O exit "$HOST" >/dev/null 2>&1 || true; rm -rf "$TEMPORARY"' EXIT
  ssh "${SSH_OPTIONS[@]}" "$HOST" 'command -v bash >/dev/null || { echo "error: bash is missing on the host. Install it, then try again." >&2; exit 1; }' </dev/null ||
    die "$HOST cannot be used over ssh, see above."

  if [[ $command == deploy ]]; then
    need scp "this machine"
    local name sum
    name=$(basename "$archive") sum=$(sha256sum "$archive" | cut -d' ' -f1)
    on_host prepare "$name" || exit 1
    say "Uploading $name"
    scp -q "${SSH_OPTIONS[@]}" "$archive" "$HOST:$BASE/incoming/$name" || die "The upload failed. The running release was not touched."
    on_host deploy "$name" "$sum" || exit 1
  else
    on_host "$command" || exit 1
  fi
}

# on_host COMMAND [ARGUMENT...]: runs the other half, with the options that the caller gave.
on_host() {
  local name status=0 arguments=()
  arguments=("$@" --base "$BASE")
  for name in "${GIVEN[@]}"; do
    [[ $name == BASE || $name == SSH_CONFIG ]] || arguments+=("--${name,,}" "${!name}")
  done
  # shellcheck disable=SC2029  # quoted for the shell of the host
  ssh "${SSH_OPTIONS[@]}" "$HOST" "bash -s -- $(printf '%q ' "${arguments[@]}")" \
    < <(cat "$PARTS"/{options,supervision,host}.sh) || status=$?
  # ssh returns 255 for its own failures.
  ((status != 255)) || die "The connection to $HOST broke. What had begun there goes on to its end: see ./deploy.sh status $HOST"
  return "$status"
}

check_archive() {
  [[ -f $1 && -r $1 ]] || die "There is no archive $1. Make one with ./dev release"
  [[ $(basename "$1") =~ ^chat-service-[0-9A-Za-z.+-]+-linux-[a-z0-9_]+\.tar\.gz$ ]] ||
    die "$(basename "$1") is not the name of an archive of ./dev release: chat-service-VERSION-linux-ARCH.tar.gz"
  need sha256sum "this machine"
  [[ ! -f $1.sha256 ]] || (cd -- "$(dirname -- "$1")" && sha256sum --quiet -c "$(basename "$1").sha256" >/dev/null 2>&1) ||
    die "$1 does not have the checksum that $1.sha256 states. Build or copy it again."
}

main "$@"
