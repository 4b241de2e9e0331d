#!/bin/sh
# A configuration file alone means "serve it"; a verb or flag of the registry goes to it; anything else is run as it is.
set -eu

case "${1:-}" in
*.yaml | *.yml) set -- registry serve "$@" ;;
serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac

exec "$@"
