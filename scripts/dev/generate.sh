# shellcheck shell=bash
# Writes the files that are generated from the code: the documents of openapi/, the tables in docs/, and the client's types.

generate() {
  [[ $# -eq 0 ]] || die "generate takes no arguments."
  if [[ -n ${CHAT_BINARY:-} ]]; then
    "$CHAT_BINARY" generate "$ROOT"
  else
    cargo run --quiet -- generate "$ROOT"
  fi
  if has npm; then
    (cd examples/client/javascript && npm ci --silent && npm run --silent generate && npm run --silent build)
  else
    echo "npm is missing: the JavaScript client was not generated."
  fi
}
