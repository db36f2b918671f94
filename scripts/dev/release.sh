# shellcheck shell=bash
# Packages a release: the archive that deploy.sh installs, with its checksums and its software bill of materials.

CYCLONEDX_CRATE=cargo-cyclonedx@0.5.9

# Two runs on one commit with one binary make the same archive: names, order, owners and times do not depend on the machine.
release() {
  local label='' output="$ROOT/dist" version name stage epoch
  while (($#)); do
    case $1 in
      --label) label=${2:-} ;;
      --output) output=${2:-} ;;
      *) die "release accepts only --label LABEL and --output FOLDER." ;;
    esac
    (($# > 1)) || die "$1 needs a value."
    shift 2
  done
  [[ -z $label || $label =~ ^[0-9A-Za-z.-]+$ ]] || die "A label has letters, digits, points and hyphens."
  PROFILE=release
  bring_packages
  bring_cargo
  bring_cyclonedx
  build_service
  version=$("$BINARY" --version | cut -d' ' -f2)
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9] ]] || die "$BINARY does not print a version."
  # Build metadata of Semantic Versioning.
  [[ -z $label ]] || version+="+$label"
  name="chat-service-$version-linux-$(uname -m)"
  epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} || die "The time of the commit is unknown. Set SOURCE_DATE_EPOCH."
  [[ -z $(git status --porcelain --untracked-files=no 2>/dev/null) ]] || warn "The archive has changes that are not committed."

  step "Packaging $name"
  RELEASE_FOLDER="$DEV/tmp/release-$$"
  trap 'rm -rf "$RELEASE_FOLDER"' EXIT
  stage="$RELEASE_FOLDER/$name"
  mkdir -p "$stage"/{bin,docs,scripts} "$output"
  install -m 755 "$BINARY" "$stage/bin/chat-service"
  cp -r nginx nats "$stage"
  cp LICENSE README.md CHANGELOG.md .env.example deploy.sh "$stage"
  cp -r scripts/deploy "$stage/scripts"
  cp docs/*.md "$stage/docs"
  printf '%s\n' "$version" >"$stage/VERSION"
  write_sbom "$stage/sbom.cdx.json" "$epoch"
  find "$stage" -type d -exec chmod 755 {} +
  find "$stage" -type f ! -perm -u+x -exec chmod 644 {} +
  (cd "$stage" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >"$RELEASE_FOLDER/sums" && mv "$RELEASE_FOLDER/sums" SHA256SUMS)
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" --format=gnu -C "$RELEASE_FOLDER" -c "$name" |
    gzip -n >"$RELEASE_FOLDER/$name.tar.gz"
  mv "$RELEASE_FOLDER/$name.tar.gz" "$output/$name.tar.gz"
  (cd "$output" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
  step "Made $output/$name.tar.gz"
}

# Writes the components of the service's Linux build in the CycloneDX format. The tool writes one file beside every Cargo.toml of the workspace.
write_sbom() {
  local file="release-sbom.$$" status=0
  SOURCE_DATE_EPOCH=$2 "$CYCLONEDX" cyclonedx --quiet --format json --spec-version 1.5 --no-default-features --features jemalloc \
    --target "$(rustc -vV | sed -n 's/^host: //p')" --override-filename "$file" --manifest-path "$ROOT/Cargo.toml" >&2 || status=1
  # The document must not depend on the folder of the repository.
  [[ -s $ROOT/$file.json ]] && sed "s|file://$ROOT|file:///src|g" "$ROOT/$file.json" >"$1" || status=1
  find "$ROOT" -name "$file.json" -not -path '*/target/*' -not -path '*/node_modules/*' -delete
  ((status == 0)) || die "The software bill of materials could not be made. The messages of cargo cyclonedx are above."
}

# Builds the tool once, in its pinned version, unless the caller's CYCLONEDX names one.
bring_cyclonedx() {
  local folder="$DEV/cargo-cyclonedx-${CYCLONEDX_CRATE##*@}"
  [[ -z ${CYCLONEDX:-} ]] || return 0
  CYCLONEDX="$folder/bin/cargo-cyclonedx"
  [[ ! -x $CYCLONEDX ]] || return 0
  step "Building ${CYCLONEDX_CRATE%@*} (some minutes, once)"
  cargo install --quiet --locked --root "$folder" "$CYCLONEDX_CRATE" >&2 || die "$CYCLONEDX_CRATE could not be installed. Check the network."
}
