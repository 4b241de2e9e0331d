#!/bin/sh
# `redis-server` with the given flags or configuration file, as the user redis, who owns /data.
set -eu

case "${1:-}" in
-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} +
    export HOME=/data
    exec setpriv --reuid=redis --regid=redis --init-groups -- "$0" "$@"
fi

# As in the official image other containers may connect without a password, unless flags or file say otherwise.
if [ "${1:-}" = redis-server ]; then
    shift
    case "${1:-}" in
    -v | --version | -h | --help | --test-memory | --check-system) set -- redis-server "$@" ;;
    '' | -*) set -- redis-server --protected-mode no "$@" ;;
    *)
        file=$1
        shift
        if grep -qi '^[[:space:]]*protected-mode[[:space:]]' "$file"; then
            set -- redis-server "$file" "$@"
        else
            set -- redis-server "$file" --protected-mode no "$@"
        fi
        ;;
    esac
    # What Redis writes is nobody else's to read.
    umask 0077
fi

exec "$@"
