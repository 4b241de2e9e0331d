#!/bin/sh
# Makes, in the current folder, what the ACME server itself answers with: the official image's names of files, and
# a private CA of this image's own.
set -eu

names=DNS:localhost,DNS:pebble,DNS:acme,IP:127.0.0.1
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=minica root ca' \
    -keyout pebble.minica.key.pem -out pebble.minica.pem
mkdir localhost
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names" >extensions
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout localhost/key.pem -out request.pem
openssl x509 -req -days 3650 -in request.pem -CA pebble.minica.pem -CAkey pebble.minica.key.pem -CAcreateserial \
    -extfile extensions -out localhost/cert.pem
rm extensions request.pem ./*.srl
