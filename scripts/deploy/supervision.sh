# shellcheck shell=bash
# Health of a slot's process, and its supervision, on the host.

# answers PORT PATH: returns true if the response is a success. It needs no program on the host.
answers() (
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
  read -r -t 5 _ code _ <&3 && [[ $code == 2* ]]
) 2>/dev/null

is_ready() { answers "$(port "$1" api)" /api/health && answers "$(port "$1" ws)" /health/ready; }
is_serving() { pid_of "$1" >/dev/null && is_ready "$1"; }

# wait_ready SLOT SECONDS: sets WHY if it fails.
wait_ready() {
  local end=$((SECONDS + $2))
  until is_serving "$1"; do
    is_supervised "$1" && (($(starts_again "$1") < 3)) || { WHY="it stopped at its start" && return 1; }
    ((SECONDS < end)) || { WHY="it was not ready after $2 seconds" && return 1; }
    sleep 0.5
  done
}

# stays_ready SLOT SECONDS: returns false, and sets WHY, if the process ends or is no longer ready within that time.
stays_ready() {
  local end=$((SECONDS + $2)) pid
  pid=$(pid_of "$1") || pid=''
  while ((SECONDS < end)); do
    sleep 1
    [[ -n $pid && $(pid_of "$1") == "$pid" ]] || { WHY="it ended soon after its start" && return 1; }
    is_ready "$1" || { WHY="it was no longer ready soon after its start" && return 1; }
  done
}

check_ports_free() {
  local kind
  for kind in api ws; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$(port "$1" "$kind")") 2>/dev/null ||
      die "Port $(port "$1" "$kind") of the host is in use by another program. Free it, or choose other ports with --ports. Nothing was changed."
  done
}

# ---- Supervision: systemd, or a shell per slot that starts the process again when it ends

UNIT=chat-service
# shellcheck disable=SC2016  # the text of another shell
KEEPER='
base=$1 slot=$2 stopping=0 pause=1
trap "stopping=1; kill -TERM \$child 2>/dev/null" TERM
set -a
. "$base/slots/$slot.env"
set +a
cd "$base/config" || exit 1
while :; do
  begun=$SECONDS
  "$base/slots/$slot/bin/chat-service" serve &
  child=$!
  printf "%s\n" "$child" >"$base/run/$slot.pid"
  wait "$child"; code=$?
  # A signal interrupts the wait, but the process still drains.
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
  rm -f "$base/run/$slot.pid"
  # 78 is an invalid configuration, which another start does not change.
  ((!stopping && code != 0 && code != 78)) || exit "$code"
  ((SECONDS - begun < 60)) || pause=1
  printf "%s the process ended with %s; it starts again in %s s\n" "$(date -u +%FT%TZ)" "$code" "$pause"
  sleep "$pause" & wait $!
  ((!stopping)) || exit 0
  ((pause >= 30)) || pause=$((pause * 2))
done'

# A pid counts only if it belongs to this slot: after a restart of the host, another process may have the pid.
is_of_slot() { [[ -r /proc/$2/cmdline ]] && [[ "$(tr '\0' ' ' <"/proc/$2/cmdline") " == *"$BASE/slots/$1/"* ]]; }
is_keeper_of() { [[ -r /proc/$2/cmdline ]] && [[ "$(tr '\0' ' ' <"/proc/$2/cmdline")" == *" chat-keeper $BASE $1 "* ]]; }

# Prints the pid of the process in a slot; returns false if there is none.
pid_of() {
  local pid
  if [[ $SUPERVISOR == systemd ]]; then
    pid=$(systemctl show -p MainPID --value "$UNIT@$1" 2>/dev/null)
    [[ -n $pid && $pid != 0 ]] || return 1
  else
    pid=$(cat "$BASE/run/$1.pid" 2>/dev/null) && [[ -n $pid ]] && is_of_slot "$1" "$pid" || return 1
  fi
  printf '%s\n' "$pid"
}

keeper_of() {
  local pid
  pid=$(cat "$BASE/run/$1.keeper" 2>/dev/null) && [[ -n $pid ]] && is_keeper_of "$1" "$pid" && printf '%s\n' "$pid"
}

