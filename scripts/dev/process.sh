# shellcheck shell=bash
# Starts, checks and stops long-running programs. RUN and LOG are the directories of their files, so that the
# tests can have their own servers beside those of `up`.

RUN="$DEV/run"
LOG="$DEV/log"

# Prints "<state> <start time> <session>" of a process. The start time makes a pid unique: a foreign process that reuses the
# pid has a different start time.
process_stat() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086  # split into fields on purpose
  set -- $stat
  printf '%s %s %s\n' "$1" "${20}" "$4"
}

# Prints the pid of a program that `start` started; returns false if it is not running.
pid_of() {
  local name=$1 pid started state now
  [[ -r $RUN/$name.pid && -r $RUN/$name.started ]] || return 1
  pid=$(<"$RUN/$name.pid") started=$(<"$RUN/$name.started")
  read -r state now _ < <(process_stat "$pid") || return 1
  [[ $state != Z && $now == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# start NAME COMMAND...: runs it in its own session, so that it outlives this shell, without inherited file descriptors.
# Stores what it was started with, for is_current.
start() {
  local name=$1 pid
  shift
  mkdir -p "$RUN" "$LOG"
  # Each process has a new log; the previous one is kept, to find out why the process died.
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

# A server must not hold a lock or pipe of the caller for its whole lifetime.
close_inherited_files() {
  local path fd
  for path in /proc/"$BASHPID"/fd/*; do
    fd=${path##*/}
    ((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
  done
}

# Prints a fingerprint of everything that a program depends on: its command, its binary, its settings and the files that it reads.
FINGERPRINT_EXTRA=''
fingerprint() {
  { printf '%s\n' "$@" "$FINGERPRINT_EXTRA"; stat -L -c '%i %Y %s' -- "$1" 2>/dev/null; } | sha256sum | cut -d' ' -f1
}

# is_current NAME COMMAND...: returns true if it runs and was started with exactly these dependencies.
is_current() {
  local name=$1
  shift
  is_running "$name" && [[ $(<"$RUN/$name.fingerprint") == "$(fingerprint "$@")" ]]
}

# stop NAME [SECONDS]: sends SIGTERM, and SIGKILL after the timeout.
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

# Kills the remains of a program that died: the workers of an nginx whose master was killed still hold its port. They are
# identified by the session that `start` created; its number is not reused while one of them lives.
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

# wait_ready NAME SECONDS COMMAND...: waits until the command succeeds. If the program dies or the time is over, the script ends with
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

# Raises the limit of open files to the hard limit: every socket needs one file, and two in nginx.
raise_file_limit() { ulimit -n "$(ulimit -Hn)" 2>/dev/null || true; }
