# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rest of test_copies.py, which takes minutes: `make nightly` runs it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.nightly

RESTIC = "export RESTIC_REPOSITORY=/shared/repository RESTIC_PASSWORD_FILE=/etc/litefarm/file-backup/password"


def test_redis_that_does_not_run_fails_alone(droplet):
    here = droplet("files")
    here.do("echo picture > /srv/litefarm/images/a.png")
    told = here.refused("litefarm-file-backup")
    assert told == "<3>The copy of files failed: redis: Redis gave no copy (container redis): Error response from daemon: container redis is not running."
    status = here.status()
    assert (status["result"], status["tags"]["redis"]["result"], status["tags"]["images"]["result"]) == ("failed", "failed", "ok")
    assert status["bytes"] > 0


def test_redis_is_not_replaced_while_it_runs(droplet):
    here = droplet("files")
    here.start_redis()
    here.do("litefarm-file-backup")
    told = here.refused("litefarm-restore-files redis --replace")
    assert "`docker stop redis`" in told and "`docker start redis`" in told
    here.do("litefarm-restore-files redis --target /tmp/look")
    assert here.do("ls /tmp/look/appendonlydir | wc -l") == "2"


def test_what_is_there_is_refused_or_kept(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}])
    here.do("echo old > /srv/litefarm/images/a.png && litefarm-file-backup && echo new > /srv/litefarm/images/a.png")
    assert "/srv/litefarm/images is not empty: --replace keeps what is in it" in here.refused("litefarm-restore-files images").lower()
    told = here.do("litefarm-restore-files images --replace")
    assert here.do("cat /srv/litefarm/images/a.png") == "old"
    assert here.do("cat /srv/litefarm/images.before-*/a.png") == "new"
    assert "/srv/litefarm/images.before-" in told
    assert here.do("ls -a /srv/litefarm").split() == [".", "..", "images", here.do("ls -d /srv/litefarm/images.*").rsplit("/", 1)[1]]


def test_a_folder_of_the_image_is_kept_as_well(droplet):
    """As a lab's droplet is one: no container renames what came with its image."""
    here = droplet("files", sets=[{"tag": "images", "paths": ["/usr/share/keyrings"]}])
    here.do("litefarm-file-backup; chown 7 /usr/share/keyrings; litefarm-restore-files images --replace")
    assert here.do("stat -c %u /usr/share/keyrings /usr/share/keyrings.before-*") == "0\n7"
    assert here.do("ls -A /usr/share/keyrings") == here.do("ls -A /usr/share/keyrings.before-*")


def test_a_copy_is_found_by_time_and_by_host(droplet):
    images = [{"tag": "images", "paths": ["/srv/litefarm/images"]}]
    here = droplet("files", sets=images)
    here.do("echo one > /srv/litefarm/images/a.png && litefarm-file-backup && sleep 1.1")
    between = here.do("date --utc '+%Y-%m-%d %H:%M:%S UTC'")
    here.do("sleep 1.1; echo two > /srv/litefarm/images/a.png && litefarm-file-backup")
    other = droplet("other", sets=images)
    assert "add --host files (there are copies of files)" in other.refused("litefarm-restore-files images --target /tmp/x")
    other.do(f"litefarm-restore-files images --host files --at '{between}' --target /tmp/x")
    assert other.do("cat /tmp/x/a.png") == "one"
    assert "has no time zone" in other.refused("litefarm-restore-files images --host files --at '2026-11-27 10:00:00'")
    told = other.refused("litefarm-restore-files images --host files --at '2020-01-01 00:00:00 UTC'")
    assert "There is no copy of images from before 2020-01-01 00:00:00 UTC" in told
    rows = [line.split() for line in other.do("litefarm-restore-files --list").splitlines()]
    assert rows[0] == ["TAG", "HOST", "TIME", "FILES", "SIZE", "ID"] and [row[:2] for row in rows[1:]] == [["images", "files"]] * 2
    assert "This droplet has no" not in other.do("litefarm-restore-files images --host files --replace")


def test_a_new_droplet_does_not_bury_the_copies_of_the_lost_one(droplet):
    images = [{"tag": "images", "paths": ["/srv/litefarm/images"]}]
    lost = droplet("files", sets=images)
    lost.do("echo old > /srv/litefarm/images/a.png && litefarm-file-backup")
    new = droplet("files", sets=images)
    told = new.refused("litefarm-file-backup")
    assert "images of an earlier droplet files was copied at" in told and "`litefarm-restore-files images`" in told
    new.do("litefarm-restore-files images --replace && litefarm-file-backup")
    # A volume that is not mounted after a reboot.
    new.do("mv /srv/litefarm/images /srv/kept && mkdir /srv/litefarm/images")
    assert "/srv/litefarm/images is empty, but its last copy has" in new.refused("litefarm-file-backup")
    new.do("litefarm-file-backup --accept images")
    new.do("rmdir /srv/litefarm/images")
    assert "/srv/litefarm/images does not exist: run site.yml, or mount the volume that has it" in new.refused("litefarm-file-backup")


