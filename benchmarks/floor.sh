#!/usr/bin/env bash
# usage: floor.sh NAME IMAGE REPLICAS
#
# The floor: the least that a deploy without a dropped request can do by hand, and no safety at all. It starts the new
# containers beside the old, waits for their health, rewrites the upstream, reloads Nginx, and stops the old. NAME is
# the network; NAME-nginx serves, and reads NAME's upstream from /etc/nginx/conf.d, which is mounted from $FOLDER.
set -euo pipefail
name=$1 image=$2 replicas=$3

old=$(docker ps --quiet --filter "label=floor=$name")
new=()
for ((i = 0; i < replicas; i++)); do
    new+=("$(docker run --detach --init --read-only --memory 128m --network "$name" --label "floor=$name" "$image")")
done
addresses=$(docker inspect --format "{{(index .NetworkSettings.Networks \"$name\").IPAddress}}" "${new[@]}")
for address in $addresses; do
    until curl --silent --fail --max-time 1 --output /dev/null "http://$address:3000/health"; do sleep 0.05; done
done

{
    echo "upstream web {"
    for address in $addresses; do echo "    server $address:3000;"; done
    echo "    keepalive 64;"
    echo "}"
} >"$FOLDER/upstream.conf.new"
mv "$FOLDER/upstream.conf.new" "$FOLDER/upstream.conf"
docker exec "$name-nginx" nginx -s reload

if [ -n "$old" ]; then
    # shellcheck disable=SC2086  # a list of ids
    docker stop --time 10 $old >/dev/null
    # shellcheck disable=SC2086
    docker rm $old >/dev/null
fi
