# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Droplets that have the two programs, the restic of Debian 13 and one repository: containers that share a folder."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import uuid

import docker
import pytest
from lab.image_build import Images
from lab.settings import settings_from

REPO = pathlib.Path(__file__).resolve().parents[3]
FILES = REPO / "roles" / "file_backups" / "files"
LABEL = "litefarm.test=file_backups"
# As the role installs them.
PYTHON = "#!/usr/bin/python3\n"
PASSWORD = "correct-horse-battery-staple"
# Droplets of this test are containers, so what stands for their engine is a script. The container `redis` is the server in the same place.
ENGINE = """#!/bin/sh
case $1 in
    exec) shift 2; [ -e /run/redis.pid ] || { echo "Error response from daemon: container redis is not running" >&2; exit 1; }; exec "$@" ;;
    inspect) [ -e /run/redis.pid ] && echo true || { echo "Error: No such object: redis" >&2; exit 1; } ;;
esac
"""
CLIENT = """REDISCLI_AUTH=admin-geheim; export REDISCLI_AUTH
exec redis-cli --user admin --no-auth-warning -e "$@"
"""
# As roles/redis/templates/redis.conf.j2 has them.
REDIS = """dir /data
appendonly yes
save ""
daemonize yes
pidfile /run/redis.pid
user default on nopass ~bull:* -@all +@read +@write
user admin on >admin-geheim ~* &* +@all
"""
SETS = [
    {
        "tag": "redis",
        "paths": ["/var/lib/litefarm/file-backup/redis"],
        "command": ["/usr/local/sbin/litefarm-file-backup", "--copy-redis", "/var/lib/litefarm/file-backup/redis"],
        "restore_to": "/srv/litefarm/redis",
        "container": "redis",
        "note": "Start Redis.",
    },
    {"tag": "images", "paths": ["/srv/litefarm/images"]},
]


class Droplet:
    def __init__(self, image: str, shared: pathlib.Path, host: str, **settings):
        self.host = host
        self.name = f"litefarm-test-files-{uuid.uuid4().hex[:8]}"
        options = ["--init", "--label", LABEL, "--name", self.name, "--volume", f"{shared}:/shared", "--tmpfs", "/small:size=64k"]
        self.engine("run", "--detach", *options, image, "sleep", "infinity")
        self.write("/usr/local/lib/litefarm/litefarm_files.py", (FILES / "litefarm_files.py").read_text())
        self.write("/usr/local/sbin/litefarm-file-backup", PYTHON + (FILES / "backup.py").read_text(), "755")
        self.write("/usr/local/sbin/litefarm-restore-files", PYTHON + (FILES / "restore.py").read_text(), "755")
        self.write("/usr/local/bin/docker", ENGINE, "755")
        self.write("/etc/litefarm/redis-cli", CLIENT)
        self.write("/etc/redis.conf", REDIS)
        self.write("/etc/litefarm/file-backup/password", PASSWORD + "\n", "600")
        self.engine("exec", self.name, "mkdir", "-p", "/srv/litefarm/images")
        self.configure(**settings)

    def engine(self, *words: str, text: str | None = None) -> str:
        return subprocess.run(["docker", *words], input=text, capture_output=True, text=True, check=True).stdout

    def configure(self, repository: str = "/shared/repository", **settings) -> None:
        values = {
            "host": self.host,
            "repository": repository,
            "endpoint": "storage.example",
            "bucket": "farm-backups",
            "region": "nyc3",
            "sets": SETS,
            "keep": {"daily": 14, "weekly": 8, "monthly": 6},
            "keep_by_tag": {},
            "init_wait_seconds": 0,
            "maintains": False,
            "check_parts": 12,
            "lock_wait_seconds": 20,
            "bucket_copies": [],
            "bucket_copies_max_delete": 1000,
            "ca_file": "/etc/ssl/certs/ca-certificates.crt",
            **settings,
        }
        self.write("/etc/litefarm/file-backup/settings.json", json.dumps(values))
        environment = {
            "RESTIC_REPOSITORY": repository,
            "RESTIC_PASSWORD_FILE": "/etc/litefarm/file-backup/password",
            "RESTIC_CACHE_DIR": "/var/cache/litefarm-restic",
            # Folders stand for the buckets.
            "RCLONE_CONFIG_FROM_TYPE": "alias",
            "RCLONE_CONFIG_FROM_REMOTE": "/shared/from",
            "RCLONE_CONFIG_TO_TYPE": "alias",
            "RCLONE_CONFIG_TO_REMOTE": "/shared/to",
        }
        self.write("/etc/litefarm/file-backup/environment", "".join(f"{name}={value}\n" for name, value in environment.items()), "600")

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self.engine("exec", "-i", self.name, "sh", "-c", f"mkdir -p {os.path.dirname(path)} && cat > {path} && chmod {mode} {path}", text=text)

    def call(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["docker", "exec", self.name, "sh", "-c", command], capture_output=True, text=True, check=False, timeout=180)

    def do(self, command: str) -> str:
        done = self.call(command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def refused(self, command: str) -> str:
        done = self.call(command)
        assert done.returncode == 1, f"{command}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stderr.strip()

    def status(self) -> dict:
        return json.loads(self.do("cat /var/lib/litefarm/file-backup.json"))

    def start_redis(self, data: str = "/srv/litefarm/redis") -> None:
        self.do(f"mkdir -p {data} && ln -sfn {data} /data && redis-server /etc/redis.conf > /dev/null")
        self.do("for i in $(seq 100); do redis-cli -e get bull:x > /dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1")

    def stop_redis(self) -> None:
        self.do("sh /etc/litefarm/redis-cli shutdown; while [ -e /run/redis.pid ]; do sleep 0.1; done; rm /data")

    def jobs(self) -> int:
        return int(self.do("redis-cli -e llen bull:q:wait"))


@pytest.fixture(scope="session")
def image():
    images = Images(docker.from_env(), settings_from(os.environ))
    return images.built("file_backups", "file-backups", {}, what="image of the tests for copies of files")


@pytest.fixture
def droplet(image, tmp_path):
    """droplet("litefarm-imaginary"): all of a test share one repository."""
    made = []

    def make(host: str, **settings) -> Droplet:
        made.append(Droplet(image, tmp_path, host, **settings))
        return made[-1]

    yield make
    for each in made:
        # What root wrote into the shared folder, this test's user may not be able to remove.
        each.engine("exec", each.name, "sh", "-c", "rm -rf /shared/*")
        each.engine("rm", "--force", each.name)
