# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A droplet in a temporary folder: an engine that knows what pgBackRest and PostgreSQL do to the data, and nothing else."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import shutil

from ansible_collections.litefarm.platform.plugins.module_utils import (
    _postgres_copy as postgres_copy,
    _postgres_restore as postgres_restore,
)
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.engine import Container, Details
from ansible_collections.litefarm.platform.plugins.module_utils._container_service.model import LABEL, ServiceError

CLUSTER = "7577198264723316764"
NOON = 1795780800  # 2026-11-27 12:00:00 UTC
SEGMENT_BYTES = 1 << 20
# Servers that replay, and their data.
FOLDERS = {cls.server_name: cls.folder for cls in (postgres_restore.Restore, postgres_copy.Copy)}


class Killed(BaseException):
    """As SIGKILL: nothing of the module runs any more."""


class Clock:
    """Time passes when somebody waits."""

    def __init__(self, now=NOON):
        self.time = now

    def now(self):
        return self.time

    monotonic = now

    def sleep(self, seconds):
        self.time += seconds


def backup(label, stop, wal_stop, lsn="0/500000", name="", size=16 << 20, kind="full", error=False):
    return {
        "label": label,
        "type": kind,
        "annotation": {"name": name} if name else None,
        "archive": {"start": wal_stop, "stop": wal_stop},
        "database": {"id": 1, "repo-key": 1},
        "error": error,
        "info": {"size": size, "repository": {"delta": 1000, "size": 1000}},
        "lsn": {"start": lsn, "stop": lsn},
        "prior": None,
        "timestamp": {"start": stop - 5, "stop": stop},
    }


class Bucket:
    """What pgBackRest finds of one cluster."""

    def __init__(self, cluster=CLUSTER):
        self.cluster = cluster
        self.version = "17"
        self.backups = [
            backup("20261127-100000F", NOON - 7200, "000000010000000000000005", "0/500100"),
            backup("20261127-110000F", NOON - 3600, "000000010000000000000008", "0/800100", name="before-v2"),
        ]
        self.wal_min = "000000010000000000000001"
        self.wal_max = "00000001000000000000000A"
        self.wal_time = NOON - 10
        # Of the last transaction in the archive: recovery to a time ends only before one that is later.
        self.last_commit = self.wal_time
        # Timeline to the time at which it began, and its history.
        self.timelines = {}

    def info(self):
        stanza = {
            "name": "litefarm",
            "status": {"code": 0, "message": "ok"},
            "repo": [{"key": 1, "status": {"code": 0, "message": "ok"}}],
            "db": [{"id": 1, "repo-key": 1, "system-id": int(self.cluster), "version": self.version}],
            "archive": [{"database": {"id": 1, "repo-key": 1}, "id": self.version + "-1", "min": self.wal_min, "max": self.wal_max}],
            "backup": self.backups,
        }
        return json.dumps([stanza])

    def listing(self, path):
        if path == "archive/litefarm/%s-1" % self.version:
            found = {"%08X.history" % line: {"type": "file", "time": since, "size": 50} for line, (since, unused) in self.timelines.items()}
            return json.dumps(dict(found, **{".": {"type": "path"}, "0000000100000000": {"type": "path"}}))
        assert path == "archive/litefarm/%s-1/%s" % (self.version, self.wal_max[:16])
        return json.dumps({self.wal_max + "-0123456789abcdef.zst": {"type": "file", "time": self.wal_time, "size": 9000}})


