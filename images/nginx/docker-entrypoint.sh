#!/bin/sh
# shellcheck disable=SC1090 # the scripts that users mount are not known here
# Runs what lies in /docker-entrypoint.d in order of name before nginx itself: *.envsh is sourced, so that it
# can export variables; an executable *.sh is run; anything else is passed over.
set -eu

say() {
    [ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || echo "docker-entrypoint: $*"
}

case "${1:-}" in
nginx | nginx-debug)
    for script in /docker-entrypoint.d/*; do
        case "$script" in
        *.envsh) [ ! -x "$script" ] || { say "sourcing $script"; . "$script"; } ;;
        *.sh) [ ! -x "$script" ] || { say "running $script"; "$script"; } ;;
        esac
    done
    ;;
esac

exec "$@"
