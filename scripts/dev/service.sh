# shellcheck shell=bash
# Commands for the whole stack: `up`, `down`, and `bench` against the running stack.

# layout_nodes: sets the layout of processes. NODES has one line each: name, role (or all), port, WebSocket port.
# API_URLS and WS_URLS are their direct addresses, *_SERVERS the lines for nginx.
layout_nodes() {
  local i api_ports=() ws_ports=()
  NODES=()
  for ((i = 0; i < API_NODES; i++)); do api_ports+=($((PORT + i))); done
  for ((i = 0; i < WS_NODES; i++)); do ws_ports+=($((WS_PORT + i))); done
  if ((SPLIT)); then
    for i in "${!api_ports[@]}"; do NODES+=("api-$((i + 1)) api ${api_ports[i]} $WS_PORT"); done
    for i in "${!ws_ports[@]}"; do NODES+=("ws-$((i + 1)) ws $PORT ${ws_ports[i]}"); done
    # The webhooks worker has no clients, only its health endpoint: on the first port after all others.
    i=$((PORT + API_NODES > WS_PORT + WS_NODES ? PORT + API_NODES : WS_PORT + WS_NODES))
    NODES+=("webhooks-1 webhooks $i $WS_PORT")
  else
    NODES=("service all $PORT $WS_PORT")
  fi
  API_URLS=$(printf ',http://127.0.0.1:%s' "${api_ports[@]}")
  WS_URLS=$(printf ',ws://127.0.0.1:%s/ws' "${ws_ports[@]}")
  API_URLS=${API_URLS:1} WS_URLS=${WS_URLS:1}
  API_SERVERS=$(printf 'server 127.0.0.1:%s max_fails=2 fail_timeout=2s; ' "${api_ports[@]}")
  WS_SERVERS=$(printf 'server 127.0.0.1:%s max_fails=2 fail_timeout=2s; ' "${ws_ports[@]}")
}

# Prints the caller's settings for the service. A change of any of them restarts it.
service_settings() {
  local name
  for name in $(service_variables); do
    printf '%s=%s\n' "$name" "${!name:-}"
  done
}

# Prints the port of a node's health endpoint.
node_port() {
  local role=$1 port=$2 ws_port=$3
  [[ $role == ws ]] && printf '%s\n' "$ws_port" || printf '%s\n' "$port"
}

start_node() {
  local name=$1 role=$2 PORT=$3 WS_PORT=$4 command=("$BINARY" serve)
  local variable=PORT
  [[ $role == all ]] || command+=(--roles "$role")
  [[ $role != ws ]] || variable=WS_PORT
  # Processes on one machine share its cores: more threads than cores only wake one another.
  ((!SPLIT)) || [[ -n ${TOKIO_WORKER_THREADS:-} ]] || {
    local threads=$(($(nproc) / (API_NODES + WS_NODES)))
    local -x TOKIO_WORKER_THREADS=$((threads > 1 ? threads : 1))
  }
  FINGERPRINT_EXTRA="$(service_settings) ${TOKIO_WORKER_THREADS:-}" \
    launch "$name" "$(node_port "$role" "$PORT" "$WS_PORT")" "$variable" "${command[@]}"
}

url_is_fine() { curl -fsS -o /dev/null --max-time 3 "$1" 2>/dev/null; }

