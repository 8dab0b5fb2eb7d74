#!/bin/sh
# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

set -eu
# Like the public image: an option or a configuration file is an argument of the server.
case ${1:-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} +
    exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
fi
# The public image is compiled without protected mode, which lets strangers in as long as there is no password.
# Debian's server has it; whoever passes arguments sets a password, and then it makes no difference.
if [ "$#" = 1 ] && [ "$1" = redis-server ]; then
    set -- redis-server --protected-mode no
fi
exec "$@"
