#!/bin/sh
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes sure that there is a database which the server of this image can read, or ends with the reason. Runs in the new image.
set -eu
cd /var/lib/postgresql/data
if [ -s pgdata/PG_VERSION ]; then
    # Here, because the old server still runs: one of another major version would end at once.
    data=$(cat pgdata/PG_VERSION)
    image=$(postgres --version | sed -E 's/^[^0-9]*([0-9]+).*$/\1/')
    [ "$image" != "$data" ] || exit 0
    echo "postgres_image is $POSTGRES_IMAGE, which is PostgreSQL $image, and the database in $FOLDER is of PostgreSQL $data," \
        "which only that major version reads: set postgres_image to it in the inventory." >&2
    exit 1
fi
# A lost droplet or a volume that is not mounted looks like a new environment.
[ "$NEW_DATABASE" = true ] || { echo "$REFUSAL" >&2; exit 1; }
rm -rf pgdata.new
initdb --pgdata=pgdata.new --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
    --wal-segsize=1 --auth-local=peer --auth-host=scram-sha-256
mv -T pgdata.new pgdata
# After a power cut the database still has this name: a run for a new database removes a pgdata.new.
sync
