# shellcheck shell=bash
# Checks a deployment from outside, one line per check. With AUTH_JWT_SECRET and INTERNAL_API_SECRET in the environment it
# also sends a message between the users smoke-alice and smoke-bob, always the same two.

SMOKE_FAILED=0

smoke() {
  [[ $# -eq 1 && $1 =~ ^https?:// ]] || die "Name a deployment: ./dev smoke BASE_URL, for example http://127.0.0.1:8080"
  has curl && has python3 || die "smoke requires curl and python3."
  SMOKE_URL=${1%/}
  answers "healthy" 200 '"' GET /health
  answers "ready" 200 '"' GET /health/ready
  answers "OpenAPI document" 200 '"openapi"' GET /api/docs-json
  answers "no token is refused in the error shape" 401 '"code":"UNAUTHORIZED"' GET /api/users/me
  answers "an unknown route has the error shape" 404 '"code":"NOT_FOUND"' GET /api/no-such-thing
  answers "metrics are not public" 404 '"code":"NOT_FOUND"' GET /metrics
  report "a WebSocket without a token is refused or closed" socket_without_token
  if [[ -n ${AUTH_JWT_SECRET:-} && -n ${INTERNAL_API_SECRET:-} ]]; then
    smoke_message
  else
    printf 'skip  sending a message: AUTH_JWT_SECRET and INTERNAL_API_SECRET are not set\n'
  fi
  ((SMOKE_FAILED == 0)) || die "$SMOKE_FAILED of the checks failed."
}

# report TEXT COMMAND...: runs a check; the output of the command is shown if it fails.
report() {
  local text=$1 why
  shift
  if why=$("$@" 2>&1); then
    printf 'ok    %s\n' "$text"
  else
    printf 'FAIL  %s: %s\n' "$text" "${why:0:300}"
    SMOKE_FAILED=$((SMOKE_FAILED + 1))
  fi
}

# answers TEXT STATUSES TEXT_IN_BODY METHOD PATH [curl arguments]: checks a response; STATUSES like 200|201. Sets BODY to the response body.
answers() {
  local text=$1 status=$2 needle=$3 method=$4 path=$5 got
  shift 5
  # Secrets are passed through a file descriptor: every user of the machine can read the arguments of a program.
  BODY=$(curl -sS --max-time 10 -w '\n%{http_code}' -X "$method" -H 'Content-Type: application/json' \
    -H @<(printf '%s\n' "${SMOKE_HEADER:-Accept: application/json}") "$@" "$SMOKE_URL$path" 2>&1) || true
  got=${BODY##*$'\n'}
  BODY=${BODY%$'\n'*}
  report "$text" expect "$status" "$needle" "$got"
}

expect() {
  local compact=${BODY//\": /\":}
  [[ "|$1|" == *"|$3|"* && $compact == *"$2"* ]] && return
  printf 'expected status %s and %s in the body, got %s and %s' "$1" "$2" "$3" "$BODY"
  return 1
}

smoke_message() {
  local alice bob conversation text
  text="smoke-$(random_hex 8)"
  alice="Authorization: Bearer $(make_token smoke-alice)"
  bob="Authorization: Bearer $(make_token smoke-bob)"

  SMOKE_HEADER="X-Internal-Secret: $INTERNAL_API_SECRET"
  answers "two users are synced" '200|201|207' smoke-bob POST /api/users/sync/batch -d \
    '{"users":[{"externalUserId":"smoke-alice","name":"Smoke Alice"},{"externalUserId":"smoke-bob","name":"Smoke Bob"}]}'
  SMOKE_HEADER=$alice
  answers "a direct conversation is there" '200|201' '"id"' POST /api/conversations -d \
    '{"type":"direct","participantIds":["smoke-bob"]}'
  conversation=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <<<"$BODY" 2>/dev/null) || conversation=unknown
  answers "a message is sent" 201 "$text" POST "/api/conversations/$conversation/messages" -d \
    "{\"content\":\"$text\",\"clientMessageId\":\"$text\"}"
  answers "sent again, it stays one message" 200 "$text" POST "/api/conversations/$conversation/messages" -d \
    "{\"content\":\"$text\",\"clientMessageId\":\"$text\"}"
  SMOKE_HEADER=$bob
  answers "the other one reads it" 200 "$text" GET "/api/conversations/$conversation/messages?limit=5"
}

# Without a token the node may refuse the upgrade, or wait ten seconds for a token in the first frame and then close.
socket_without_token() {
  python3 - "$SMOKE_URL" <<'PYTHON'
import base64, os, socket, ssl, sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
secure = url.scheme == "https"
peer = socket.create_connection((url.hostname, url.port or (443 if secure else 80)), timeout=5)
if secure:
    peer = ssl.create_default_context().wrap_socket(peer, server_hostname=url.hostname)
key = base64.b64encode(os.urandom(16)).decode()
peer.sendall((
    f"GET {url.path}/ws HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n"
).encode())
status = peer.recv(4096).split(b" ", 2)[1].decode()
if status in ("401", "403"):
    sys.exit(0)
if status != "101":
    sys.exit(f"the upgrade was answered with {status}")
peer.settimeout(15)
try:
    while data := peer.recv(4096):
        if data[0] == 0x88:
            break
except TimeoutError:
    sys.exit("the socket is still open after 15 seconds")
PYTHON
}
