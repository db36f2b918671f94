# shellcheck shell=bash
# The documentation site: builds it from docs/ and the API documents, for nginx.

# The directory that nginx serves at /docs/.
DOCS_DIR="$DEV/docs"

# build_site: builds the site into DOCS_DIR if anything changed that it is built from. A failure does not stop the service.
build_site() {
  local wanted
  wanted=$(site_fingerprint)
  [[ ! -s $DOCS_DIR/index.html || ! -s $DEV/docs.built || $(<"$DEV/docs.built") != "$wanted" ]] || return 0
  mkdir -p "$DOCS_DIR"
  if (bring_node && node_is_new "The documentation site" && bring_node_tools docs/site && run_site_build); then
    printf '%s\n' "$wanted" >"$DEV/docs.built"
  else
    warn "The documentation site could not be built. The service works without it."
    rm -f "$DEV/docs.built"
    [[ -s $DOCS_DIR/index.html ]] || site_fallback >"$DOCS_DIR/index.html"
    return 1
  fi
}

# Built beside the old one and then exchanged, so that no request finds half a site. The messages of the build are shown if it fails.
run_site_build() {
  step "Building the documentation site"
  mkdir -p "$DEV/docs-work"
  (cd docs/site && node build.mjs "$DEV/docs.new" "$DEV/docs-work") >"$DEV/docs-work/log" 2>&1 || {
    cat "$DEV/docs-work/log" >&2
    return 1
  }
  rm -rf "$DOCS_DIR.old"
  mv "$DOCS_DIR" "$DOCS_DIR.old"
  mv "$DEV/docs.new" "$DOCS_DIR"
  rm -rf "$DOCS_DIR.old"
}

# Changes when any file does that the build reads. The documents link to files of these folders.
site_fingerprint() {
  find README.md CHANGELOG.md LICENSE .env.example docs openapi examples nats nginx -type f \
    -not -path '*/node_modules/*' -not -path '*/.vitepress/cache/*' -not -path '*/dist/*' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum
}

site_fallback() {
  cat <<'HTML'
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Documentation</title>
<h1>The documentation site is not built</h1>
<p>This machine could not build it; the output of <code>./dev up</code> says why. The documents are in the folder <code>docs</code> of the repository.</p>
</html>
HTML
}

# check_site: proves that the site can be built and that it has no broken page, link or picture.
check_site() {
  build_site && python3 scripts/dev/site_links.py "$DOCS_DIR"
}
