#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Before migrations: keeps the schema as it is, beside the backups, and refuses to go on if a migration has left its lock.
# Arguments: the commit that is about to be released, and the database.
set -eu
umask 077

folder=/srv/litefarm/backups/postgres/schema
database=$2

in_container() {
    docker exec postgres "$@"
}

query() {
    in_container psql --no-psqlrc --quiet --tuples-only --no-align --username=postgres --dbname="$database" --command="$1"
}

if [ "$(query "SELECT to_regclass('knex_migrations_lock') IS NOT NULL")" = t ] && [ "$(query 'SELECT max(is_locked) FROM knex_migrations_lock')" = 1 ]; then
    echo "A migration has left its lock in the database (knex_migrations_lock): nothing migrates now, because this run holds the deploy lock. Look at its output in /var/log/litefarm on the API's droplet, and then take the lock away with playbooks/unlock.yml -e litefarm_migrations=true." >&2
    exit 1
fi

mkdir -p "$folder"
name=$database-$(date --utc +%Y%m%dT%H%M%SZ)-before-$1.sql
in_container pg_dump --schema-only --no-password --username=postgres --dbname="$database" > "$folder/.part"
mv "$folder/.part" "$folder/$name"
echo "wrote $folder/$name"

# Names sort by date; the newest 50 stay.
find "$folder" -maxdepth 1 -name '*.sql' | sort --reverse | tail -n +51 | while read -r old; do
    rm "$old"
done
