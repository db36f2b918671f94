# shellcheck shell=bash
# The half of a deployment that runs on the host. deploy.sh sends it as one text after options.sh and supervision.sh. The shell has read all of it
# before the last line runs, so a connection that breaks does not cut it.
set -euo pipefail

# Not empty if this run may change the deployment.
IS_LOCKED=''

host_half() {
  local command=$1 name tool
  shift
  # A connection that breaks must not stop a deployment in the middle.
  trap '' HUP PIPE
  trap end_host_half EXIT
  umask 022
  read_options "$@"
  read_stored_settings
  check_options
  for tool in tar gzip sha256sum flock setsid readlink; do need "$tool" "the host"; done
  if [[ $command == status ]]; then
    status
    return
  fi
  check_configuration_folder
  choose_supervisor
  mkdir -p "$BASE"/{incoming,releases,slots,run,log,nginx} 2>/dev/null && [[ -w $BASE/run ]] ||
    die "$BASE cannot be written by $(id -un). Create it once and give it to this user."
  exec 9>"$BASE/run/lock"
  flock -n 9 || die "Another deployment to $BASE is running. Wait for its end."
  # The upload follows the preparation.
  [[ $command == prepare ]] || IS_LOCKED=1
  case $command in
    prepare) check_arch "${WORDS[0]}" ;;
    deploy) deploy "${WORDS[@]}" ;;
    rollback) rollback ;;
    restart) restart ;;
    stop) stop ;;
    *) die "The host does not know the command $command." ;;
  esac
}

# Removes what is temporary. A failure that no line explained is reported, too.
end_host_half() {
  local status=$?
  [[ -z $IS_LOCKED ]] || rm -rf "$BASE/incoming" "$BASE/releases/.new"
  ((status == 0 || IS_SAID)) || printf 'error: The deployment stopped unexpectedly. %s\n' "$(what_serves)" >&2 || true
}

# Values that the caller did not give are those of the last deployment.
read_stored_settings() {
  local name value
  [[ -r $BASE/run/settings ]] || return 0
  while IFS='=' read -r name value; do
    [[ " ${SETTINGS[*]} " == *" $name "* && " ${GIVEN[*]} " != *" $name "* ]] || continue
    printf -v "$name" '%s' "$value"
  done <"$BASE/run/settings"
}

store_settings() {
  local name
  for name in "${SETTINGS[@]}"; do printf '%s=%s\n' "$name" "${!name}"; done >"$BASE/run/settings.new"
  mv "$BASE/run/settings.new" "$BASE/run/settings"
}

check_configuration_folder() {
  local file found=0
  for file in "$BASE/config/.env" "$BASE/config/chat.toml"; do
    [[ -e $file ]] || continue
    found=1
    [[ -r $file ]] || die "$file cannot be read by $(id -un)."
    # The last digit of the mode is what everybody may do.
    [[ $(stat -L -c %a "$file") == *0 ]] || die "$file has secrets that every user of the host can read. Run: chmod o= $file"
  done
  ((found)) || die "There is no configuration: create $BASE/config/.env on the host, from the file .env.example of the archive."
}

# The supervisor of a deployment cannot change while processes run under it.
choose_supervisor() {
  local wanted=${SUPERVISOR:-auto} stored=''
  [[ ! -r $BASE/run/settings ]] || stored=$(sed -n 's/^SUPERVISOR=//p' "$BASE/run/settings")
  if [[ $wanted == auto ]]; then
    wanted=none
    [[ ! -d /run/systemd/system ]] || ! as_root true 2>/dev/null || wanted=systemd
  fi
  [[ -z $stored || $stored == "$wanted" ]] || ! active_slot >/dev/null ||
    die "$BASE was deployed with --supervisor $stored. Stop that process and remove $BASE/current before you change it."
  if [[ $wanted == systemd ]]; then
    [[ -d /run/systemd/system ]] || die "systemd does not run on the host. Use --supervisor none"
    as_root true 2>/dev/null || die "--supervisor systemd needs root, or sudo without a password for $(id -un)."
  fi
  SUPERVISOR=$wanted
}

as_root() { if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi; }