is_supervised() {
  if [[ $SUPERVISOR == systemd ]]; then
    [[ $(systemctl show -p ActiveState --value "$UNIT@$1") =~ ^(active|activating|reloading)$ ]]
  else
    keeper_of "$1" >/dev/null
  fi
}

# Prints how often the process was started again.
starts_again() {
  if [[ $SUPERVISOR == systemd ]]; then
    systemctl show -p NRestarts --value "$UNIT@$1"
  else
    grep -c ' the process ended with ' "$BASE/log/$1.log" 2>/dev/null || true
  fi
}

start_slot() {
  if [[ $SUPERVISOR == systemd ]]; then
    write_unit
    as_root systemctl reset-failed "$UNIT@$1" 2>/dev/null || true
    as_root systemctl start "$UNIT@$1" || true
    return
  fi
  [[ ! -e $BASE/log/$1.log ]] || mv -f "$BASE/log/$1.log" "$BASE/log/$1.log.old"
  (
    umask 077
    exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="${HOME:-/}" LANG=C.UTF-8 setsid bash -c "$KEEPER" chat-keeper "$BASE" "$1" \
      </dev/null >"$BASE/log/$1.log" 2>&1 9>&-
  ) &
  printf '%s\n' $! >"$BASE/run/$1.keeper"
  # Until setsid has started the shell, it has another command line.
  local end=$((SECONDS + 5))
  until keeper_of "$1" >/dev/null || ((SECONDS >= end)); do sleep 0.1; done
}

# Allows the service's own time to drain, and a margin.
stop_slot() {
  local pid keeper='' end=$((SECONDS + 45))
  if [[ $SUPERVISOR == systemd ]]; then
    as_root systemctl stop "$UNIT@$1" 2>/dev/null || true
    return
  fi
  ! keeper=$(keeper_of "$1") || kill -TERM "$keeper" 2>/dev/null || true
  ! pid=$(pid_of "$1") || kill -TERM "$pid" 2>/dev/null || true
  local group=$keeper
  while keeper_of "$1" >/dev/null || pid_of "$1" >/dev/null; do
    if ((SECONDS >= end)); then
      ! keeper=$(keeper_of "$1") || kill -KILL "$keeper" 2>/dev/null || true
      ! pid=$(pid_of "$1") || kill -KILL "$pid" 2>/dev/null || true
    fi
    sleep 0.2
  done
  # The shell leads a group of its own: whatever its program started ends, too.
  [[ -z $group ]] || kill -KILL -- "-$group" 2>/dev/null || true
  rm -f "$BASE/run/$1.pid" "$BASE/run/$1.keeper"
}

# enable_slot NEW OLD: after a start of the host, the slot that serves starts.
enable_slot() {
  [[ $SUPERVISOR == systemd ]] || return 0
  as_root systemctl enable --quiet "$UNIT@$1"
  [[ -z $2 ]] || disable_slot "$2"
}
disable_slot() { [[ $SUPERVISOR != systemd ]] || as_root systemctl disable --quiet "$UNIT@$1"; }

write_unit() {
  local path=/etc/systemd/system/$UNIT@.service text
  text=$(unit_text)
  if [[ -e $path ]]; then
    [[ $(<"$path") != "$text" ]] || return 0
    grep -qF "WorkingDirectory=$BASE/config" "$path" || die "$path belongs to a deployment in another folder. A host has one with systemd."
  fi
  as_root tee "$path" <<<"$text" >/dev/null
  as_root systemctl daemon-reload
}

# The service runs as the owner of the configuration.
unit_text() {
  cat <<UNIT
[Unit]
Description=Chat Service, slot %i
Wants=network-online.target
After=network-online.target

[Service]
WorkingDirectory=$BASE/config
EnvironmentFile=$BASE/slots/%i.env
ExecStart=$BASE/slots/%i/bin/chat-service serve
User=$(stat -c %U "$BASE/config")
Restart=always
RestartSec=1
RestartPreventExitStatus=78
TimeoutStopSec=45
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
UNIT
}