# Prints the names of all our processes with a pid file, in the order in which they are stopped: the nodes first, while
# nginx can still pass their close frames to clients and the servers still accept their last writes.
started_names() {
  local path name
  for path in "$RUN"/*.pid; do
    name=$(basename "$path" .pid)
    is_node "$name" && [[ -e $path ]] && printf '%s\n' "$name"
  done
  for name in nginx nats-server mongod; do
    [[ ! -e $RUN/$name.pid ]] || printf '%s\n' "$name"
  done
}

is_node() { [[ $1 == service || $1 == api-* || $1 == ws-* || $1 == webhooks-* ]]; }

# Stops processes of an earlier layout (one process instead of nodes, other servers) that are not part of this one.
stop_what_is_not_wanted() {
  local name wanted=" nginx ${NODES[*]%% *} "
  ((!OWN_MONGODB)) || wanted+="mongod "
  ((!OWN_NATS)) || wanted+="nats-server "
  for name in $(started_names); do
    [[ $wanted == *" $name "* ]] || stop "$name" 40
  done
}

# Ports are checked before the first build, which takes minutes.
check_ports() {
  local node name role port ws_port
  for name in $(started_names); do
    end_orphans "$name"
  done
  is_running nginx || need_port "$HTTP_PORT" nginx HTTP_PORT
  ((!OWN_MONGODB)) || is_running mongod || need_port "$MONGO_PORT" MongoDB MONGO_PORT
  ((!OWN_NATS)) || is_running nats-server || need_port "$NATS_PORT" NATS NATS_PORT
  for node in "${NODES[@]}"; do
    read -r name role port ws_port <<<"$node"
    is_running "$name" && continue
    [[ $role == ws ]] || need_port "$port" "the REST API" PORT
    [[ $role == api || $role == webhooks ]] || need_port "$ws_port" "WebSockets" WS_PORT
  done
}

up() {
  local detach=0 argument node name role port ws_port
  PROFILE=development
  for argument in "$@"; do
    case $argument in
      -d | --detach) detach=1 ;;
      --release) PROFILE=release ;;
      *) die "up accepts only --detach and --release." ;;
    esac
  done
  # The build profile of the caller's own binary is unknown, so `bench` does not reject it.
  [[ -z ${CHAT_BINARY:-} ]] || PROFILE=given

  [[ -n ${CHAT_BINARY:-} ]] || bring_cargo
  bring_packages
  load_settings
  layout_nodes
  stop_what_is_not_wanted
  check_ports
  bring_nginx
  ((!OWN_MONGODB)) || bring_mongod
  ((!OWN_NATS)) || bring_nats
  build_service
  build_page
  build_site || true
  raise_file_limit

  ((!OWN_MONGODB)) || start_mongod "$MONGO_PORT" 1 2048
  ((!OWN_NATS)) || start_nats "$NATS_PORT"
  start_nginx "$API_SERVERS" "$WS_SERVERS"
  ((!OWN_MONGODB)) || wait_mongod "$MONGO_PORT"
  ((!OWN_NATS)) || wait_nats "$NATS_PORT"
  # The service warns about unknown variables that look like its own; these belong to the scripts.
  export -n NATS_SERVER NATS_PORT
  for node in "${NODES[@]}"; do
    # shellcheck disable=SC2086  # four arguments
    start_node $node
  done
  for node in "${NODES[@]}"; do
    read -r name role port ws_port <<<"$node"
    wait_ready "$name" 60 url_is_fine "http://127.0.0.1:$(node_port "$role" "$port" "$ws_port")/health/ready"
  done
  wait_ready nginx 20 url_is_fine "$BASE_URL/health/ready"
  save_running_env
  save_development_users
  greet
  ((detach)) || stay
}

greet() {
  cat <<TEXT

${BOLD}The Chat Service is up.${PLAIN}

  Chat page  $BASE_URL/           (choose Alice; open a second tab for Bob)
  REST       $BASE_URL/api        (Swagger UI: $BASE_URL/api/docs)
  WebSocket  $WS_URL
  Documents  $BASE_URL/docs/
  Logs       .dev/log             Settings: eval "\$(./dev env)"

Tokens of two users, valid for 24 hours (more: ./dev token USER):

ALICE=$(make_token alice)
BOB=$(make_token bob)

A first request, once the two lines above are set:

curl -s $BASE_URL/api/users/me -H "Authorization: Bearer \$ALICE"

TEXT
}

# Shows the log in the foreground, until Ctrl-C or until a process dies.
stay() {
  local node names=() logs=() viewer
  for node in "${NODES[@]}"; do
    names+=("${node%% *}")
    logs+=("$LOG/${node%% *}.log")
  done
  ((!OWN_MONGODB)) || names+=(mongod)
  ((!OWN_NATS)) || names+=(nats-server)
  names+=(nginx)
  printf 'Ctrl-C stops everything. The log of the service:\n\n'
  tail -q -n 5 -F "${logs[@]}" 2>/dev/null &
  viewer=$!
  trap 'trap "" INT TERM; kill "$viewer" 2>/dev/null || true; echo; down; exit 0' INT TERM
  while sleep 1; do
    for node in "${names[@]}"; do
      is_running "$node" && continue
      kill "$viewer" 2>/dev/null || true
      show_log "$node"
      die "$node has stopped; the others still run. Start it again with ./dev up, or stop all with ./dev down"
    done
  done
}

down() {
  local name stopped=()
  # The nodes drain concurrently; the servers stop after them.
  for name in $(started_names); do
    ! is_running "$name" || stopped+=("$name")
    ! is_node "$name" || ask_to_stop "$name"
  done
  for name in $(started_names); do
    is_node "$name" || ask_to_stop "$name"
    finish_stop "$name" 40
  done
  rm -f "$RUNNING_ENV"
  if ((${#stopped[@]})); then
    step "Stopped ${stopped[*]}"
  else
    step "Nothing was running"
  fi
}

# The benchmark reports the CPU time of each process, so it gets their names and pids.
bench() {
  local name pid pids=''
  load_running_env
  for name in $(started_names); do
    ! pid=$(pid_of "$name") || pids+=",$name=$pid"
  done
  [[ $PROFILE != development ]] || die "The running service is a development build; its figures are not meaningful. Start it with ./dev up --release"
  BINARY=${CHAT_BINARY:-${CARGO_TARGET_DIR:-$ROOT/target}/release/chat-service}
  BINARY=$(dirname -- "$BINARY")/chat-bench
  [[ -x $BINARY ]] || die "There is no $BINARY. Build it with ./dev up --release"
  raise_file_limit
  export CHAT_BENCH_PIDS=${pids:1} CHAT_BENCH_API_URLS=$API_URLS CHAT_BENCH_WS_URLS=$WS_URLS
  exec "$BINARY" "$@"
}
