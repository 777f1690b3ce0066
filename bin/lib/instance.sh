# shellcheck shell=bash
# One running nchat: an nginx of our own in the folder `home`, and, unless a
# database was given, a Postgres cluster in home/postgres. instance_settings
# sets what the other functions share: home, nginx, module, worker_user, port,
# tls_port, base_url, module_conninfo.

instance_settings() {
    home=${NCHAT_HOME:-$nchat_root/var}
    mkdir -p "$home" 2>/dev/null || die "cannot make the folder $home"
    home=$(cd "$home" && pwd)
    [ -w "$home" ] || die "$home belongs to somebody else: set NCHAT_HOME"

    port=${NCHAT_PORT:-3000}
    tls_port=
    [ "${NCHAT_TLS:-off}" = off ] || tls_port=${NCHAT_TLS_PORT:-$((port + 443))}
    module=${NCHAT_MODULE:-$nchat_root/build/ngx_http_nchat_module.so}
    nginx=${NCHAT_NGINX:-$nchat_root/build/nginx}
    [ -x "$nginx" ] || nginx=$(PATH=$PATH:/usr/sbin command -v nginx) \
        || die "nginx is not installed"

    worker_user=nobody
    ! id www-data >/dev/null 2>&1 || worker_user=www-data

    base_url=http://$(host_of_url):$port
}

# host_of_url: localhost if we listen there, else the first address.
host_of_url() {
    local addresses

    addresses=$(listen_addresses)

    case $'\n'$addresses$'\n' in
    *$'\n127.0.0.1\n'*|*$'\n0.0.0.0\n'*|*$'\n[::]\n'*|*$'\n[::1]\n'*|*$'\n*\n'*)
        say localhost ;;
    *)
        say "${addresses%%$'\n'*}" ;;
    esac
}

nginx_pid() {
    cat "$home/nginx.pid" 2>/dev/null || true
}

nginx_running() {
    lives_in "$(nginx_pid)" "$home"
}

# nginx_do ARGUMENT...: runs nginx on the instance's configuration. Workers that
# cannot reach the folder by its path get at it by an open descriptor.
nginx_do() (
    local prefix=$home

    exec 8<"$home"
    reachable "$home" "$worker_user" || prefix=/proc/self/fd/8

    cd "$home" || exit
    exec "$nginx" -p "$prefix/" -c "$home/nginx.conf" -e stderr "$@" 9>&-
)

# Nobody else starts or stops the same instance meanwhile.
lock_home() {
    exec 9<"$home"
    flock -w 60 9 || die "another start or stop of $home does not come to an end"
}

# nginx starts with no workers, too, and answers nobody.
check_workers() {
    [[ ${NCHAT_WORKERS:-auto} =~ ^(auto|[1-9][0-9]{0,2})$ ]] \
        || die "NCHAT_WORKERS is to be a number from 1, or auto"
}

check_ports() {
    local wanted address

    for address in $(listen_addresses); do
        for wanted in "$port" ${tls_port:+"$tls_port"}; do
            ! port_in_use "$wanted" "${address//[][]/}" \
                || die "port $wanted is in use by another program: choose a \
different one with NCHAT_PORT"
        done
    done
}

# A database that was given is used; else there is our own.
start_database() {
    local folder=$home/postgres

    if [ -n "${NCHAT_DATABASE_URL:-}" ] && ! is_own_database; then
        database_url=$NCHAT_DATABASE_URL
        return
    fi

    [ -e "$folder/data" ] || say "creating a Postgres cluster in $folder"
    pg_create "$folder"
    pg_start "$folder"
    database_url=$(pg_url "$folder")
}

# The URL in home/env, handed back to us, means our own cluster too.
is_own_database() {
    [ -e "$home/postgres/port" ] \
        && [ "$NCHAT_DATABASE_URL" = "$(pg_url "$home/postgres")" ]
}

ask_database() {
    psql -X -A -t -q -v ON_ERROR_STOP=1 -c "$1" "$database_url"
}

