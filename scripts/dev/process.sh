# shellcheck shell=bash
# Long-running programs: start one, tell whether it lives, stop it. RUN and LOG say where its files lie, so that the
# tests can have servers of their own beside those of `up`.

RUN="$DEV/run"
LOG="$DEV/log"

# "<state> <start time> <session>" of a process. The start time makes a pid unmistakable: a stranger who was given the same
# number later has another one.
process_stat() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086  # split into fields on purpose
  set -- $stat
  printf '%s %s %s\n' "$1" "${20}" "$4"
}

# The pid of a running program of ours; false when it is not running.
pid_of() {
  local name=$1 pid started state now
  [[ -r $RUN/$name.pid && -r $RUN/$name.started ]] || return 1
  pid=$(<"$RUN/$name.pid") started=$(<"$RUN/$name.started")
  read -r state now _ < <(process_stat "$pid") || return 1
  [[ $state != Z && $now == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# start NAME COMMAND...: in a session of its own, so that it outlives this shell, with nothing of ours left open.
# What it was started with is remembered: see is_current.
start() {
  local name=$1 pid
  shift
  mkdir -p "$RUN" "$LOG"
  # A log begins with its process; the one before is kept, for what it died of.
  [[ ! -e $LOG/$name.log ]] || mv -f "$LOG/$name.log" "$LOG/$name.log.old"
  (
    close_inherited_files
    exec setsid "$@" </dev/null >>"$LOG/$name.log" 2>&1
  ) &
  pid=$!
  disown "$pid"
  printf '%s\n' "$pid" >"$RUN/$name.pid"
  process_stat "$pid" | cut -d' ' -f2 >"$RUN/$name.started" || true
  fingerprint "$@" >"$RUN/$name.fingerprint"
}

# A lock or pipe of the caller must not be held for as long as a server lives.
close_inherited_files() {
  local path fd
  for path in /proc/"$BASHPID"/fd/*; do
    fd=${path##*/}
    ((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
  done
}

# Everything that a program depends on: its command, its binary, its settings and the files that it reads.
FINGERPRINT_EXTRA=''
fingerprint() {
  { printf '%s\n' "$@" "$FINGERPRINT_EXTRA"; stat -L -c '%i %Y %s' -- "$1" 2>/dev/null; } | sha256sum | cut -d' ' -f1
}

# is_current NAME COMMAND...: it runs, and was started with exactly this.
is_current() {
  local name=$1
  shift
  is_running "$name" && [[ $(<"$RUN/$name.fingerprint") == "$(fingerprint "$@")" ]]
}

# stop NAME [SECONDS]: politely, and after that time without asking.
stop() {
  ask_to_stop "$1"
  finish_stop "$@"
}

ask_to_stop() {
  local pid
  ! pid=$(pid_of "$1") || kill -TERM "$pid" 2>/dev/null || true
}

finish_stop() {
  local name=$1 patience=${2:-20} pid
  if ! wait_until "$patience" is_stopped "$name" && pid=$(pid_of "$name"); then
    warn "$name did not stop within $patience seconds and was killed."
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 5 is_stopped "$name" || true
  fi
  end_orphans "$name"
  rm -f "$RUN/$name".{pid,started,fingerprint}
}

# What a program that died has left behind: the workers of an nginx whose master was killed still hold its port. They are
# known by the session that `start` gave them; no stranger gets its number while one of them lives.
end_orphans() {
  local name=$1 pid session path
  ! is_running "$name" && [[ -r $RUN/$name.pid ]] || return 0
  pid=$(<"$RUN/$name.pid")
  for path in /proc/[0-9]*; do
    read -r _ _ session < <(process_stat "${path#/proc/}") || continue
    [[ $session != "$pid" ]] || kill -KILL "${path#/proc/}" 2>/dev/null || true
  done
}

is_stopped() { ! is_running "$1"; }

# wait_ready NAME SECONDS COMMAND...: until the command is true. A program that dies or dawdles ends the script with
# the last lines of its log.
wait_ready() {
  local name=$1 seconds=$2
  shift 2
  ready_or_dead() { is_stopped "$name" || "$@"; }
  if ! wait_until "$seconds" ready_or_dead "$@"; then
    show_log "$name"
    die "$name was not ready after $seconds seconds; its log is $LOG/$name.log"
  fi
  if is_stopped "$name"; then
    show_log "$name"
    die "$name stopped at its start; its log is $LOG/$name.log"
  fi
}

show_log() {
  [[ -s $LOG/$1.log ]] || return 0
  printf '%s--- the last lines of %s%s\n' "$BOLD" "$LOG/$1.log" "$PLAIN" >&2
  tail -n 15 -- "$LOG/$1.log" | cut -c1-400 >&2
}

# As many open files as the hard limit allows: every socket is one, and in nginx two.
raise_file_limit() { ulimit -n "$(ulimit -Hn)" 2>/dev/null || true; }
