# shellcheck shell=bash
# The chat page: builds it, and writes the file with the development users that it signs in.

PAGE_SOURCE="$ROOT/examples/page"
# The directory that nginx serves. Only development puts tokens into it.
PAGE_DIR="$DEV/page"
# Users of the development servers: id and name.
DEVELOPMENT_USERS=("alice Alice Ant" "bob Bob Bee" "carol Carol Cat" "dave Dave Dove")

# build_page: builds the page into PAGE_DIR if its sources changed. A failure does not stop the service: a page that says so is served instead.
build_page() {
  local wanted
  mkdir -p "$PAGE_DIR"
  wanted=$(page_fingerprint)
  [[ ! -s $PAGE_DIR/index.html || ! -s $DEV/page.built || $(<"$DEV/page.built") != "$wanted" ]] || return 0
  if (bring_node && node_is_new "The chat page" && bring_node_tools examples/page && run_page_build); then
    printf '%s\n' "$wanted" >"$DEV/page.built"
  else
    warn "The chat page could not be built. The service works without it."
    rm -f "$DEV/page.built"
    page_fallback >"$PAGE_DIR/index.html"
  fi
}

# node_is_new WHAT: returns false, with a warning that names the part, if Node is too old to build it.
node_is_new() {
  node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
    { warn "$1 needs Node 20.19 or newer; this is $(node --version)."; return 1; }
}

# Built beside the old one and then exchanged, so that an open page always finds the files that it names.
run_page_build() {
  step "Building the chat page"
  (cd "$PAGE_SOURCE" && npm run --silent build -- --outDir "$DEV/page.new" --emptyOutDir --logLevel warn >&2) || return 1
  rm -rf "$PAGE_DIR.old"
  mv "$PAGE_DIR" "$PAGE_DIR.old"
  mv "$DEV/page.new" "$PAGE_DIR"
  rm -rf "$PAGE_DIR.old"
}

# Changes when any file does that the build reads.
page_fingerprint() {
  (cd "$ROOT/examples" && find page client/javascript/src client/react/src -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/e2e/*' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum)
}

page_fallback() {
  cat <<'HTML'
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Chat</title>
<h1>The chat page is not built</h1>
<p>The service runs, but this machine could not build its page. The output of <code>./dev up</code> says why. The page needs Node 20.19 or newer and the
network for the first build. Run <code>./dev up</code> again afterwards.</p>
<p>The API is at <a href="/api/docs">/api/docs</a>.</p>
HTML
}

# save_development_users: gives the users names, and writes their tokens for the page. nginx serves the file on loopback only.
save_development_users() {
  local user
  python3 - "${DEVELOPMENT_USERS[@]}" <<'PYTHON' |
import json, sys
users = [user.split(" ", 1) for user in sys.argv[1:]]
print(json.dumps({"users": [{"externalUserId": id, "name": name} for id, name in users]}))
PYTHON
    curl -fsS -o /dev/null "http://127.0.0.1:$PORT/api/users/sync/batch" -H @<(printf 'X-Internal-Secret: %s\n' "$INTERNAL_API_SECRET") \
      -H 'Content-Type: application/json' -d @- || warn "The development users could not be synced."
  (
    umask 077
    for user in "${DEVELOPMENT_USERS[@]}"; do
      printf '%s\t%s\t%s\n' "${user%% *}" "${user#* }" "$(make_token "${user%% *}")"
    done | python3 -c '
import json, sys
fields = [line.rstrip("\n").split("\t") for line in sys.stdin]
print(json.dumps({"users": [{"userId": id, "name": name, "token": token} for id, name, token in fields]}))' >"$PAGE_DIR/dev-users.json.new"
    mv "$PAGE_DIR/dev-users.json.new" "$PAGE_DIR/dev-users.json"
  )
}
