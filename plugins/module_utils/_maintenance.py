# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maintenance, as playbooks/maintenance.yml leaves it on a droplet: nginx closes web and API while page.html is there."""

from __future__ import annotations

import json
import os
import time


def look(directory):
    """Since when there is maintenance and with which message, or None."""
    try:
        begun = os.stat(os.path.join(directory, "page.html")).st_mtime
    except OSError:
        return None
    try:
        with open(os.path.join(directory, "page.json"), encoding="utf-8") as file:
            message = str(json.load(file)["message"])
    except (OSError, ValueError, KeyError, TypeError):
        message = ""
    return {"since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)), "message": message}


def words(found):
    """On since when, and what users read."""
    since = "on since %s UTC" % found["since"][:16].replace("T", " ")
    return "%s, message '%s'" % (since, " ".join(found["message"].split())) if found["message"] else since


def lines(by_host):
    """Sentences about the droplets that have it. `by_host`: droplet to what was found, or None."""
    hosts = {}
    for host, found in by_host.items():
        if found:
            hosts.setdefault(words(found), []).append(host)
    return ["Maintenance is %s (%s)." % (said, ", ".join(where)) for said, where in hosts.items()]
