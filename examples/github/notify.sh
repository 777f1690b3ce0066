#!/usr/bin/env bash
#
# Tells a channel how a CI job ended: a message to a webhook, signed as GitHub
# signs its own (X-Hub-Signature-256).
#
#   notify.sh STATUS        success, failure, …
#
# NCHAT_WEBHOOK   the webhook's URL, http://…/api/webhook/ID/TOKEN
# NCHAT_SECRET    its secret; without one the message is not signed
# GITHUB_…        as GitHub's runners set them

set -euo pipefail

status=${1:?usage: notify.sh STATUS}
webhook=${NCHAT_WEBHOOK:?is not set}

# json TEXT: as a JSON string.
json() {
    python3 -c 'import json, sys; sys.stdout.write(json.dumps(sys.argv[1]))' "$1"
}

repository=${GITHUB_REPOSITORY:-a repository}
commit=${GITHUB_SHA:-}
run=${GITHUB_SERVER_URL:-https://github.com}/$repository/actions/runs/${GITHUB_RUN_ID:-0}
text="$repository: ${GITHUB_WORKFLOW:-CI} on ${GITHUB_REF_NAME:-?} (${commit:0:7}): $status"

body=$(printf '{"content":%s,"username":"CI/CD Bot","embeds":[{"title":%s,"url":%s}]}' \
              "$(json "$text")" "$(json "$status")" "$(json "$run")")

headers=(-H 'Content-Type: application/json')

# The same run and attempt tells it once, however often this is tried again.
if [ -n "${GITHUB_RUN_ID:-}" ]; then
    headers+=(-H "Idempotency-Key: $GITHUB_RUN_ID-${GITHUB_RUN_ATTEMPT:-1}-$status")
fi

if [ -n "${NCHAT_SECRET:-}" ]; then
    signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$NCHAT_SECRET" -r)
    headers+=(-H "X-Hub-Signature-256: sha256=${signature%% *}")
fi

curl -sS --fail-with-body --retry 3 --max-time 30 -X POST "$webhook" \
    "${headers[@]}" --data-binary "$body"
echo