class Droplet:
    """The engine, as far as a restore asks it, and the folders that its containers share."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.root = folder / "srv"
        self.state = folder / "lib"
        self.buckets = {CLUSTER: Bucket()}
        self.seen = {}
        self.policies = {}
        self.commands = []
        self.log = []
        self.database = True
        # What keeps the restored server from reading the last segment.
        self.gap = False
        self.ends_with = ""
        self.major = "17"
        self.archives = True
        # What pgBackRest writes if the object storage refuses.
        self.refusal = ""
        # What its list of backups says of that.
        self.reason = ""
        # The time that pgBackRest is told to recover to.
        self.recovers_to = 0.0
        # Whether the server in place has written a transaction that is not in the archive yet.
        self.committed = False
        self.promoted = False
        self.write("pgdata", "old")
        self.add("postgres", "service", "running", "unless-stopped")
        self.log_of_server = []
        self.loaded = False
        self.databases = {"postgres", "template0", "template1", "litefarm"}
        # What pg_restore writes if it fails.
        self.load_fails = ""

    # -- the data --------------------------------------------------------------------------------------------------------------

    def write(self, name, content):
        folder = self.root / name
        (folder / "pg_wal" / "archive_status").mkdir(parents=True, exist_ok=True)
        (folder / "global").mkdir(exist_ok=True)
        (folder / "PG_VERSION").write_text("17\n")
        (folder / "global" / "pg_control").write_text(content)

    def content(self, name):
        path = self.root / name / "global" / "pg_control"
        return path.read_text() if path.exists() else "-"

    @property
    def before(self):
        found = sorted(self.root.glob("pgdata.before-*"))
        return self.content(found[0].name) if found else "-"

    @property
    def ready(self):
        return self.root / "pgdata" / "pg_wal" / "archive_status" / "00000001000000000000000B.ready"

    # -- the engine ------------------------------------------------------------------------------------------------------------

    def add(self, name, label, state="created", policy="no", body=None):
        self.seen[name] = {"label": label, "state": state, "body": body or {}}
        self.policies[name] = policy

    def _container(self, name):
        one = self.seen[name]
        return Container({"Id": name, "Names": ["/" + name], "State": one["state"], "ImageID": "sha256:1", "Labels": {LABEL + one["label"]: "postgres"}})

    def containers(self, name, label="service"):
        assert name in ("postgres", "postgres_backup")
        return [self._container(one) for one, seen in self.seen.items() if seen["label"] == label and name == "postgres"]

    def get(self, path, **unused):
        if path == "/images/json":
            return [{"Id": "sha256:1", "RepoTags": ["litefarm.local/postgres:abc"], "Created": 1}]
        return {"HostConfig": {"NetworkMode": "litefarm", "Memory": 1 << 30}}

    def network(self, unused):
        return {}

    def inspect(self, name):
        state = self.seen[name]["state"]
        seen = {"Running": state == "running", "Status": state, "ExitCode": 0, "OOMKilled": False, "Error": "", "StartedAt": "", "FinishedAt": ""}
        config = {"Config": {}, "HostConfig": {"RestartPolicy": {"Name": self.policies[name]}}}
        return Details({"State": seen, "RestartCount": 0, "Image": "sha256:1", **config})

    def create(self, name, body):
        if name in self.seen:
            raise ServiceError("The container name %s is in use." % name)
        self.add(name, "restore", body=body)
        return name

    def start(self, name):
        self.seen[name]["state"] = "running"
        if name in FOLDERS:
            self._begin_replay(name)

    def stop(self, name, unused):
        self.seen[name]["state"] = "exited"
        if name == postgres_restore.SERVER and self.promoted:
            self.write("pgdata.restored", "new")

    def remove(self, name):
        del self.seen[name]

    def set_policy(self, name, policy):
        self.policies[name] = policy

    def logs(self, name, unused):
        assert name in FOLDERS
        return self.log_of_server

    # -- what runs in containers -----------------------------------------------------------------------------------------------

    def execute(self, name, command, unused, user=None, stdin=None):
        if name not in self.seen:
            raise ServiceError("The container engine could not run a command: No such container: %s" % name)
        assert self.seen[name]["state"] == "running", "the engine runs nothing in a container that is stopped"
        self.commands.append(command)
        if command[0] == "psql":
            return self._psql(name, command)
        if command[0] == "pg_isready":
            return 0, "", ""
        if command[0] == "pg_controldata":
            return self._controldata(command[1])
        if command[0] == "bash":
            return self._load(command)
        if command == ["postgres", "--version"]:
            return 0, "postgres (PostgreSQL) %s.4 (Debian)" % self.major, ""
        return self._backrest(command)

    def _controldata(self, path):
        state = {"new": "shut down"}.get(self.content(path.rpartition("/")[2]), "in archive recovery")
        return 0, "Database system identifier:  %s\nDatabase cluster state:      %s\nBytes per WAL segment:      %d\n" % (CLUSTER, state, SEGMENT_BYTES), ""

    def _backrest(self, command):
        assert command[0] == "env" and command[1].startswith("SYSTEM_IDENTIFIER=") and command[2] == "sh"
        cluster, arguments = command[1].partition("=")[2], command[4:]
        if self.reason and arguments[0] == "info":
            return 0, self.reason, ""
        if self.refusal:
            return 39, "", self.refusal
        if arguments == ["--clusters"]:
            return 0, "\n".join(self.buckets) + "\n", ""
        bucket = self.buckets[cluster]
        if arguments[0] == "info":
            return 0, bucket.info(), ""
        if arguments[0] == "repo-ls":
            return 0, bucket.listing(arguments[-1]), ""
        if arguments[0] == "repo-get":
            return 0, bucket.timelines[int(arguments[1].rpartition("/")[2][:8], 16)][1], ""
        if arguments[0] == "archive-push":
            return (0, "", "") if self.archives else (1, "", "P00  ERROR: [049]: unable to connect to 'storage:443': [111] Connection refused")
        folder = next(one for one in arguments if one.startswith("--pg1-path=")).rpartition("/")[2]
        assert arguments[0] == "restore" and folder in FOLDERS.values() and self.root.joinpath(folder).is_dir()
        running = self.seen.get("postgres", {}).get("state") == "running"
        assert running == (folder == postgres_copy.Copy.folder), "a restore stops the server, and a copy does not"
        self.write(folder, "backup")
        kind = next(one for one in arguments if one.startswith("--type="))
        moment = next((one.partition("=")[2] for one in arguments if one.startswith("--target=")), "")
        self.recovers_to = datetime.datetime.fromisoformat(moment + ":00").timestamp() if moment else 0.0
        (self.root / folder / ("standby.signal" if kind == "--type=standby" else "recovery.signal")).touch()
        return 0, "", ""

    def _begin_replay(self, name):
        folder = self.root / FOLDERS[name]
        self.promoted = not list(folder.glob("*.signal"))
        if self.ends_with:
            self.seen[name]["state"] = "exited"
            self.log_of_server = [self.ends_with]
        elif not self.promoted:
            if not self.gap:
                (folder / "pg_wal" / self.buckets[CLUSTER].wal_max).touch()
            (folder / "global" / "pg_control").write_text("replayed")
            if self.recovers_to >= self.buckets[CLUSTER].last_commit:
                self.seen[name]["state"] = "exited"
                self.log_of_server = ["FATAL:  recovery ended before configured recovery target was reached"]
                return
            self.log_of_server = ["LOG:  recovery stopping before commit of transaction 700"]

    def _psql(self, name, command):
        sql = command[-1].removeprefix("--command=")
        if name == "postgres":
            self.committed = self.committed or "txid_current" in sql
            if "pg_switch_wal" in sql and not self.archives:
                self.ready.touch()
            elif "pg_switch_wal" in sql and self.committed:
                self.buckets[CLUSTER].last_commit = NOON
            return self._live_psql(sql)
        folder = self.root / FOLDERS[name]
        if sql == postgres_restore.STATE_SQL:
            if self.promoted:
                return 0, "f|0/0|f||\n", ""
            standby = (folder / "standby.signal").exists()
            replayed = "0/900100" if self.gap else "0/A00100"
            return 0, "t|%s|%s|%s|2026-11-27 11:59:00\n" % (replayed, "f" if standby else "t", "RecoveryRetrieveRetryInterval" if standby else ""), ""
        if "pg_promote" in sql or "pg_wal_replay_resume" in sql:
            if self.promoted:
                return 1, "", "ERROR:  recovery is not in progress"
            for signal in folder.glob("*.signal"):
                signal.unlink()
            self.promoted = True
        if "CREATE DATABASE" in sql:
            return 0, 'CREATE DATABASE "%s" TEMPLATE template0\n' % postgres_copy.LOADING, ""
        if "pg_database" in sql:
            return 0, "1\n" if self.database else "0\n", ""
        return 0, "161\n", ""

    def _live_psql(self, sql):
        asked = re.search(r"datname = '(.+)'", sql)
        named = re.findall(r'DATABASE (?:IF EXISTS )?"(.+?)"', sql)
        if asked:
            return 0, "%d\n" % (asked[1] in self.databases), ""
        if sql.startswith("CREATE DATABASE"):
            assert named[0] not in self.databases
            self.databases.add(named[0])
        elif sql.startswith("DROP DATABASE"):
            self.databases.discard(named[0])
        elif "RENAME TO" in sql:
            assert self.loaded, "only a complete database gets its name"
            self.databases.remove(named[0])
            self.databases.add(sql.rpartition(" ")[2].strip('"'))
        return 0, "1\n", ""

    def _load(self, command):
        assert "pipefail" in command[2] and command[-1] in self.databases and self.promoted
        self.loaded = not self.load_fails
        return (0, "", "") if self.loaded else (1, "", self.load_fails)

    # -- from outside ----------------------------------------------------------------------------------------------------------

    def lose(self):
        """The data and the server are gone."""
        shutil.rmtree(self.root / "pgdata")
        del self.seen["postgres"]

    def copy(self, to="latest", copy_to="litefarm_before", **more):
        return self.restore(to, cls=postgres_copy.Copy, copy_to=copy_to, **more)

    def restore(self, to="latest", fault="", clock=None, cls=postgres_restore.Restore, **params):
        def reached(step):
            self.log.append(step)
            if step == fault:
                raise Killed

        values = {
            "to": to,
            "cluster": "",
            "database": "litefarm",
            "name": "postgres",
            "data_directory": str(self.root),
            "credentials_directory": str(self.folder / "etc"),
            "state_directory": str(self.state),
            "uid": os.getuid(),
            "control_time": 0,
            **params,
        }
        return cls(values, self, clock or Clock(), reached)
