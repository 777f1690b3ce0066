# shellcheck shell=bash
# A private Postgres cluster in a folder of its own: on a free loopback port,
# with passwords (SCRAM), without Unix sockets, and with a superuser that nobody
# can log in as. The folder holds
#
#   data/        the cluster; the server runs as its owner: postgres if root
#                made it (Postgres refuses root), else who made it
#   port         the port used last
#   password     of the role nchat_owner
#   server.log   the server's log
#
# NCHAT_POSTGRES_SETTINGS: further lines for its postgresql.conf.

pg_user() {
    stat -c %U "$1/data" 2>/dev/null || say postgres
}

# pg_bin FOLDER: the programs of the version that the cluster has, or the newest.
pg_bin() {
    local version bin

    version=$(cat "$1/data/PG_VERSION" 2>/dev/null || true)

    if [ -n "$version" ]; then
        bin=/usr/lib/postgresql/$version/bin
        [ -x "$bin/postgres" ] || die "$1 needs Postgres $version: install \
postgresql-$version, or move that folder away and start afresh"
    else
        bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
        [ -x "$bin/postgres" ] || die "Postgres is not installed"
    fi

    say "$bin"
}

# pg_do FOLDER PROGRAM ARGUMENT...: runs one of Postgres' programs as its user.
# "@" at the start of an argument stands for the folder. Where that user cannot
# reach the folder by its path, it is named by an open descriptor instead.
pg_do() (
    local folder=$1 program=$2 name=$1 bin user argument arguments=() switch=()
    shift 2

    bin=$(pg_bin "$folder")
    exec 8<"$folder"

    if is_root; then
        user=$(pg_user "$folder")
        switch=(runuser -u "$user" --)
        reachable "$folder" "$user" || name=/proc/self/fd/8
    fi

    for argument in "$@"; do
        arguments+=("${argument/#@/$name}")
    done

    cd /
    exec "${switch[@]}" env -i LANG=C.UTF-8 TZ=UTC PATH=/usr/bin:/bin \
        "$bin/$program" "${arguments[@]}" 9>&-
)

pg_running() {
    lives_in "$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)" "$1/data"
}

# pg_url FOLDER [DATABASE]: the owner's connection URI.
pg_url() {
    say "postgresql://nchat_owner:$(cat "$1/password")@127.0.0.1:$(cat \
        "$1/port")/${2:-nchat}"
}

# pg_create FOLDER [RIGHT...]: makes the cluster, the role nchat_owner with
# these rights (CREATEROLE if none are given), and its database nchat.
pg_create() {
    local folder=$1 password
    shift
    local rights=${*:-CREATEROLE}

    mkdir -p "$folder"
    [ ! -e "$folder/data" ] || return 0

    password=$(random_hex 16)
    rm -rf "$folder/data.new"
    mkdir "$folder/data.new"
    : >"$folder/server.log"
    chmod 600 "$folder/server.log"
    ! is_root || chown "$(pg_user "$folder")" "$folder/data.new" "$folder/server.log"

    pg_do "$folder" initdb -D @/data.new --auth=reject \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync --no-instructions \
        >"$folder/initdb.log" 2>&1 \
        || die "initdb failed: $(tail -n 3 "$folder/initdb.log")"

    pg_do "$folder" postgres --single -D @/data.new postgres <<SQL \
        >"$folder/initdb.log" 2>&1 \
        || die "Postgres failed: $(tail -n 3 "$folder/initdb.log")"
CREATE ROLE nchat_owner LOGIN $rights PASSWORD '$password'
CREATE DATABASE nchat OWNER nchat_owner
SQL

    say 'host all all 127.0.0.1/32 scram-sha-256' >"$folder/data.new/pg_hba.conf"
    say "include 'nchat.conf'" >>"$folder/data.new/postgresql.conf"
    printf '%s' "$password" | write_private "$folder/password"
    rm "$folder/initdb.log"
    mv "$folder/data.new" "$folder/data"
}

pg_choose_port() {
    local port

    port=$(cat "$1/port" 2>/dev/null || say 0)

    while [ "$port" = 0 ] || port_in_use "$port"; do
        port=$((15500 + RANDOM % 4000))
    done

    say "$port" >"$1/port"
}

pg_start() {
    local folder=$1 attempt output

    ! pg_running "$folder" || return 0

    # shellcheck disable=SC2034
    for attempt in 1 2 3; do
        pg_choose_port "$folder"
        rm -f "$folder/data/nchat.conf"
        pg_settings "$folder" >"$folder/data/nchat.conf"
        chmod 644 "$folder/data/nchat.conf"

        output=$(pg_do "$folder" pg_ctl start -w -s -D @/data -l @/server.log \
            2>&1) && return

        # Somebody else may have taken the port meanwhile.
        port_in_use "$(cat "$folder/port")" || break
    done

    die "Postgres does not start: $output
$(tail -n 3 "$folder/server.log")"
}

pg_settings() {
    cat <<EOF
listen_addresses = '127.0.0.1'
port = $(cat "$1/port")
unix_socket_directories = ''
max_connections = 200
log_timezone = 'UTC'
timezone = 'UTC'
${NCHAT_POSTGRES_SETTINGS:-}
EOF
}

pg_stop() {
    ! pg_running "$1" || pg_do "$1" pg_ctl stop -s -m fast -w -D @/data
}
