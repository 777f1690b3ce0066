# shellcheck shell=bash
# Makes an instance's nginx configuration from the files in conf/: whole
# directives are replaced by name, nothing else is touched.

# quoted TEXT: as one argument of an nginx directive.
quoted() {
    local text=${1//\\/\\\\}

    printf '"%s"' "${text//\"/\\\"}"
}

# put DIRECTIVE [LINE]: notes that DIRECTIVE is to be replaced by LINE, or by
# several if called again; without LINE, that it is to be left out.
put() {
    printf '%s\t%s\n' "$1" "${2:+$2;}"
}

# apply_puts PUTS: copies a configuration from standard input to standard
# output, with the directives (also those that are there as "#directive")
# replaced as the file PUTS says. Of two groups of entries for a directive the
# later one wins.
apply_puts() {
    awk -v puts="$1" '
        BEGIN {
            FS = "\t"
            while ((getline < puts) > 0) {
                if ($1 != last) text[$1] = ""
                if ($2 != "") text[$1] = text[$1] $2 "\n"
                last = $1
            }
            FS = " "
        }

        { name = $1; sub(/^#/, "", name) }

        !(name in text) { print; next }

        {
            match($0, /^ */)
            indent = substr($0, 1, RLENGTH)
            lines = split(text[name], line, "\n")
            for (i = 1; i < lines; i++) print indent line[i]
            text[name] = ""
        }
    '
}

listen_addresses() {
    local - address addresses=${NCHAT_LISTEN:-}

    set -f

    if [ -z "$addresses" ]; then
        addresses=127.0.0.1
        ! grep -q '^0*1 .* lo$' /proc/net/if_inet6 2>/dev/null \
            || addresses="$addresses [::1]"
    fi

    for address in ${addresses//,/ }; do
        case $address in
        \*)   say 0.0.0.0 ;;
        \[*)  say "$address" ;;
        *:*)  say "[$address]" ;;
        *)    say "$address" ;;
        esac
    done
}

put_listen() {
    local address http2=

    if [ -n "$tls_port" ] && nginx_is_at_least 1.25.1; then
        put http2 'http2  on'
    else
        http2=' http2'
    fi

    for address in $(listen_addresses); do
        put listen "listen  $address:$port"
        [ -z "$tls_port" ] \
            || put listen "listen  $address:$tls_port ssl$http2"
    done

    if [ -n "$tls_port" ]; then
        put ssl_certificate "ssl_certificate  $(quoted "$home/tls.crt")"
        put ssl_certificate_key "ssl_certificate_key  $(quoted "$home/tls.key")"
    fi
}

nginx_is_at_least() {
    local version

    version=$("$nginx" -v 2>&1 | sed 's|.*/||')
    printf '%s\n' "$1" "$version" | sort -V -C
}

put_process() {
    local cores files

    cores=$(nproc)
    files=$(ulimit -Hn)
    [ "$files" != unlimited ] && [ "$files" -lt 8192 ] || files=8192

    put load_module "load_module  $(quoted "$module")"
    put worker_processes "worker_processes  ${NCHAT_WORKERS:-auto}"
    put worker_rlimit_nofile "worker_rlimit_nofile  $files"
    put thread_pool "thread_pool  nchat threads=$cores max_queue=256"
    put error_log "error_log  logs/error.log ${NCHAT_LOG_LEVEL:-notice}"
    ! is_root || put user "user  $worker_user"
}

put_paths() {
    local kind

    for kind in client_body proxy fastcgi uwsgi scgi; do
        put ${kind}_temp_path "${kind}_temp_path  tmp/$kind"
    done

    put root 'root  www'
}

put_api() {
    put nchat_postgres "nchat_postgres  $(quoted "$module_conninfo")"
    put nchat_jwt_key "nchat_jwt_key  $(quoted "file:$home/jwt.key")"
    put nchat_environment \
        "nchat_environment  $(quoted "${NCHAT_ENVIRONMENT:-development}")"

    if [ "${NCHAT_RATE_LIMITS:-on}" = off ]; then
        put nchat_rate_limit 'nchat_rate_limit  off'
        put limit_req
        put limit_conn
    fi
}

# The system's name servers as nginx writes them; it knows no zones.
name_servers() {
    awk '$1 == "nameserver" && $2 !~ /%/ {
             print $2 ~ /:/ ? "[" $2 "]" : $2
         }' /etc/resolv.conf 2>/dev/null | head -n 3 | tr '\n' ' '
}

put_resolver() {
    local servers

    servers=$(name_servers)
    [ -z "$servers" ] || put resolver "resolver  ${servers% }"
}

put_outbound() {
    local allow allowed=${NCHAT_FETCH_ALLOW:-}

    [ -z "${NCHAT_TRANSLATE_URL:-}" ] \
        || put nchat_translate "nchat_translate  $(quoted "$NCHAT_TRANSLATE_URL")"

    [ -z "${NCHAT_GIF_PROVIDER:-}" ] \
        || put nchat_gif "nchat_gif  $NCHAT_GIF_PROVIDER \
$(quoted "key_file=$home/gif.key")\
${NCHAT_GIF_URL:+ $(quoted "url=$NCHAT_GIF_URL")}"

    while read -r allow; do
        [ -z "$allow" ] || put nchat_fetch_allow "nchat_fetch_allow  $allow"
    done <<<"${allowed//,/$'\n'}"
}

# render: writes the instance's nginx.conf and what it includes. NCHAT_CONF_PUTS
# names a file with entries of one's own, as put writes them; the tests use it.
render() {
    local puts=$home/tmp/puts file types

    mkdir -p "$home/conf.d" "$home/server.d"

    (
        umask 077
        {
            put_resolver
            put_process
            put_listen
            put_paths
            put_api
            put_outbound
            [ -z "${NCHAT_CONF_PUTS:-}" ] || cat "$NCHAT_CONF_PUTS"
        } >"$puts"
    )

    for file in nginx.conf nchat-http.conf nchat.conf; do
        apply_puts "$puts" <"$nchat_root/conf/$file" \
            | write_private "$home/$file"
    done

    rm -f "$puts"

    # A copy: not everybody may read where we are.
    rm -rf "$home/www"
    [ ! -d "$nchat_root/build/www" ] || cp -r "$nchat_root/build/www" "$home/www"

    types=/etc/nginx/mime.types
    [ -e "$types" ] || types=${NGINX_SRC:-}/conf/mime.types
    cp "$types" "$home/mime.types"
}