# prepare_database: applies the migrations, and fetches what the nodes of one
# database share: the module's password and the key that signs tokens.
prepare_database() {
    local role password

    "$nchat_root/bin/nchat-migrate" "$database_url" >"$home/logs/migrate.log" 2>&1 \
        || die "the migrations failed: $(cat "$home/logs/migrate.log")"

    role=$(ask_database 'SELECT nchat_module_role()')
    password=$(ask_database \
        "SELECT value FROM node_secrets WHERE name = 'module_password'")
    module_conninfo=$(as_role "$database_url" "$role" "$password")

    ask_database "SELECT value FROM node_secrets WHERE name = 'jwt_key'" \
        | tr -d '\n' | write_private "$home/jwt.key"
}

# as_role URL ROLE PASSWORD: the same database with another role. In both forms
# of a connection string the last word on a parameter counts.
as_role() {
    local scheme rest authority

    case $1 in
    postgres://*|postgresql://*)
        scheme=${1%%://*} rest=${1#*://}
        authority=${rest%%[/?]*}
        rest=${authority##*@}${rest#"$authority"}

        case $rest in
        *\?*) say "$scheme://$rest&user=$2&password=$3" ;;
        *)    say "$scheme://$rest?user=$2&password=$3" ;;
        esac
        ;;
    *)
        say "$1 user='$2' password='$3'" ;;
    esac
}

make_certificate() {
    [ ! -e "$home/tls.key" ] || return 0

    (
        umask 077
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
            -nodes -days 3650 -subj /CN=localhost -addext \
            'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' \
            -keyout "$home/tls.key" -out "$home/tls.crt" 2>/dev/null
    )
}

start_nginx() {
    local output

    output=$(nginx_do 2>&1) || die "nginx does not start:
$output"
    [ -z "$output" ] || say "$output" >&2
}

# What the log says since LINE, the last lines of it.
log_since() {
    tail -n "+$(($1 + 1))" "$home/logs/error.log" | tail -n 10
}

wait_until_ready() {
    local before=$1 url addresses deadline=$((SECONDS + 30))

    addresses=$(listen_addresses)
    url=http://${addresses%%$'\n'*}:$port/api/ready

    until [ "$(curl -s -o /dev/null -w '%{http_code}' -m 2 -g --noproxy '*' \
                    "$url" 2>/dev/null)" = 200 ]
    do
        nginx_running || die "nginx ended at once; its log says:
$(log_since "$before")"
        [ "$SECONDS" -lt "$deadline" ] || die "$url is not 200 after 30 s; \
the log says:
$(log_since "$before")"

        sleep 0.1
    done
}

# shell_value TEXT: as it stands in a file of shell assignments.
shell_value() {
    case $1 in
    *[!A-Za-z0-9_./:@%+=,?-]*) printf "'%s'" "${1//\'/\'\\\'\'}" ;;
    *) printf '%s' "$1" ;;
    esac
}

write_env() {
    {
        say "NCHAT_URL=$base_url"
        say "NCHAT_DATABASE_URL=$(shell_value "$database_url")"
        [ -z "$tls_port" ] || say "NCHAT_TLS_URL=https://localhost:$tls_port"
    } | write_private "$home/env"
}

stop_nginx() {
    local signal pid waited

    for signal in QUIT TERM KILL; do
        pid=$(nginx_pid)
        nginx_running || break
        kill -s "$signal" "$pid" || break

        # In good order first: what is in flight may end.
        for ((waited = 0; waited < 200; waited++)); do
            nginx_running || break 2
            sleep 0.05
        done

        warn "nginx does not end on SIG$signal within 10 s"
    done

    stop_orphans
}

# Workers whose master was killed go on listening; nobody else ends them.
stop_orphans() {
    local pids waited

    for ((waited = 0; waited < 100; waited++)); do
        pids=$(nginx_processes)
        [ -n "$pids" ] || return 0

        # shellcheck disable=SC2086
        kill -s TERM $pids 2>/dev/null || true
        sleep 0.05
    done
}

# Every nginx that works in our folder.
nginx_processes() {
    local process

    for process in /proc/[0-9]*; do
        [ "$process/cwd" -ef "$home" ] || continue
        [ "$(cat "$process/comm" 2>/dev/null)" != nginx ] \
            || say "${process#/proc/}"
    done
}
