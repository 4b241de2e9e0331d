#!/bin/bash
# shellcheck disable=SC1090 # the scripts that users mount are not known here
# Makes the database on the first start, as root takes the data folder over and becomes `postgres`, then runs the
# server. Secrets go through files and the environment, never through arguments, which every process can read.
set -euo pipefail

say() { echo "docker-entrypoint: $*"; }

die() {
    echo "docker-entrypoint: $*" >&2
    exit 1
}

# NAME or the content of the file that NAME_FILE points to, else the default; ends up exported as NAME.
variable() {
    local name=$1 file=${1}_FILE value=${2:-}
    [[ -z ${!name:-} || -z ${!file:-} ]] || die "$name and $file are both set: set one of them"
    if [[ -n ${!file:-} ]]; then
        value=$(<"${!file}")
    elif [[ -n ${!name:-} ]]; then
        value=${!name}
    fi
    export "$name=$value"
    unset "$file"
}

# `postgres --version` and its like need neither data nor a password.
only_asks() {
    local argument
    for argument; do
        case $argument in
        -'?' | --help | --describe-config | -V | --version | -C) return 0 ;;
        esac
    done
    return 1
}

become_postgres() {
    install -d -o postgres -g postgres -m 3775 /var/run/postgresql
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA"
    find "$PGDATA" ! -user postgres -exec chown postgres {} +
    if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
        install -d -o postgres -g postgres -m 0700 "$POSTGRES_INITDB_WALDIR"
    fi
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
}

need_password() {
    [[ -n $POSTGRES_PASSWORD || $POSTGRES_HOST_AUTH_METHOD == trust ]] ||
        die "the database has no superuser password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" \
            "(or POSTGRES_HOST_AUTH_METHOD=trust, with which anyone may connect)"
}

make_cluster() {
    local options=()
    # xargs splits as a shell would, quotes included, and runs nothing that stands in the value.
    mapfile -t options < <(xargs -r -n 1 printf '%s\n' <<<"${POSTGRES_INITDB_ARGS:-}")
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || options+=("--waldir=$POSTGRES_INITDB_WALDIR")
    [[ -z $POSTGRES_PASSWORD ]] || options+=("--pwfile=/dev/fd/3")
    initdb --username="$POSTGRES_USER" "${options[@]}" 3<<<"$POSTGRES_PASSWORD"

    local method=$POSTGRES_HOST_AUTH_METHOD
    [[ -n $method ]] || method=$("$@" -C password_encryption)
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# Scripts find the server on its socket only: nobody gets in over the network before they are done.
start_quietly() {
    [[ ${1:-} != postgres ]] || shift
    set -- "$@" -c listen_addresses='' -p "${PGPORT:-5432}"
    NOTIFY_SOCKET='' pg_ctl --options="$(printf '%q ' "$@")" --wait start
}

run_sql() {
    PGHOST='' PGHOSTADDR='' psql --set=ON_ERROR_STOP=1 --no-password --no-psqlrc --username="$POSTGRES_USER" \
        --dbname="${POSTGRES_DB}" "$@"
}

make_database() {
    [[ $POSTGRES_DB != postgres ]] || return 0
    run_sql --quiet --dbname=postgres --set=name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
}

run_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        [[ -e $script ]] || continue
        say "running $script"
        case $script in
        *.sh) if [[ -x $script ]]; then "$script"; else . "$script"; fi ;;
        *.sql) run_sql --file="$script" ;;
        *.sql.gz) gunzip --stdout "$script" | run_sql ;;
        *.sql.xz) xz --decompress --stdout "$script" | run_sql ;;
        *.sql.zst) zstd --decompress --stdout "$script" | run_sql ;;
        *) say "passing over $script" ;;
        esac
    done
}

first_run() {
    need_password
    make_cluster "$@"
    export PGPASSWORD=$POSTGRES_PASSWORD
    start_quietly "$@"
    make_database
    run_scripts
    pg_ctl --mode=fast --wait stop
    unset PGPASSWORD
    say "the database is made and ready for its first start"
}

[[ ${1:-} != -* ]] || set -- postgres "$@"
if [[ ${1:-} == postgres ]] && ! only_asks "$@"; then
    # Before root is given up: a secret's file may be readable by root only.
    variable POSTGRES_PASSWORD
    variable POSTGRES_USER postgres
    variable POSTGRES_DB "$POSTGRES_USER"
    variable POSTGRES_INITDB_ARGS
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
    [[ $(id -u) != 0 ]] || become_postgres "$@"
    if [[ -s $PGDATA/PG_VERSION ]]; then
        say "the database exists already, nothing is initialised"
    else
        mkdir -p "$PGDATA"
        chmod 0700 "$PGDATA"
        first_run "$@"
    fi
fi
exec "$@"
