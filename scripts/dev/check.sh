# shellcheck shell=bash
# Checks required before a change lands, besides the tests. Every check runs, and the failed ones are listed at the end.

FAILED=()

# check TEXT COMMAND...: runs the command, and records TEXT if it fails.
check() {
  local text=$1
  shift
  step "$text"
  "$@" || FAILED+=("$text")
}

run_checks() {
  bring_cargo
  bring_packages
  bring_nats
  bring_nginx
  bring_deny
  bring_shear
  load_settings
  layout_nodes

  check "Format (cargo fmt)" cargo fmt --all --check
  check "Lints (cargo clippy)" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
  check "Docs (cargo doc)" check_docs
  check "Licences and origins of all crates (cargo-deny)" "$CARGO_DENY" --locked check bans licenses sources
  check "Dependencies that nothing uses (cargo-shear)" "$CARGO_SHEAR" --locked
  check "Prose of comments, documents and API texts" python3 scripts/dev/prose.py
  check "Shell scripts (bash -n)" check_scripts
  check "nginx configuration (nginx -t)" check_nginx
  check "NATS configuration (nats-server -t)" check_nats
  check "openapi/openapi.json against the OpenAPI specification" check_openapi
  check "Documentation site: pages, links, and what the content policy allows" check_site
  check "Compose files against the Compose specification" check_compose
  if ((${#FAILED[@]})); then
    printf '%s\n' "${FAILED[@]/#/  }" >&2
    die "${#FAILED[@]} of the checks failed, see above."
  fi
  step "All checks passed"
}

check_docs() {
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
}

# Runs shellcheck, if it is installed. Disabled: variables used in another file (SC2034), `a && b || die`
# (SC2015), functions called by name (SC2329, in older versions SC2317), WS_URL beside WS_URLS (SC2153).
check_scripts() {
  local file status=0
  for file in dev deploy.sh .ci/run scripts/dev/*.sh scripts/deploy/*.sh; do
    bash -n "$file" || status=1
  done
  ! has shellcheck || shellcheck --exclude=SC2034,SC2015,SC2317,SC2329,SC2153 dev deploy.sh .ci/run scripts/dev/*.sh scripts/deploy/*.sh || status=1
  python3 -m py_compile scripts/dev/*.py || status=1
  rm -rf scripts/dev/__pycache__
  return "$status"
}

check_nginx() {
  local status=0
  LOG="$DEV/tmp/nginx" render_nginx "$DEV/tmp/nginx" "$API_SERVERS" "$WS_SERVERS"
  "${NGINX_COMMAND[@]}" -t || status=1
  rm -rf "$DEV/tmp/nginx"
  return "$status"
}

# Checks every file, with the sample host included.
check_nats() {
  local folder="$DEV/tmp/nats"
  local -x BROKER_STORE_DIR="\"$folder/data\"" BROKER_PASSWORD=pw BROKER_CLUSTER_PASSWORD=pw BROKER_NAME=chat-1
  local -x BROKER_HOST=127.0.0.1 BROKER_PORT=4222 BROKER_CLUSTER_PORT=6222 BROKER_HTTP='"127.0.0.1:8222"'
  local -x BROKER_ROUTES='["nats-route://route:pw@nats-1:6222"]' SHOP_PASSWORD=pw WORDS_PASSWORD=pw
  local -x BROKER_TLS_CERT="\"$folder/cert.pem\"" BROKER_TLS_KEY="\"$folder/key.pem\"" BROKER_TLS_CA="\"$folder/cert.pem\""
  local status=0 file
  rm -rf "$folder"
  mkdir -p "$DEV/tmp"
  cp -r nats "$folder"
  printf 'include "shop.conf"\ninclude "words.conf"\n' >>"$folder/hosts/all.conf"
  sed -i 's/^  # { service/  { service/' "$folder/hosts/hooks.conf"
  # Only for `-t`; nothing trusts this certificate.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null || status=1
  for file in "$folder"/*.conf; do
    "$NATS_SERVER" -c "$file" -t || status=1
  done
  rm -rf "$folder"
  return "$status"
}

check_openapi() {
  local folder="$DEV/openapi-0.9.0"
  if [[ ! -d $folder ]]; then
    rm -rf "$folder.new"
    python_packages "$folder.new" openapi-spec-validator==0.9.0 || return 1
    mv "$folder.new" "$folder"
  fi
  PYTHONPATH=$folder python3 -m openapi_spec_validator openapi/openapi.json
}

# The Compose specification and two small libraries come from the wheel of Docker's own tool; the libraries parse and validate.
check_compose() {
  local folder="$DEV/py"
  if [[ ! -s $folder/compose_spec.json ]]; then
    rm -rf "$folder"
    python_packages "$folder" pyyaml==6.0.3 jsonschema==4.26.0 || return 1
    download_wheel docker-compose==1.29.2 "$DEV/tmp/compose" || return 1
    mv "$(find "$DEV/tmp/compose" -name compose_spec.json | head -n 1)" "$folder/compose_spec.json"
    rm -rf "$DEV/tmp/compose"
  fi
  PYTHONPATH=$folder python3 - "$folder/compose_spec.json" docker-compose*.yml examples/docker-compose*.yml <<'PYTHON'
import json, re, sys
import jsonschema, yaml

schema = json.load(open(sys.argv[1]))
settings = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", open(".env.example").read(), re.M))
failed = False
for path in sys.argv[2:]:
    # Variables are replaced by their defaults first, as Compose itself does.
    text = re.sub(r"\$\{\w+(?::?[-?]([^}]*))?\}", lambda found: found[1] or "", open(path).read())
    document = yaml.safe_load(text)
    for error in jsonschema.Draft7Validator(schema).iter_errors(document):
        failed = True
        print(f"{path}: {'.'.join(map(str, error.path))}: {error.message}", file=sys.stderr)
    services = document.get("services", {})
    for name, service in services.items():
        if service.get("image") == "chat-service":
            for variable in set(service.get("environment", {})) - settings:
                failed = True
                print(f"{path}: {name} sets {variable}, which .env.example does not have", file=sys.stderr)
        for other in service.get("depends_on", {}):
            if other not in services:
                failed = True
                print(f"{path}: {name} depends on {other}, which does not exist", file=sys.stderr)
sys.exit(failed)
PYTHON
}
