#!/bin/bash
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Fills an empty data directory, then becomes the server. Understands the public image's variables:
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS (each also as NAME_FILE), POSTGRES_HOST_AUTH_METHOD.
set -euo pipefail

fail() {
    echo "error: $*" >&2
    exit 1
}

# from_file NAME [default]: NAME keeps its value, or takes the content of the file that NAME_FILE names, or the default.
from_file() {
    local name=$1 file_name=$1_FILE
    [[ -z ${!name:-} || -z ${!file_name:-} ]] || fail "both $name and $file_name are set (they exclude each other)"
    if [[ -n ${!file_name:-} ]]; then
        printf -v "$name" '%s' "$(<"${!file_name}")"
    else
        printf -v "$name" '%s' "${!name:-${2:-}}"
    fi
    unset "$file_name"
}

create_cluster() {
    local password
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
    # The arguments are words, quotes included, exactly as the public image reads them.
    eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=\"\$password\" $POSTGRES_INITDB_ARGS"
    rm "$password"
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
}

sql() {
    psql --no-psqlrc --no-password --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --host /var/run/postgresql "$@"
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "initialising with $file"
        case $file in
            *.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
            *.sql) sql --dbname "$POSTGRES_DB" --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz) xz --decompress --stdout "$file" | sql --dbname "$POSTGRES_DB" ;;
            *.sql.zst) zstd --decompress --stdout "$file" | sql --dbname "$POSTGRES_DB" ;;
            *) echo "ignoring $file" ;;
        esac
    done
}

# first_start SERVER-ARGUMENTS…: on a socket only, so that nobody meets a half-made database.
first_start() {
    if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
        fail "the database is not initialised and POSTGRES_PASSWORD is empty"
    fi
    create_cluster
    pg_ctl --pgdata "$PGDATA" --wait start --options "$(printf '%q ' -c listen_addresses= -p "${PGPORT:-5432}" "$@")"
    if [[ $POSTGRES_DB != postgres ]]; then
        sql --dbname postgres --set name="$POSTGRES_DB" <<< 'CREATE DATABASE :"name";'
    fi
    run_init_files
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
    echo 'PostgreSQL init process complete; ready for start up.'
}

if [[ ${1:-} == -* ]]; then
    set -- postgres "$@"
fi
if [[ ${1:-} != postgres ]]; then
    exec "$@"
fi
if [[ $(id -u) == 0 ]]; then
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    install -d -o postgres -g postgres -m 3777 /var/run/postgresql
    find "$PGDATA" ! -user postgres -exec chown postgres {} +
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi

from_file POSTGRES_PASSWORD
from_file POSTGRES_USER postgres
from_file POSTGRES_DB "$POSTGRES_USER"
from_file POSTGRES_INITDB_ARGS
: "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
if [[ -s $PGDATA/PG_VERSION ]]; then
    echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
else
    shopt -s nullglob
    PGPASSWORD=$POSTGRES_PASSWORD first_start "${@:2}"
fi
unset POSTGRES_PASSWORD
exec "$@"
