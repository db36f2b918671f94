# shellcheck shell=bash
# Starts MongoDB, NATS and nginx on loopback, as the current user. `RUN`, `LOG` and `DATA` are the directories of their files.

DATA="$DEV/data"

# launch NAME PORT VARIABLE COMMAND...: starts the server unless it already runs with the same dependencies.
launch() {
  local name=$1 port=$2 variable=$3
  shift 3
  if is_current "$name" "$@"; then
    return
  fi
  stop "$name"
  need_port "$port" "$name" "$variable"
  step "Starting $name on port $port"
  start "$name" "$@"
}

# The service never reads old snapshots, so mongod need not keep five minutes of old versions.
start_mongod() {
  local port=$1 cache_gb=$2 oplog_mb=$3
  mkdir -p "$DATA/mongo"
  launch mongod "$port" MONGO_PORT "$MONGOD" --dbpath "$DATA/mongo" --bind_ip 127.0.0.1 --port "$port" \
    --replSet rs0 --oplogSize "$oplog_mb" --wiredTigerCacheSizeGB "$cache_gb" --nounixsocket \
    --setParameter minSnapshotHistoryWindowInSeconds=0 --setParameter diagnosticDataCollectionEnabled=false --quiet
}

# A new data directory must be made a replica set first; one that moved to another port must be reconfigured.
wait_mongod() { wait_ready mongod 60 python3 "$ROOT/scripts/dev/replica_set.py" "$1"; }

start_nats() {
  local port=$1
  mkdir -p "$DATA/nats"
  # Quoted again: NATS parses the value of a variable as a part of its configuration.
  export BROKER_STORE_DIR="\"$DATA/nats\""
  FINGERPRINT_EXTRA="$BROKER_STORE_DIR $BROKER_PASSWORD $(cat "$ROOT"/nats/nats.conf "$ROOT"/nats/includes/* "$ROOT"/nats/hosts/*)" \
    launch nats-server "$port" NATS_PORT "$NATS_SERVER" -c "$ROOT/nats/nats.conf" --addr 127.0.0.1 --port "$port"
}

wait_nats() { wait_ready nats-server 20 nats_greets "$1"; }

# A NATS server sends its INFO first, so reading it proves that it is ready.
nats_greets() {
  local line
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  read -r -t 2 line <&3 || line=''
  exec 3>&-
  [[ $line == INFO* ]]
}

# render_nginx FOLDER API_SERVERS WS_SERVERS: writes the configuration, sets NGINX_COMMAND.
render_nginx() {
  local NGINX_RUN_DIR=$1 NGINX_API_SERVERS=$2 NGINX_WS_SERVERS=$3
  local NGINX_LISTEN="127.0.0.1:$HTTP_PORT" NGINX_RESOLVER='' NGINX_ACCESS_LOG="$LOG/access.log" NGINX_ERROR_LOG=stderr
  local NGINX_PAGE_DIR="$PAGE_DIR" NGINX_DOCS_DIR="$DOCS_DIR" NGINX_WORKER_CONNECTIONS NGINX_ALLOWED_ORIGINS=${ALLOWED_ORIGINS:-*}
  NGINX_WORKER_CONNECTIONS=$(nginx_connections)
  mkdir -p "$NGINX_RUN_DIR" "$LOG"
  ln -sfn "$ROOT/nginx/includes" "$NGINX_RUN_DIR/includes"
  render "$ROOT/nginx/chat.conf.template" NGINX_LISTEN NGINX_API_SERVERS NGINX_WS_SERVERS NGINX_RESOLVER \
    NGINX_PAGE_DIR NGINX_DOCS_DIR NGINX_RUN_DIR NGINX_ACCESS_LOG NGINX_ERROR_LOG NGINX_WORKER_CONNECTIONS NGINX_ALLOWED_ORIGINS >"$NGINX_RUN_DIR/nginx.conf"
  NGINX_COMMAND=("$NGINX" -p "$NGINX_RUN_DIR" -c "$NGINX_RUN_DIR/nginx.conf" -g 'daemon off;')
  # As root, its workers would switch to another user, who cannot read the directories of this one.
  [[ $EUID -ne 0 ]] || NGINX_COMMAND[-1]+=' user root;'
}

# Each connection needs a file, and some files are needed for other purposes.
nginx_connections() {
  local files
  files=$(ulimit -n)
  [[ $files != unlimited ]] && ((files < 65536)) || files=65536
  printf '%s\n' $((files - 200))
}

start_nginx() {
  render_nginx "$DEV/nginx" "$1" "$2"
  FINGERPRINT_EXTRA="$(<"$DEV/nginx/nginx.conf")$(cat "$ROOT"/nginx/includes/*)" \
    launch nginx "$HTTP_PORT" HTTP_PORT "${NGINX_COMMAND[@]}"
}
