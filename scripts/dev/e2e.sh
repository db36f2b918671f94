# shellcheck shell=bash
# Runs the tests of the chat page in Chromium, against the running service or one that is started for them.

# e2e [--images] [NAME...]: runs examples/page/e2e/NAME.test.mjs, or all of them.
e2e() {
  local images='' names=() files=() name status=0
  while (($#)); do
    case $1 in
      --images) images="$ROOT/docs/images" ;;
      -*) die "e2e accepts only --images and names of tests." ;;
      *) names+=("$1") ;;
    esac
    shift
  done
  ((${#names[@]})) || names=(site talk offline reports appearance place history)
  for name in "${names[@]}"; do
    [[ -e examples/page/e2e/$name.test.mjs ]] || die "There is no examples/page/e2e/$name.test.mjs."
    files+=("e2e/$name.test.mjs")
  done
  bring_chromium
  [[ -z $images ]] || bring_fonts
  if [[ ! -s $RUNNING_ENV ]]; then
    start_for_e2e
    trap 'down' EXIT
  fi
  bring_node_tools examples/page
  load_running_env
  [[ -s $DEV/page.built ]] || die "The chat page is not built; ./dev up says why."
  step "Running the tests of the chat page"
  # One file at a time: each has a browser, and a machine with few cores makes the pages of two too slow for their waits.
  (cd examples/page && IMAGES=$images node --test --test-concurrency=1 --test-reporter=spec "${files[@]}") || status=1
  return "$status"
}

# On free ports, and without limits on requests: the tests write much faster than people.
start_for_e2e() {
  HTTP_PORT=$(free_port) PORT=$(free_port) WS_PORT=$(free_port) MONGO_PORT=$(free_port) NATS_PORT=$(free_port) \
    RATE_LIMIT_MESSAGES=off RATE_LIMIT_API=off "$ROOT/dev" up --detach >/dev/null || die "The service did not start."
}

# Fonts for the pictures, which are part of the documents: emoji and Arabic are missing on a bare system.
bring_fonts() {
  [[ -n $(find /usr/share/fonts -iname 'NotoColorEmoji*' -print -quit 2>/dev/null) ]] || install_packages fonts-noto-color-emoji fonts-noto-core
}
