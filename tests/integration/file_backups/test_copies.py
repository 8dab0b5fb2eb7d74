# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies and restores with the real restic, and a Redis that has to load what comes back."""

from __future__ import annotations

import concurrent.futures
import time

import pytest

RESTIC = "export RESTIC_REPOSITORY=/shared/repository RESTIC_PASSWORD_FILE=/etc/litefarm/file-backup/password"
FILL = "seq 500 | sed 's/^/lpush bull:q:wait /' | redis-cli -e > /dev/null"


def test_the_jobs_of_a_lost_droplet_come_back(droplet):
    """500 of 500, in the form that is copied, from a server that goes on serving."""
    lost = droplet("files")
    lost.start_redis()
    lost.do(FILL)
    lost.do("litefarm-file-backup")
    lost.do("redis-cli -e lpush bull:q:wait after")
    status = lost.status()
    assert (status["result"], status["tags"]["redis"]["result"], status["tags"]["redis"]["files"]) == ("ok", "ok", 2)

    new = droplet("files")
    new.do("litefarm-restore-files redis")
    assert new.do("stat -c '%u %a' /srv/litefarm/redis /srv/litefarm/redis/appendonlydir/*") == "999 700\n999 600\n999 600"
    new.start_redis()
    assert new.jobs() == 500
    # And it is a folder that the server goes on with.
    new.do("redis-cli -e lpush bull:q:wait more && sleep 1.2")
    new.stop_redis()
    new.start_redis()
    assert new.jobs() == 501


@pytest.mark.nightly
def test_a_dump_alone_brings_nothing_back(droplet):
    """Trap 7: what the copy is made of, as a dump.rdb, is ignored where appendonly is on."""
    here = droplet("files")
    here.start_redis()
    here.do(FILL)
    here.do("litefarm-file-backup --copy-redis /tmp/copy --owner 0")
    here.stop_redis()
    here.do("mkdir -p /srv/dump && cp /tmp/copy/appendonlydir/appendonly.aof.1.base.rdb /srv/dump/dump.rdb")
    here.start_redis("/srv/dump")
    assert here.jobs() == 0


@pytest.mark.nightly
def test_two_droplets_that_start_at_once_share_one_repository(droplet):
    images = [{"tag": "images", "paths": ["/srv/litefarm/images"]}]
    both = [droplet("one", sets=images), droplet("two", sets=images, init_wait_seconds=120)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.do("litefarm-file-backup"), both))
    assert both[0].do("ls /shared/repository/keys | wc -l") == "1"
    assert len(both[0].do("litefarm-restore-files --list").splitlines()) == 3


def test_a_droplet_that_waits_in_vain_creates_nothing(droplet):
    here = droplet("two", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}], init_wait_seconds=1)
    assert "the environment's first droplet creates it" in here.refused("litefarm-file-backup")
    assert here.call("ls /shared/repository/config").returncode != 0


@pytest.mark.nightly
def test_what_copies_leave_out_stays_on_the_droplet(droplet):
    here = droplet("one", sets=[{"tag": "history", "paths": ["/srv/history"], "exclude": ["/srv/history/lock.json"]}])
    here.do("mkdir /srv/history && echo old > /srv/history/releases && echo old > /srv/history/lock.json && litefarm-file-backup")
    here.do("echo new > /srv/history/releases && echo held > /srv/history/lock.json && litefarm-restore-files history --replace")
    assert here.do("cat /srv/history/releases /srv/history/lock.json") == "old\nheld"


def test_the_password_is_in_no_process_list_and_not_in_the_repository(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}])
    here.do("echo canary-4711 > /srv/litefarm/images/a.png")
    here.do("(while :; do cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' '; sleep 0.02; done > /tmp/seen) & litefarm-file-backup; kill $!")
    assert here.do("grep -ac 'restic' /tmp/seen") != "0"
    assert here.call("grep -aq correct-horse /tmp/seen").returncode == 1
    assert here.call("grep -raq -e canary-4711 -e correct-horse /shared/repository").returncode == 1
def test_storage_that_is_down_is_a_sentence_within_the_time_of_an_answer(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}], repository="s3:https://127.0.0.1:9/farm-backups/files")
    here.do("sed -i 's/^ANSWER_SECONDS = .*/ANSWER_SECONDS = 10/' /usr/local/lib/litefarm/litefarm_files.py")
    began = time.monotonic()
    told = here.refused("AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b litefarm-file-backup")
    assert told == "<3>The copy of files failed: the object storage storage.example does not answer: copies are made again at the next run."
    assert time.monotonic() - began < 60
    status = here.status()
    assert (status["result"], status["tags"]) == ("failed", {})


def test_a_new_droplet_gets_back_what_it_lacks_and_keeps_what_it_has(droplet):
    sets = [{"tag": "images", "paths": ["/srv/litefarm/images"]}, {"tag": "dumps", "paths": ["/srv/dumps"]}]
    lost = droplet("files", sets=sets)
    lost.do("echo picture > /srv/litefarm/images/a.png && mkdir /srv/dumps && echo dump > /srv/dumps/one && litefarm-file-backup")
    new = droplet("files", sets=sets)
    new.do("mkdir /srv/dumps && echo own > /srv/dumps/own")
    told = new.do("litefarm-restore-files --missing")
    assert "Restored /srv/litefarm/images." in told and "/srv/dumps is not empty, and stays as it is." in told
    assert new.do("cat /srv/litefarm/images/a.png; ls /srv/dumps") == "picture\nown"
    assert "Restored" not in new.do("litefarm-restore-files --missing")
    new.do("rm -r /srv/litefarm/images/* && echo package > /srv/litefarm/images/b.png")
    new.configure(sets=[{**sets[0], "lost_without": "/srv/litefarm/images/a.png"}])
    new.do("litefarm-restore-files --missing")
    assert new.do("cd /srv/litefarm && ls images && ls -d images.before-*/*").splitlines()[0] == "a.png"
    assert new.do("cat /srv/litefarm/images.before-*/b.png") == "package"
    assert droplet("first", sets=sets, repository="/tmp/none").do("litefarm-restore-files --missing") == "There are no copies yet."


def test_a_second_bucket_is_the_copy_of_the_first_and_is_not_emptied_with_it(droplet):
    images = [{"tag": "images", "paths": ["/srv/litefarm/images"]}]
    here = droplet("files", sets=images, bucket_copies=[{"from": "farm", "to": "farm-copy"}], bucket_copies_max_delete=1)
    here.do("mkdir -p /shared/from/farm/documents && cd /shared/from/farm/documents && echo one > a && echo two > b && echo three > c")
    here.do("echo picture > /srv/litefarm/images/a.png")
    assert "Copied images, bucket farm:" in here.do("litefarm-file-backup")
    here.do("cd /shared/from/farm/documents && rm a && echo changed > b && litefarm-file-backup && diff -r /shared/from/farm /shared/to/farm-copy")

    here.do("rm -r /shared/from/farm/documents/* && echo new > /shared/from/farm/documents/d")
    told = here.refused("litefarm-file-backup")
    assert "more objects would be deleted than file_backups_bucket_copies_max_delete says" in told
    status = here.status()
    assert (status["result"], status["tags"]["images"]["result"]) == ("failed", "ok")
    here.do("rm -r /shared/from/farm")
    assert "the bucket farm is not copied to farm-copy: " in here.refused("litefarm-file-backup") and "directory not found" in here.status()["message"]
