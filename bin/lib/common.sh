# shellcheck shell=bash
# What every script of this folder needs: messages, the project's root folder,
# and who we are. Source it; it runs nothing by itself.

shopt -s inherit_errexit

nchat_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export nchat_root

say() {
    printf '%s\n' "$*"
}

warn() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    warn "$@"
    exit 1
}

is_root() {
    [ "$(id -u)" = 0 ]
}

# as_root COMMAND...: runs it as root, with sudo where we are not.
as_root() {
    if is_root; then
        "$@"
        return
    fi

    command -v sudo >/dev/null || die "this needs root, and there is no sudo: $*"
    sudo "$@"
}

# has_odd_name PATH: true if configure and make would trip over it.
has_odd_name() {
    [[ $1 =~ [^A-Za-z0-9/._+-] ]]
}

# newer_copy FROM TO: replaces TO in one step, and only if it differs; a
# running nginx keeps the module file that it has mapped.
newer_copy() {
    cmp -s "$1" "$2" && return
    cp "$1" "$2.new.$$"
    mv "$2.new.$$" "$2"
    say "built ${2#"$nchat_root"/}"
}

# port_in_use PORT [ADDRESS]: true if something answers there.
port_in_use() {
    (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null
}

# random_hex BYTES
random_hex() {
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# write_private FILE: standard input becomes FILE, which only we may read.
write_private() {
    (umask 077 && cat >"$1.new")
    chmod 600 "$1.new"
    mv "$1.new" "$1"
}

# reachable FOLDER USER: true if USER can get at FOLDER. Home folders that are
# closed to others (/root) stand in the way of users that we switch to.
reachable() {
    ! is_root || runuser -u "$2" -- test -x "$1" 2>/dev/null
}

# lives_in PID FOLDER: true if that process exists and works in FOLDER, so that
# the number in a stale file of a process long gone deceives nobody.
lives_in() {
    [ -n "$1" ] && [ "/proc/$1/cwd" -ef "$2" ]
}
