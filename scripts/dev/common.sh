# shellcheck shell=bash
# Messages to the user, and small helpers that every other file uses.

DEV="$ROOT/.dev"

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' GREEN='' PLAIN=''
fi

step() { printf '%s==>%s %s\n' "$BOLD$GREEN" "$PLAIN" "$*" >&2; }
warn() { printf '%swarning:%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }
die() {
  printf '%serror:%s %s\n' "$BOLD$RED" "$PLAIN" "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

random_hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# wait_until SECONDS COMMAND...: returns true as soon as the command succeeds, false after the timeout.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# Returns true if a process accepts connections on this loopback port.
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_holder() {
  has ss || return 0
  ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1 (pid \2)/p' | head -n 1
}

# need_port PORT WHAT VARIABLE: fails if the port is in use.
need_port() {
  port_answers "$1" || return 0
  die "Port $1, needed for $2, is in use$(port_holder "$1"). Free it, or choose another: $3=$(free_port) ./dev ..."
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# render TEMPLATE NAME...: prints the text with each ${NAME} replaced by the variable's value; all other text is unchanged.
render() {
  local text name
  text=$(<"$1")
  shift
  for name in "$@"; do
    text=${text//"\${$name}"/"${!name}"}
  done
  printf '%s\n' "$text"
}