check_arch() {
  local arch=${1##*-linux-}
  arch=${arch%.tar.gz}
  [[ $arch == "$(uname -m)" ]] || die "The archive is for $arch, but the host is $(uname -m)."
}

# Prints the slot that serves, a or b; returns false before the first deployment.
active_slot() {
  local target
  target=$(readlink "$BASE/current" 2>/dev/null) || return 1
  printf '%s\n' "${target##*/}"
}
other_slot() { [[ $1 == a ]] && echo b || echo a; }
# Prints the version in a slot.
version_in() { cat "$BASE/slots/$1/VERSION" 2>/dev/null || true; }
# port SLOT api|ws: prints a port of the slot.
port() {
  local field=1
  [[ $1 == a ]] || field=3
  [[ $2 == api ]] || field=$((field + 1))
  cut -d, -f"$field" <<<"$PORTS"
}

# service FOLDER COMMAND...: runs the program of a release with the configuration folder, and with no variable of the caller.
service() {
  local program=$1/bin/chat-service
  shift
  (cd "$BASE/config" && exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="${HOME:-/}" LANG=C.UTF-8 "$program" "$@" </dev/null 9>&-)
}

deploy() {
  local archive=$1 sum=$2 version active
  check_arch "$archive"
  unpack "$archive" "$sum"
  version=$VERSION
  service "$BASE/releases/$version" config check >"$BASE/run/output" 2>&1 || {
    cat "$BASE/run/output" >&2
    die "The configuration in $BASE/config is not valid for $version, see above. Nothing was changed."
  }
  if active=$(active_slot) && [[ $(version_in "$active") == "$version" ]] && is_serving "$active"; then
    store_settings
    # An interrupted deployment may have left a process there.
    stop_slot "$(other_slot "$active")"
    say "$version is already running; nothing to do. After a change of the configuration use: restart"
    return
  fi
  say "Preparing the database"
  service "$BASE/releases/$version" migrate >"$BASE/run/output" 2>&1 || {
    cat "$BASE/run/output" >&2
    die "chat-service migrate of $version failed, see above. $(what_serves)"
  }
  switch_to "$version"
  remove_old_releases
}

# Checks the upload and puts it into its release folder, in one step at the end. Sets VERSION.
unpack() {
  local archive=$BASE/incoming/$1 name=${1%.tar.gz} new="$BASE/releases/.new"
  [[ -f $archive && $(sha256sum "$archive" | cut -d' ' -f1) == "$2" ]] || die "The upload is incomplete. Try again; nothing was changed."
  rm -rf "$new"
  mkdir -p "$new"
  tar -xzf "$archive" -C "$new" --no-same-owner || die "The archive cannot be unpacked. Nothing was changed."
  new=$new/$name
  [[ -s $new/SHA256SUMS && -s $new/VERSION && -x $new/bin/chat-service ]] || die "$1 is not an archive of ./dev release: SHA256SUMS, VERSION or bin/chat-service is missing."
  is_intact "$new" || die "A file of $1 does not have its checksum. Build the archive again; nothing was changed."
  VERSION=$(<"$new/VERSION")
  [[ $VERSION =~ ^[0-9A-Za-z][0-9A-Za-z.+-]*$ && $name == "chat-service-$VERSION-linux-"* ]] || die "The archive's VERSION does not agree with its name."
  local release=$BASE/releases/$VERSION
  if [[ -e $release ]]; then
    cmp -s "$new/SHA256SUMS" "$release/SHA256SUMS" ||
      die "The host has another release with the version $VERSION. Give this one its own: ./dev release --label LABEL"
    is_intact "$release" && return
    ! is_in_use "$VERSION" || die "Files in $release were changed. Deploy another version first, then remove that folder."
    rm -rf "$release"
  fi
  mv -T "$new" "$release"
  # The archive's times are those of the commit; the time of the deployment decides which releases stay.
  touch "$release"
}

is_intact() { (cd "$1" && sha256sum --quiet --strict -c SHA256SUMS >/dev/null 2>&1); }
is_in_use() { [[ $(version_in a) == "$1" || $(version_in b) == "$1" ]]; }

rollback() {
  local version=''
  [[ ! -r $BASE/run/previous ]] || version=$(<"$BASE/run/previous")
  [[ -n $version ]] || die "There is no release before the current one."
  [[ -x $BASE/releases/$version/bin/chat-service ]] || die "The release before the current one, $version, is no longer on the host. Deploy its archive."
  switch_to "$version"
}

restart() {
  local active
  active=$(active_slot) && [[ -n $(version_in "$active") ]] || die "No release is deployed to $BASE yet."
  switch_to "$(version_in "$active")"
}

stop() {
  local slot
  for slot in a b; do
    stop_slot "$slot"
    disable_slot "$slot"
  done
  say "Nothing runs in $BASE. Start it again with: restart"
}

# switch_to VERSION: starts it in the free slot, and moves the traffic there after it was ready for a while. Until then the former one serves.
switch_to() {
  local version=$1 old slot former=''
  old=$(active_slot) || old=''
  slot=a
  if [[ -n $old ]]; then
    slot=$(other_slot "$old")
    former=$(version_in "$old")
  fi
  stop_slot "$slot"
  check_ports_free "$slot"
  ln -sfnT "../releases/$version" "$BASE/slots/$slot"
  printf 'PORT=%s\nWS_PORT=%s\n' "$(port "$slot" api)" "$(port "$slot" ws)" >"$BASE/slots/$slot.env"
  say "Starting $version in slot $slot, on the ports $(port "$slot" api) and $(port "$slot" ws)"
  start_slot "$slot"
  WHY=''
  if ! wait_ready "$slot" "$WAIT" || ! stays_ready "$slot" "$OBSERVE"; then
    give_up "$slot" "$version" "$WHY"
  fi
  [[ $(readlink -f "/proc/$(pid_of "$slot")/exe") == "$(readlink -f "$BASE/slots/$slot")/"* ]] ||
    give_up "$slot" "$version" "another program runs in its slot"

  send_traffic_to "$slot"
  if ! reload; then
    if [[ -n $old ]]; then
      send_traffic_to "$old"
      reload || true
    else
      rm -f "$BASE/current"
    fi
    give_up "$slot" "$version" "the command of --reload failed"
  fi
  if [[ -n $old ]]; then
    [[ $former == "$version" ]] || printf '%s\n' "$former" >"$BASE/run/previous.new"
    # nginx takes its new addresses a moment after the signal.
    [[ -z $RELOAD ]] || sleep 2
    say "Stopping $former in slot $old"
    stop_slot "$old"
    if ! is_serving "$slot"; then
      rm -f "$BASE/run/previous.new"
      start_slot "$old"
      wait_ready "$old" "$WAIT" || true
      send_traffic_to "$old"
      reload || true
      give_up "$slot" "$version" "it was no longer ready after the former release had stopped"
    fi
  fi
  [[ ! -e $BASE/run/previous.new ]] || mv "$BASE/run/previous.new" "$BASE/run/previous"
  enable_slot "$slot" "$old"
  store_settings
  say "$version is running, in slot $slot$([[ -z $former || $former == "$version" ]] || printf '; the release before it is %s' "$former")"
}

# give_up SLOT VERSION REASON: stops what did not work. The traffic has stayed at the former release, or is there again.
give_up() {
  if [[ $SUPERVISOR == systemd ]]; then
    as_root journalctl --no-pager -o cat -n 15 -u "$UNIT@$1" >&2 || true
  elif [[ -s $BASE/log/$1.log ]]; then
    printf -- '--- the last lines of %s\n' "$BASE/log/$1.log" >&2 || true
    tail -n 15 "$BASE/log/$1.log" | cut -c1-400 >&2 || true
  fi
  stop_slot "$1"
  rm -f "$BASE/slots/$1"
  die "$2 was not started: $3. $(what_serves)"
}

what_serves() {
  local active
  active=$(active_slot) || { echo "No release is running." && return; }
  if is_serving "$active"; then
    echo "$(version_in "$active") still serves."
  else
    echo "The former release $(version_in "$active") is not ready either: see $BASE/log/$active.log"
  fi
}

# The link `current` is the one place that says which slot serves.
send_traffic_to() {
  local kind
  for kind in api ws; do
    printf 'server 127.0.0.1:%s max_fails=2 fail_timeout=2s;\n' "$(port "$1" "$kind")" >"$BASE/nginx/$kind.conf.new"
    mv "$BASE/nginx/$kind.conf.new" "$BASE/nginx/$kind.conf"
  done
  ln -sfnT "slots/$1" "$BASE/current.new"
  mv -T "$BASE/current.new" "$BASE/current"
}

reload() { [[ -z $RELOAD ]] || bash -c "$RELOAD" </dev/null >&2 9>&-; }

remove_old_releases() {
  local version kept=0
  while read -r version; do
    kept=$((kept + 1))
    ((kept > KEEP)) || continue
    is_in_use "$version" || [[ -r $BASE/run/previous && $(<"$BASE/run/previous") == "$version" ]] && continue
    rm -rf "${BASE:?}/releases/$version"
  done < <(cd "$BASE/releases" && ls -1t)
}

status() {
  local active previous=''
  active=$(active_slot) || die "No release is deployed to $BASE."
  [[ ! -r $BASE/run/previous ]] || previous=$(<"$BASE/run/previous")
  printf 'version     %s\nslot        %s, ports %s and %s\nsupervisor  %s\nprocess     %s\nprevious    %s\nreleases    %s\n' \
    "$(version_in "$active")" "$active" "$(port "$active" api)" "$(port "$active" ws)" "$SUPERVISOR" "$(pid_of "$active" || echo none)" \
    "${previous:-none}" "$(cd "$BASE/releases" && echo *)"
  ! is_supervised "$(other_slot "$active")" ||
    echo "unfinished  $(version_in "$(other_slot "$active")") also runs, in slot $(other_slot "$active"); the next deployment stops it"
  if is_serving "$active"; then
    echo "health      ready"
  else
    echo "health      not ready"
    IS_SAID=1
    exit 1
  fi
}

host_half "$@"
exit
