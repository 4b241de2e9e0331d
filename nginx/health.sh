#!/bin/sh
# What Docker asks every ten seconds: does Nginx answer? And whether a certificate was renewed since it read them: then
# it is told to read them anew, once the whole configuration passes its test. Nothing else reloads it unasked.
set -u
edge=/etc/nginx/wharfinger
loaded=/run/wharfinger.loaded
[ -e "$loaded" ] || loaded=/run/nginx.pid
if [ "$edge/certs/.changed" -nt "$loaded" ]; then
    touch /run/wharfinger.loading
    if nginx -t -q -c "$edge/nginx.conf" && nginx -c "$edge/nginx.conf" -s reload; then
        mv /run/wharfinger.loading /run/wharfinger.loaded
    fi
fi
exec curl -fsS -m 2 -o /dev/null --unix-socket /run/wharfinger/control.sock http://edge/health