def test_the_lock_of_a_killed_run_is_no_obstacle(droplet):
    """Neither on the droplet where it was killed nor, after some time, on another: here its process ended."""
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}], maintains=True)
    here.do("litefarm-file-backup")
    here.do("head -c 60000000 /dev/urandom > /srv/litefarm/images/big")
    here.do(
        f"{RESTIC}\nrestic backup --limit-upload 500 /srv/litefarm/images > /dev/null 2>&1 & copy=$!; "
        '{ until [ "$(ls /shared/repository/locks)" ]; do sleep 0.1; done; kill -KILL $copy; }'
    )
    assert here.do("ls /shared/repository/locks | wc -l") == "1"
    here.do("rm -f /var/lib/litefarm/file-backup/maintenance.json && litefarm-file-backup")
    assert here.status()["maintenance"]["result"] == "ok"
    assert here.do("ls /shared/repository/locks | wc -l") == "0"


def test_old_copies_go_by_the_rule_of_their_tag(droplet):
    sets = [{"tag": "images", "paths": ["/srv/litefarm/images"]}, {"tag": "dumps", "paths": ["/srv/litefarm/dumps"]}]
    here = droplet("files", sets=sets, maintains=True, keep={"daily": 2}, keep_by_tag={"dumps": {"daily": 0, "weekly": 3}}, check_parts=1)
    here.do("mkdir /srv/litefarm/dumps && echo d > /srv/litefarm/dumps/d")
    here.do(
        f"{RESTIC}; restic init; for tag in images dumps; do for day in 05 06 13; do "
        'restic backup --host files --tag $tag --time "2026-01-$day 01:00:00" /srv/litefarm/$tag; done; done'
    )
    here.do("litefarm-file-backup --accept images --accept dumps")
    times = [tuple(line.split()[i] for i in (0, 2)) for line in here.do("litefarm-restore-files --list").splitlines()[1:]]
    assert [time_ for tag, time_ in times if tag == "images"][:-1] == ["2026-01-13"]
    assert [time_ for tag, time_ in times if tag == "dumps"][:-1] == ["2026-01-06", "2026-01-13"]
    assert len(times) == 5
    assert here.status()["maintenance"]["part"] == "1/1"
    # Once a week.
    here.do("litefarm-file-backup")
    assert "maintenance" not in here.status()


def test_a_damaged_repository_is_told(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}], maintains=True, check_parts=1)
    here.do("head -c 3000000 /dev/urandom > /srv/litefarm/images/a && litefarm-file-backup")
    here.do("rm /var/lib/litefarm/file-backup/maintenance.json")
    here.do("f=$(find /shared/repository/data -type f -size +1000k | head -1); chmod u+w $f; printf X | dd of=$f bs=1 seek=5000 conv=notrunc 2> /dev/null")
    told = here.refused("litefarm-file-backup")
    assert "maintenance: the repository is damaged, or cannot be read (part 1 of 1)" in told
    assert here.status()["tags"]["images"]["result"] == "ok"
    # Whoever restores it is told, and what is there stays.
    here.refused("litefarm-restore-files images --replace")
    assert here.do("ls /srv/litefarm") == "images"


def test_another_key_and_a_full_disk_are_sentences(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}])
    here.do("head -c 300000 /dev/urandom > /srv/litefarm/images/a && litefarm-file-backup")
    assert "has too little room: the copy needs 0.3 MB, 65.5 kB are free" in here.refused("litefarm-restore-files images --target /small/images")
    here.write("/etc/litefarm/file-backup/password", "another\n", "600")
    told = here.refused("litefarm-file-backup")
    assert "was encrypted with another key than file_backups_encryption_key (vault_backup_encryption_key)" in told
    here.write("/etc/litefarm/file-backup/password", "correct-horse-battery-staple\n", "600")
    here.configure(repository="/small/repository", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}])
    assert "the disk of this droplet is full" in here.refused("litefarm-file-backup")


def test_a_volume_gets_its_files_back_in_place(droplet):
    here = droplet("files", sets=[{"tag": "images", "paths": ["/srv/litefarm/images"]}])
    here.do("echo old > /srv/litefarm/images/a.png && litefarm-file-backup")
    here.do("mkdir /small/lost+found && litefarm-restore-files images --target /small")
    assert here.do("cat /small/a.png; ls -A /small") == "old\na.png\nlost+found"
    here.do("echo new > /small/a.png && litefarm-restore-files images --target /small --replace")
    assert here.do("cat /small/a.png /small/.before-*/a.png") == "old\nnew"
