#!/bin/sh
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Ends with a reason if the server of this image is older than the data and cannot read them. Runs in the new image, while the old server runs.
set -eu
for file in /data/appendonlydir/*.base.rdb; do
    # The running server may remove it at any moment. Its first 9 bytes are its name and the version of the format.
    start=$(head -c 9 "$file" 2> /dev/null) || continue
    case $start in REDIS[0-9][0-9][0-9][0-9]) ;; *) continue ;; esac
    # A file of this version without entries, and without a checksum.
    { printf '%s' "$start" && printf '\377\0\0\0\0\0\0\0\0'; } > /tmp/version.rdb
    said=$(redis-check-rdb /tmp/version.rdb) || case $said in
        *"Can't handle RDB format version"*)
            echo "redis_image is $REDIS_IMAGE, which is older than the Redis that wrote the data in $FOLDER and cannot read them:" \
                "set redis_image to a version that is at least as new in the inventory." >&2
            exit 1
            ;;
    esac
done
