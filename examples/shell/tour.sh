#!/usr/bin/env bash
#
# The API by curl.
#
#   tour.sh EMAIL PASSWORD
#
# NCHAT_URL       the server (default: http://localhost:3000)
# NCHAT_WEBHOOK   the path of a webhook, /api/webhook/ID/TOKEN, to send a message
#                 to; made by nchat-admin webhook create

set -euo pipefail

url=${NCHAT_URL:-http://localhost:3000}
email=${1:?usage: tour.sh EMAIL PASSWORD}
password=${2:?usage: tour.sh EMAIL PASSWORD}

# post PATH JSON [CURL ARGUMENT...]: prints the answer, fails unless it is one
# of success.
post() {
    local path=$1 data=$2
    shift 2

    curl -sS --fail-with-body -X POST "$url$path" \
        -H 'Content-Type: application/json' -d "$data" "$@"
}

# member NAME: a string member of the JSON on standard input.
member() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

echo '# Is it up?'
curl -sS --fail "$url/api/health"

printf '\n\n# Sign in\n'
answer=$(post /api/auth/signin "{\"email\":\"$email\",\"password\":\"$password\"}")
token=$(member accessToken <<<"$answer")
echo "a token of ${#token} characters"

printf '\n# Get config\n'
curl -sS --fail "$url/api/config" | cut -c 1-200

printf '\n\n# Update config (admin)\n'
post /api/config '{"branding":{"appName":"My Team Chat"}}' \
    -H "Authorization: Bearer $token" | member message

printf '\n# Search\n'
post /api/search '{"query":"project update","types":["messages"],"limit":20}'

printf '\n\n# How many requests are left\n'
curl -sS --fail -o /dev/null -D - "$url/api/config" | grep -i '^x-ratelimit'

if [ -n "${NCHAT_WEBHOOK:-}" ]; then
    printf '\n# Send webhook\n'
    post "$NCHAT_WEBHOOK" \
        '{"content":"Deployment successful!","username":"CI/CD Bot"}'
    echo
fi
