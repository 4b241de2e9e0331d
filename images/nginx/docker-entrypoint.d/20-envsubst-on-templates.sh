#!/bin/sh
# Renders /etc/nginx/templates/NAME.template to /etc/nginx/conf.d/NAME. Only variables that exist in the environment
# (and match NGINX_ENVSUBST_FILTER) are substituted, so nginx's own $host and $uri stay as they are.
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}

[ -d "$templates" ] || exit 0
if [ ! -w "$output" ]; then
    echo "docker-entrypoint: $output is not writable, the templates are not rendered" >&2
    exit 0
fi

names=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
    'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }')
find -L "$templates" -type f -name "*$suffix" | while read -r template; do
    target=$output/${template#"$templates/"}
    target=${target%"$suffix"}
    mkdir -p "$(dirname "$target")"
    envsubst "$names" <"$template" >"$target"
done
