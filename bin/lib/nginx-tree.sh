# shellcheck shell=bash
# Where nginx's sources come from, and how they are configured; used by
# nchat-build. VARIANT is "module" (for the distribution's nginx, or for
# NGINX_SRC) or "asan".

distribution_tree=/usr/share/nginx/src

hardening='-g -O2 -fstack-protector-strong -Wformat -Werror=format-security'
hardening="$hardening -D_FORTIFY_SOURCE=2 -fPIC"
linking='-Wl,-z,relro -Wl,-z,now'

# NONALIGNED=0: nginx's own unaligned loads, which are meant on this processor,
# would fill the log with reports. What gcc says about uninitialized variables
# is wrong too often in code that the sanitizers rewrote. The module must stay
# mapped at exit (nodelete), or reports would lack its names.
sanitizers='-fsanitize=address,undefined -fno-omit-frame-pointer'
palloc='-DNGX_DEBUG_PALLOC=1 -DNGX_HAVE_NONALIGNED=0'
palloc="$palloc -Wno-maybe-uninitialized"

# nginx_tree VARIANT WORK: brings a tree to build in under the folder WORK. Sets
# the caller's `tree`, and `whole` if nginx itself is to be built as well.
# shellcheck disable=SC2034  # the caller reads them
nginx_tree() {
    local variant=$1 work=$2 from

    whole=1

    if [ "$variant" = asan ]; then
        from=$(distribution_source "$work")
    elif [ -n "${NGINX_SRC:-}" ]; then
        from=$(cd "$NGINX_SRC" && pwd)
        [ -e "$from/src/core/nginx.h" ] || die "$from is no nginx source tree"
    else
        from=$distribution_tree
        [ -e "$from/conf_flags" ] || die "package nginx-dev is missing"
        whole=
    fi

    tree=$work/nginx-$(cksum <<<"$from" | cut -d' ' -f1)
    mkdir -p "$tree"
    tar -C "$from" --exclude=./objs --exclude=./.git --exclude=./Makefile \
        -cf - . | tar -C "$tree" --keep-newer-files --warning=none -xf -
}

# nginx_arguments VARIANT: prints the arguments of configure, one on a line. A tree that
# was configured before gives its own, so that the module fits its binary.
nginx_arguments() {
    local variant=$1 NGX_CONF_FLAGS=()

    if [ -n "${NGINX_SRC:-}" ] && [ -e "$NGINX_SRC/objs/ngx_auto_config.h" ]
    then
        earlier_arguments
        return
    fi

    # shellcheck source=/dev/null
    . "$distribution_tree/conf_flags"
    printf '%s\n' "${NGX_CONF_FLAGS[@]}"

    if [ "$variant" = asan ]; then
        say "--with-cc-opt=-g -O1 $sanitizers $palloc"
        say "--with-ld-opt=$sanitizers -Wl,-z,nodelete"
    else
        say "--with-cc-opt=$hardening"
        say "--with-ld-opt=$linking"
    fi
}

earlier_arguments() {
    local arguments

    arguments=$(sed -n 's/^#define NGX_CONFIGURE "\(.*\)"$/\1/p' \
        "$NGINX_SRC/objs/ngx_auto_config.h" | sed 's/\\\(.\)/\1/g')
    eval "printf '%s\n' $arguments"
}

# distribution_source WORK: downloads and unpacks nginx's own source archive
# from the distribution's source package, of the version that is installed, into
# WORK, and prints where.
distribution_source() {
    local work=$1 version from

    version=$(dpkg-query -W -f '${source:Version}' nginx)
    from=$work/nginx-source-$version

    if ! [ -e "$from/configure" ]; then
        download_source "$work/apt" "nginx=$version" >&2
        rm -rf "$from"
        mkdir "$from"
        tar -C "$from" --strip-components=1 -xf "$work"/apt/nginx_*.orig.tar.*z
    fi

    say "$from"
}

# apt gets sources, lists and a cache of its own; the machine's stay untouched.
download_source() (
    local folder=$1 package=$2

    rm -rf "$folder"
    mkdir -p "$folder/lists/partial" "$folder/archives/partial"
    cd "$folder" || exit

    # shellcheck disable=SC2016
    apt-get indextargets --format 'deb-src $(SITE) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' | sort -u >sources.list

    set -- -q -o "Dir::Etc::SourceList=$folder/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$folder/lists" \
        -o "Dir::Cache=$folder" -o APT::Sandbox::User=root

    apt-get "$@" update
    apt-get "$@" source --download-only --tar-only --only-source "$package"
)
