# shellcheck shell=bash
# Checks a deployment from outside, one line per check. With AUTH_JWT_SECRET and INTERNAL_API_SECRET in the environment it
# also checks a conversation between the users smoke-alice and smoke-bob, always the same two: messages both ways, an event stream that is cut and
# resumed, and a webhook endpoint without a URL, whose events it pulls. The endpoint is deleted afterwards.

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
    smoke_conversation
  else
    printf 'skip  a conversation, a resume and a webhook: AUTH_JWT_SECRET and INTERNAL_API_SECRET are not set\n'
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
  local text=$1 status=$2 needle=$3 method=$4 path=$5 got file
  shift 5
  file=$(mktemp)
  # Secrets are passed through a file descriptor: every user of the machine can read the arguments of a program.
  got=$(curl -sS --max-time 10 -o "$file" -w '%{http_code}' -X "$method" -H 'Content-Type: application/json' \
    -H @<(printf '%s\n' "${SMOKE_HEADER:-Accept: application/json}") "$@" "$SMOKE_URL$path" 2>&1) || true
  BODY=$(<"$file")
  rm -f "$file"
  report "$text" expect "$status" "$needle" "$got"
}

expect() {
  local compact
  # Not a substitution of bash, which takes a minute for a large body.
  # shellcheck disable=SC2001
  compact=$(sed 's/": /":/g' <<<"$BODY")
  [[ "|$1|" == *"|$3|"* && $compact == *"$2"* ]] && return
  printf 'expected status %s and %s in the body, got %s and %s' "$1" "$2" "$3" "$BODY"
  return 1
}

smoke_conversation() {
  local alice bob host conversation endpoint='' text cursor
  text="smoke-$(random_hex 8)"
  alice="Authorization: Bearer $(make_token smoke-alice)"
  bob="Authorization: Bearer $(make_token smoke-bob)"
  host="X-Internal-Secret: $INTERNAL_API_SECRET"

  SMOKE_HEADER=$host
  answers "two users are synced" '200|201|207' smoke-bob POST /api/users/sync/batch -d \
    '{"users":[{"externalUserId":"smoke-alice","name":"Smoke Alice"},{"externalUserId":"smoke-bob","name":"Smoke Bob"}]}'
  SMOKE_HEADER=$alice
  answers "a direct conversation is there" '200|201' '"id"' POST /api/conversations -d \
    '{"type":"direct","participantIds":["smoke-bob"]}'
  conversation=$(field id) || conversation=unknown
  if has_webhooks; then
    SMOKE_HEADER=$host
    answers "a webhook endpoint is created" 201 '"secret"' POST /api/admin/webhooks -d '{"description":"smoke","events":["message.created"]}'
    endpoint=$(field id) || endpoint=''
  fi
  cursor=$(stream_until "$bob" '' connected cursor)
  report "an event stream connects" test -n "$cursor"

  SMOKE_HEADER=$alice
  answers "a message is sent" 201 "$text" POST "/api/conversations/$conversation/messages" -d \
    "{\"content\":\"$text\",\"clientMessageId\":\"$text\"}"
  answers "sent again, it stays one message" 200 "$text" POST "/api/conversations/$conversation/messages" -d \
    "{\"content\":\"$text\",\"clientMessageId\":\"$text\"}"
  SMOKE_HEADER=$bob
  answers "the other one reads it" 200 "$text" GET "/api/conversations/$conversation/messages?limit=5"
  answers "the other one answers" 201 "re-$text" POST "/api/conversations/$conversation/messages" -d \
    "{\"content\":\"re-$text\",\"clientMessageId\":\"re-$text\"}"
  SMOKE_HEADER=$alice
  answers "the answer arrives" 200 "re-$text" GET "/api/conversations/$conversation/messages?limit=5"

  report "the stream resumes with what was missed" stream_until "$bob" "$cursor" "$text"
  [[ -z $endpoint ]] || smoke_webhook "$host" "$endpoint" "$text"
}

# The events of an endpoint without a URL are pulled, so that no receiver must be reachable from the deployment.
smoke_webhook() {
  local host=$1 endpoint=$2 text=$3
  SMOKE_HEADER=$host
  report "the webhook event of the message is there" wait_until 15 pulls "$endpoint" "$text"
  answers "the webhook endpoint is deleted" '200|204' '' DELETE "/api/admin/webhooks/$endpoint"
}

pulls() {
  curl -sS --max-time 10 -H @<(printf '%s\n' "$SMOKE_HEADER") "$SMOKE_URL/api/admin/webhooks/$1/events" | grep -qF -- "$2"
}

# Returns whether the deployment has the plugin `webhooks`; without it the check is left out.
has_webhooks() {
  local status
  status=$(curl -sS --max-time 10 -o /dev/null -w '%{http_code}' -H @<(printf 'X-Internal-Secret: %s\n' "$INTERNAL_API_SECRET") \
    "$SMOKE_URL/api/admin/webhooks") || return 1
  [[ $status != 404 ]] || { printf 'skip  a webhook: the plugin is off\n' && return 1; }
}

# Prints a field of the last response.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <<<"$BODY" 2>/dev/null; }

# stream_until HEADER CURSOR TEXT [cursor]: reads the event stream, after CURSOR if there is one, until a line has TEXT; prints the last event id
# if asked for it. Returns false if the text does not come within 15 seconds.
stream_until() {
  local line id='' last=()
  [[ -z $2 ]] || last=(-H "Last-Event-ID: $2")
  while IFS= read -r line; do
    [[ $line != id:* ]] || id=${line#id:}
    [[ $line != data:*'"cursor":"'* ]] || { id=${line##*'"cursor":"'} && id=${id%%'"'*}; }
    [[ $line == *"$3"* && $line == data:* ]] || continue
    [[ ${4:-} != cursor ]] || printf '%s\n' "${id# }"
    return 0
  done < <(curl -sSN --max-time 15 -H @<(printf '%s\n' "$1") "${last[@]}" "$SMOKE_URL/api/events" 2>&1)
  printf 'no line with %s came within 15 seconds' "$3"
  return 1
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
