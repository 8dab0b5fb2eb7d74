# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the platform's own that a power cut or a fault of the disk has filled with zeroes: site.yml mends them, and nothing refuses it for ever."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.deployment import variables

STATE = "/var/lib/litefarm"


@pytest.mark.nightly
def test_site_mends_what_a_fault_of_the_disk_has_damaged(droplet):
    before = droplet.check_output("docker inspect -f '{{.Id}}' api webapp postgres")
    folders = {
        service: f"{STATE}/services/{service}/" + droplet.check_output("docker inspect -f '{{index .Config.Labels \"litefarm.platform.spec\"}}' " + service)
        for service in ("api", "webapp", "postgres")
    }
    journal = f"{STATE}/config_files/base/journal.json"
    damaged = [f"{folders['webapp']}/etc__nginx__nginx.conf", "/etc/litefarm/environment_id"]
    damaged += [f"{folder}/release.json" for folder in folders.values()]
    for path in damaged:
        # In place, as a disk does it, and as long as it was.
        droplet.check_output(f"size=$(stat -c %s {path}) && head -c $size /dev/zero > {path}")
    droplet.check_output(f"head -c 300 /dev/zero > {journal}")
    # The webapp cannot start any more, and the engine tries again and again.
    droplet.check_output("docker kill webapp && docker start webapp")
    run = lab.playbook("site.yml", *variables(force=True))
    assert run.status == 0, run.reasons
    # Mended, and not replaced.
    assert droplet.check_output("docker inspect -f '{{.Id}}' api webapp postgres") == before
    for path in damaged:
        assert droplet.run(f"tr -d '\\000' < {path} | cmp -s - {path}").rc == 0, path
    assert not droplet.file(journal).exists
    assert "webapp" in droplet.check_output("docker ps --filter status=running --format '{{.Names}}'").split()
    again = lab.playbook("site.yml", *variables(force=True))
    assert again.status == 0, again.reasons
    assert again.total("changed") == 0, again.reasons
    # A restart by hand sets the count of crashes back, which verify.yml looks at.
    droplet.check_output("docker restart webapp")
