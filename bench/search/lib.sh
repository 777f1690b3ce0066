# shellcheck shell=bash
# What the measurements in this folder share: a private cluster, gone at the
# end, URLs of its databases, and pgbench.

set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
temporary=$(mktemp -d "${TMPDIR:-/tmp}/nchat-bench-XXXXXX")
cluster=${NCHAT_BENCH_FOLDER:-$temporary/cluster}
pgbench=$(command -v pgbench || printf '%s\n' /usr/lib/postgresql/*/bin/pgbench \
    | sort -V | tail -n 1)

export NCHAT_POSTGRES_SETTINGS="shared_buffers = 1GB
max_wal_size = 4GB
${NCHAT_POSTGRES_SETTINGS:-}"

finish() {
    "$root/bin/nchat-postgres" stop "$cluster" || true
    rm -rf "$temporary"
}

start_cluster() {
    mkdir -p "$cluster"
    chmod 755 "$temporary"
    trap finish EXIT
    "$root/bin/nchat-postgres" create "$cluster" CREATEROLE CREATEDB
    "$root/bin/nchat-postgres" start "$cluster"
}

url() { "$root/bin/nchat-postgres" url "$cluster" "$1"; }
sql() { psql -XAtq -v ON_ERROR_STOP=1 -c "$2" "$(url "$1")"; }

# The module's URL of a database.
module_url() {
    url "$1" | sed "s|//[^@]*@|//${1}_module:$(sql "$1" \
        "SELECT value FROM node_secrets WHERE name = 'module_password'")@|"
}

# A new database of that name, migrated.
new_database() {
    PGOPTIONS='-c client_min_messages=error' sql nchat \
        "DROP DATABASE IF EXISTS $1"
    sql nchat "CREATE DATABASE $1"
    "$root/bin/nchat-migrate" --quiet "$(url "$1")"
}

# pgbench_here URL OPTION...: pgbench in the temporary folder; its output goes
# to the file output there, and to stderr when it fails.
pgbench_here() {
    local to=$1
    shift

    (cd "$temporary" && "$pgbench" -n -M prepared "$@" "$to") \
        >"$temporary/output" 2>&1 \
        || { cat "$temporary/output" >&2; exit 1; }
}
