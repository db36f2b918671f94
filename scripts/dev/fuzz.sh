# shellcheck shell=bash
# Runs schemathesis, which sends valid and invalid requests derived from the OpenAPI document.

# fuzz [--seeds N] [--cases M]: sends requests to the running service with a user's and with the host's credentials. Each seed makes about M random
# cases, besides those derived from the document (about 4,000). It fails if a response is
# a 5xx or is not in the document, or if an invalid request is accepted.
fuzz() {
  local seeds=1 cases=1000 seed who operations status=0
  while (($#)); do
    case $1 in
      --seeds) seeds=${2:?} ;;
      --cases) cases=${2:?} ;;
      *) die "fuzz accepts only --seeds N and --cases M." ;;
    esac
    shift 2
  done
  load_running_env
  bring_fuzzer
  # Directly to one process, without nginx: the document does not describe the errors of nginx.
  local url=${API_URLS%%,*}
  url_is_fine "$url/health/ready" || die "The service does not answer at $url. Start it with: RATE_LIMIT_API=off RATE_LIMIT_MESSAGES=off RATE_LIMIT_AUTH=off RATE_LIMIT_HEALTH=off ./dev up --detach"
  curl -fsS "$url/api/docs-json" | python3 scripts/dev/fuzz_document.py >"$RUN/fuzz.json" || die "The service does not serve its OpenAPI document."
  operations=$(python3 -c 'import json, sys; print(sum(len(item) for item in json.load(open(sys.argv[1]))["paths"].values()))' "$RUN/fuzz.json")
  for ((seed = 1; seed <= seeds; seed++)); do
    for who in user host; do
      step "Seed $seed of $seeds, with the credentials of a $who"
      fuzz_as "$who" "$url" "$seed" $((cases / operations + 1)) || status=1
    done
  done
  return "$status"
}

fuzz_as() {
  local who=$1 url=$2 seed=$3 examples=$4 headers
  case $who in
    user) headers=(-H "Authorization: Bearer $(make_token fuzz)") ;;
    host) headers=(-H "X-Internal-Secret: $INTERNAL_API_SECRET" -H 'X-Acting-User: fuzz') ;;
  esac
  # schemathesis stores its findings in its working directory.
  (
    cd "$RUN" || exit 1
    PYTHONPATH=$FUZZER "$FUZZER/bin/st" --config-file "$ROOT/scripts/dev/fuzz.toml" run "$RUN/fuzz.json" --url "$url" "${headers[@]}" \
      --phases examples,coverage,fuzzing --max-examples "$examples" --seed "$seed" --continue-on-failure --no-shrink \
      --request-timeout 40 --warnings off
  )
}
