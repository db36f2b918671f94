# shellcheck shell=bash
# Defines every port, secret and address of the development servers.

# Settings with which the running `up` was started, for the commands that talk to it.
RUNNING_ENV="$DEV/run/env"
SHARED_NAMES=(HTTP_PORT BASE_URL WS_URL PORT WS_PORT AUTH_JWT_SECRET INTERNAL_API_SECRET MONGODB_URI NATS_URL)

# Development secrets: random, created once, readable only by their owner. The caller's environment takes precedence.
load_secrets() {
  local file="$DEV/secrets.env" name value
  if [[ ! -s $file ]]; then
    mkdir -p "$DEV"
    (
      umask 077
      {
        printf 'AUTH_JWT_SECRET=%s\n' "$(random_hex 32)"
        printf 'INTERNAL_API_SECRET=%s\n' "$(random_hex 32)"
        printf 'SECRETS_KEY=%s\n' "$(random_hex 32)"
        printf 'BROKER_PASSWORD=nats_%s\n' "$(random_hex 16)"
      } >"$file.new"
    )
    mv "$file.new" "$file"
  fi
  while IFS='=' read -r name value; do
    export "$name=${!name:-$value}"
  done <"$file"
  # A file that an older version wrote does not have this one.
  if [[ -z ${ATTACHMENTS_LINK_SECRET:-} ]]; then
    ATTACHMENTS_LINK_SECRET=$(random_hex 32)
    printf 'ATTACHMENTS_LINK_SECRET=%s\n' "$ATTACHMENTS_LINK_SECRET" >>"$file"
    export ATTACHMENTS_LINK_SECRET
  fi
}

load_settings() {
  load_secrets

  # More than one process per role only on request.
  SPLIT=0
  [[ -z ${API_NODES:-}${WS_NODES:-} ]] || SPLIT=1
  API_NODES=${API_NODES:-1} WS_NODES=${WS_NODES:-1}
  [[ $API_NODES =~ ^[1-9][0-9]?$ && $WS_NODES =~ ^[1-9][0-9]?$ ]] || die "API_NODES and WS_NODES are numbers from 1 to 99."

  export HTTP_PORT=${HTTP_PORT:-8080}
  export PORT=${PORT:-4000}
  # The nodes' ports are counted up from PORT, so WS_PORT is moved to make room for them.
  export WS_PORT=${WS_PORT:-$((PORT + API_NODES))}
  MONGO_PORT=${MONGO_PORT:-27117}
  NATS_PORT=${NATS_PORT:-4322}
  local port
  for port in "$HTTP_PORT" "$PORT" "$WS_PORT" "$MONGO_PORT" "$NATS_PORT"; do
    [[ $port =~ ^[0-9]+$ ]] && ((port > 0 && port < 65536)) || die "'$port' is not a port: use a number from 1 to 65535."
  done
  ((WS_PORT + WS_NODES <= PORT || PORT + API_NODES <= WS_PORT)) ||
    die "PORT=$PORT with API_NODES=$API_NODES and WS_PORT=$WS_PORT overlap: move one of them."

  export BASE_URL="http://127.0.0.1:$HTTP_PORT" WS_URL="ws://127.0.0.1:$HTTP_PORT/ws"

  local own_mongodb="mongodb://127.0.0.1:$MONGO_PORT/chat?replicaSet=rs0"
  local own_nats="nats://chat:$BROKER_PASSWORD@127.0.0.1:$NATS_PORT"
  export MONGODB_URI=${MONGODB_URI:-$own_mongodb} NATS_URL=${NATS_URL:-$own_nats}
  OWN_MONGODB=0 OWN_NATS=0
  [[ $MONGODB_URI != "$own_mongodb" ]] || OWN_MONGODB=1
  [[ $NATS_URL != "$own_nats" ]] || OWN_NATS=1

  # Every bundled plugin. Their links lead to this machine.
  export PLUGINS=${PLUGINS:-accounts,attachments,moderation,notifications,webhooks} ACCOUNTS_PUBLIC_URL=${ACCOUNTS_PUBLIC_URL:-$BASE_URL}
  export ATTACHMENTS_DIR=${ATTACHMENTS_DIR:-$DEV/attachments}
  export PUSH_SUBJECT=${PUSH_SUBJECT:-mailto:operator@chat.example}

  # Only nginx is trusted to state client addresses.
  export TRUSTED_PROXIES=${TRUSTED_PROXIES:-127.0.0.1}
}

# Prints the names of all settings of the service; .env.example lists them.
service_variables() { sed -nE '/docker-compose/q; s/^#? ?([A-Z][A-Z0-9_]+)=.*/\1/p' "$ROOT/.env.example"; }

save_running_env() {
  local name
  (
    umask 077
    for name in "${SHARED_NAMES[@]}" PROFILE AUTH_JWT_ISSUER AUTH_JWT_AUDIENCE API_URLS WS_URLS; do
      printf 'export %s=%q\n' "$name" "${!name:-}"
    done >"$RUNNING_ENV"
  )
}

load_running_env() {
  [[ -s $RUNNING_ENV ]] || die "Nothing is running. Start it with ./dev up --detach"
  # shellcheck source=/dev/null
  . "$RUNNING_ENV"
}

print_env() {
  load_running_env
  local name
  for name in "${SHARED_NAMES[@]}"; do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
}

token() {
  [[ $# -eq 1 && -n $1 ]] || die "Name a user: ./dev token USER"
  load_running_env
  make_token "$1"
}

# Uses python3 instead of openssl, which takes the secret as an argument that every user of the machine can read.
make_token() {
  python3 - "$1" <<'PYTHON'
import base64, hashlib, hmac, json, os, sys, time

def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")

def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()

now = int(time.time())
claims = {"sub": sys.argv[1], "iat": now, "exp": now + 86400}
for claim, name in (("iss", "AUTH_JWT_ISSUER"), ("aud", "AUTH_JWT_AUDIENCE")):
    if os.environ.get(name):
        claims[claim] = os.environ[name].split(",")[0].strip()
head = part(compact({"alg": "HS256", "typ": "JWT"})) + b"." + part(compact(claims))
mac = hmac.new(os.environ["AUTH_JWT_SECRET"].encode(), head, hashlib.sha256).digest()
print((head + b"." + part(mac)).decode())
PYTHON
}
