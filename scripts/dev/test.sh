# shellcheck shell=bash
# Runs the tests against their own MongoDB and NATS: freshly started, on free ports, removed afterwards.

run_tests() {
  local folder mongo_port nats_port
  bring_cargo
  bring_packages
  bring_mongod
  bring_nats
  bring_nginx
  bring_webhook_libraries
  bring_host_libraries
  bring_smtp_server
  bring_push_library
  bring_example_tools
  bring_client_generators
  bring_sshd
  raise_file_limit

  # Built before the servers start, so that a compile error is reported without them.
  step "Building with fail points"
  cargo build --workspace --locked --features failpoints

  folder="$DEV/test/$$"
  RUN="$folder/run" LOG="$folder/log" DATA="$folder/data"
  mkdir -p "$RUN"
  trap stop_test_servers EXIT
  trap 'exit 130' INT TERM

  # A password for this run only; the ports are free at this moment.
  BROKER_PASSWORD="nats_$(random_hex 8)"
  export BROKER_PASSWORD
  if [[ -z ${MONGODB_URI:-} ]]; then
    mongo_port=$(free_port)
    start_mongod "$mongo_port" 0.25 256
  fi
  nats_port=$(free_port)
  start_nats "$nats_port"
  [[ -n ${MONGODB_URI:-} ]] || wait_mongod "$mongo_port"
  wait_nats "$nats_port"
  export TEST_MONGODB_URI=${MONGODB_URI:-mongodb://127.0.0.1:${mongo_port:-}/?replicaSet=rs0}
  export TEST_NATS_URL="nats://chat:$BROKER_PASSWORD@127.0.0.1:$nats_port"
  export NGINX
  # Settings of the service in the caller's shell must not affect a test.
  # shellcheck disable=SC2046  # names without spaces
  unset BROKER_STORE_DIR BROKER_PASSWORD $(service_variables)

  step "Running the tests"
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --features failpoints "$@"
    [[ $# -gt 0 ]] || cargo test --doc --workspace --locked --features failpoints
  else
    cargo test --workspace --locked --features failpoints "$@"
  fi
}

stop_test_servers() {
  local status=$?
  trap '' INT TERM
  stop nats-server 5
  stop mongod 10
  # The logs of a failed run are kept; its data is not.
  if ((status == 0)); then rm -rf "${RUN%/run}"; else rm -rf "$DATA" "$RUN"; fi
  rmdir "$DEV/test" 2>/dev/null || true
  exit "$status"
}
