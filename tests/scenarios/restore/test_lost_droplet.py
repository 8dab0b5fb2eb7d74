# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet that is gone comes back whole by one command. These tests are the last ones, because they replace droplets."""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.database import sql, wait_until_archived
from tests.support.deployment import history

pytestmark = [pytest.mark.nightly, pytest.mark.last]

APP, FILES = "litefarmapp", "litefarm-imaginary"
RECOVER = "playbooks/recover.yml"
REDIS = "docker exec redis sh /etc/litefarm/redis-cli "


@pytest.fixture
def lose():
    """Copies what is copied every night, and replaces a droplet with a fresh one."""

    def copy_and_lose(name):
        for droplet in (APP, FILES):
            lab.connect(droplet).check_output("systemctl start litefarm-file-backup.service")
        lab.lab("recreate", "--droplet", name)
        return lab.connect(name)

    return copy_and_lose


def recovered(record_property):
    unconfirmed = lab.playbook(RECOVER)
    assert unconfirmed.status != 0 and "confirm=production" in unconfirmed.output
    run = lab.playbook(RECOVER, "-e", json.dumps({"confirm": "production", "new_database": False}))
    record_property("recovered", f"{run.seconds:.0f} s")
    assert run.status == 0, run.reasons


def test_a_release_is_in_the_copy_of_the_history_at_once():
    """A copy of the night before would bring back an earlier release, which does not know the database's migrations."""
    app = lab.connect(APP)
    app.check_output("systemctl start litefarm-file-backup.service")
    app.check_output("cd /var/lib/litefarm/deployment && last=$(tail -n 1 history.jsonl) && echo \"$last\" >> history.jsonl")
    copied = "litefarm-restore-files history --target /tmp/copied --replace && cmp /tmp/copied/history.jsonl /var/lib/litefarm/deployment/history.jsonl"
    app.check_output(f"for i in $(seq 30); do sleep 2; if {copied}; then exit 0; fi; done; exit 1")


def test_the_droplet_with_the_database_comes_back(lose, ask, record_property):
    before = lab.connect(APP)
    before.check_output("systemctl start litefarm-postgres-backup@incr.service")
    sql("DROP TABLE IF EXISTS public.kept; CREATE TABLE public.kept (number int); INSERT INTO public.kept VALUES (42); SELECT pg_switch_wal()")
    wait_until_archived()
    released = history(1000)
    lose(APP)
    # The lab lets its environments be new ones.
    refused = lab.playbook("site.yml", "-e", json.dumps({"new_database": False}))
    assert refused.status != 0 and "has no database" in refused.output, refused.reasons
    recovered(record_property)
    assert sql("SELECT number FROM public.kept") == "42"
    assert lab.connect(APP).file("/srv/litefarm/postgres/emergency-reserve").exists
    assert history(1000)[: len(released)] == released
    assert ask("app.litefarm.org").status == 200
    assert "exists" in ask("api.app.litefarm.org", "/login/user/nobody@example.org").text
    assert lab.playbook("playbooks/verify.yml").status == 0
    sql("DROP TABLE public.kept")


def test_the_droplet_with_queues_and_files_comes_back(lose, ask, record_property):
    before = lab.connect(FILES)
    before.check_output("echo picture > /srv/litefarm/images/kept.webp && chmod 644 /srv/litefarm/images/kept.webp")
    before.check_output(REDIS + "set bull:kept job")
    files = lose(FILES)
    recovered(record_property)
    assert ask("image.litefarm.org", "/kept.webp").text == "picture\n"
    assert files.check_output(REDIS + "get bull:kept").strip().strip('"') == "job"
    assert lab.playbook("playbooks/verify.yml").status == 0


def test_a_droplet_that_is_lost_right_after_a_new_backup_key_comes_back(ask, record_property):
    """Nothing but the rotation itself has taken a backup under the new key."""
    rotation = lab.playbook("playbooks/rotate.yml", "-e", "secret=backup_encryption_key")
    assert rotation.status == 0, rotation.reasons
    sql("DROP TABLE IF EXISTS public.kept; CREATE TABLE public.kept (number int); INSERT INTO public.kept VALUES (43); SELECT pg_switch_wal()")
    wait_until_archived()
    released = history(1000)
    lab.lab("recreate", "--droplet", APP)
    recovered(record_property)
    assert sql("SELECT number FROM public.kept") == "43"
    assert history(1000)[: len(released)] == released
    assert ask("app.litefarm.org").status == 200
    assert lab.playbook("playbooks/verify.yml").status == 0
    sql("DROP TABLE public.kept")
