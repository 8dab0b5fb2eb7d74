# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the database of a droplet back from its archive, in the steps of docs/restore-protocol.md.

The data are restored beside those in place, replayed by a server that nobody else can reach and that archives nothing, and only then take
their place. Whatever fails or is killed before that leaves the data in place and the archive as they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import json
import os
import re
import shutil
import time
import typing as t
import zoneinfo

from . import _postgres_wal as wal
from ._atomic_files import sync_folder, write_atomically
from ._container_service.host import Lock
from ._container_service.model import LABEL, ServiceError
from ._postgres_archive import INFO, ArchiveError, explain, parse_info

STEPS = ("plan", "stop", "fetch", "replay", "check", "promote", "aside", "swap")
DATA = "/var/lib/postgresql/data"
CREDENTIALS = "/etc/litefarm/credentials"
SOCKET = "/run/postgresql"
SPOOL = "/var/spool/pgbackrest"
BACKREST = ["sh", CREDENTIALS + "/pgbackrest"]
RESTORED = "pgdata.restored"
SERVER = "postgres_restore"
TOOL = "postgres_restore_tool"
BUILT = "litefarm.local/postgres:"  # the images that container_service builds
LATEST = "latest"

# Where a droplet has its database: options of every module that works on it, documented in doc_fragments/postgres_data.py.
OPTIONS = dict(
    name=dict(type="str", default="postgres"),
    data_directory=dict(type="path", default="/srv/litefarm/postgres"),
    credentials_directory=dict(type="path", default="/etc/litefarm/postgres"),
    state_directory=dict(type="path", default="/var/lib/litefarm"),
    uid=dict(type="int", default=999),
)

CLOCK_SKEW = 15 * 60  # seconds; object storages refuse more
SPARE = 512 << 20  # bytes for the WAL that is replayed, and for a database that grew after the backup
ASK_TIMEOUT = 120  # seconds
FETCH_TIMEOUT = 12 * 3600  # seconds
ARCHIVED_WITHIN = 30  # seconds, for the last WAL of a server before it stops
STUCK = 30  # seconds in which a server that has nothing to replay looks for more
SILENT = 180  # seconds without any progress of a server that does not answer yet
PROMOTED_WITHIN = 300  # seconds
STOP_TIMEOUT = 120  # seconds
PAUSE = 0.5  # seconds
PROC = "/proc"

# The server takes no setting from the restored data but those without which it could not replay: a standby needs at least those of the
# server that wrote the WAL. It listens to nobody. Without an archive_command it archives nothing, but keeps the WAL that it writes, and the
# history of its timeline, for the server that runs on these data afterwards: were they missing, the archive would have a gap.
SERVER_SCRIPT = r"""
set -eu
setting() { pg_controldata "$PGDATA" | sed -n "s/^$1 setting: *//p"; }
echo 'local all postgres peer' > /tmp/pg_hba.conf
: > /tmp/postgresql.conf
exec postgres -D "$PGDATA" -c config_file=/tmp/postgresql.conf -c hba_file=/tmp/pg_hba.conf -c listen_addresses= \
    -c unix_socket_directories=/run/postgresql -c archive_mode=on -c archive_command= -c archive_timeout=0 -c hot_standby=on \
    -c wal_level=replica -c log_timezone=UTC -c timezone=UTC \
    -c log_destination=stderr -c logging_collector=off -c ssl=off -c autovacuum=off \
    -c "max_connections=$(setting max_connections)" -c "max_worker_processes=$(setting max_worker_processes)" \
    -c "max_wal_senders=$(setting max_wal_senders)" -c "max_prepared_transactions=$(setting max_prepared_xacts)" \
    -c "max_locks_per_transaction=$(setting max_locks_per_xact)"
"""
# What pgBackRest writes into the settings of the data; of no use once they are promoted.
RECOVERY_SETTINGS = ("restore_command", "recovery_target", "recovery_target_time", "recovery_target_timeline", "recovery_target_action")
# The server's shell knows PGDATA, and gives the path of the data that it runs on.
RESTORE_COMMAND = 'sh %s/pgbackrest archive-get --pg1-path="$PGDATA" %%f "%%p"' % CREDENTIALS

STATE_SQL = """
SELECT pg_is_in_recovery(),
  coalesce(pg_last_wal_replay_lsn()::text, '0/0'),
  CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END,
  coalesce((SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'), ''),
  coalesce(to_char((pg_last_xact_replay_timestamp() - interval '1 microsecond') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '')
"""
TABLES_SQL = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""


class RestoreError(Exception):
    """What a person reads."""


class Target(t.NamedTuple):
    # latest, time, or backup.
    kind: str
    # As a person wrote it.
    text: str
    # Seconds since 1970, of a time.
    time: float = 0.0


class Resolved(t.NamedTuple):
    """What a target comes to in this archive."""

    label: str
    name: str
    type: str
    # When the backup ended, in seconds since 1970.
    taken: int
    size: int
    timeline: int
    # The newest segment of the archive.
    wal_max: str


class Asked(t.NamedTuple):
    recovering: bool
    replayed: int
    paused: bool
    waits_for: str
    # Right before the last transaction that was replayed, in UTC: the latest time to which recovery can stop.
    at: str


def shown(seconds):
    """A time as a person reads it, and may give it back."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def megabytes(size):
    return "%d MB" % -(-size // (1 << 20))


def servers_on(folder):
    """Numbers of the processes of PostgreSQL that work in a folder, in whichever container. A number in postmaster.pid says nothing about another one."""
    found = []
    for path in glob.glob(PROC + "/[0-9]*"):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            with open(path + "/comm", encoding="utf-8") as file:
                name = file.read().strip()
            if name in ("postgres", "postmaster") and os.path.samefile(path + "/cwd", folder):
                found.append(int(os.path.basename(path)))
    return sorted(found)


HOW_TO_WRITE = 'write latest, a time with its zone such as "2026-11-27 10:00:00 UTC", or the label or name of a backup (playbooks/backups.yml lists them)'
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\s*(.*)")
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")


def parse_target(text):
    """What C(to) says: latest, a time, or else a backup's label or name."""
    text = text.strip()
    if not text:
        raise RestoreError("litefarm_to is missing: %s." % HOW_TO_WRITE)
    if text.lower() == LATEST:
        return Target("latest", LATEST)
    found = TIME.fullmatch(text)
    if not found:
        if re.match(r"\d{4}-\d", text) or re.fullmatch(r"\d\d?:\d\d.*", text):
            raise RestoreError("litefarm_to is '%s', which is no time: %s." % (text, HOW_TO_WRITE))
        return Target("backup", text)
    day, clock, zone = found.groups()
    if not zone:
        raise RestoreError("litefarm_to is '%s', which has no time zone: write '%s UTC', or another zone than UTC if you mean one." % (text, text))
    try:
        moment = datetime.datetime.fromisoformat("%s %s" % (day, clock if clock.count(":") == 2 else clock + ":00")).replace(tzinfo=_zone(zone))
    except (ValueError, KeyError, OSError) as error:
        raise RestoreError("litefarm_to is '%s', which is no time (%s): %s." % (text, error, HOW_TO_WRITE)) from error
    return Target("time", text, moment.timestamp())


def _zone(text):
    if text.upper() in ("UTC", "GMT", "Z"):
        return datetime.timezone.utc
    offset = OFFSET.fullmatch(text)
    if offset:
        sign = -1 if offset[1] == "-" else 1
        return datetime.timezone(sign * datetime.timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0)))
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("the zone %s is not known here, UTC and offsets such as +02:00 are" % text) from error


class Repository:
    """The archive of one cluster: what is in it, and which backup leads to a target."""

    def __init__(self, cluster, info, ask):
        self.cluster = cluster
        self.archive = parse_info(info)
        # Asks pgBackRest about this cluster.
        self._ask = ask
        self._info = info
        self._histories = {}
        self.backups = sorted((b for b in self.archive.backups if b.wal_stop and not b.damaged), key=lambda backup: (backup.stop, backup.label))
        self.wal_max = self.archive.wal_max

    @property
    def usable(self):
        return bool(self.backups and self.wal_max)

    def listed(self, path):
        """Names and times of the files in a folder of the repository."""
        seen = json.loads(self._ask(["repo-ls", "--output=json", path]) or "{}", strict=False)
        return {name: one.get("time", 0) for name, one in seen.items() if one.get("type") == "file"}

    @property
    def folder(self):
        return "archive/litefarm/%s" % wal.archive_folder(self._info)

    def archived_until(self):
        """When the newest segment was written into the archive, in seconds since 1970."""
        files = self.listed("%s/%s" % (self.folder, self.wal_max[:16]))
        times = [moment for name, moment in files.items() if name.startswith(self.wal_max)]
        return max(times, default=self.backups[-1].stop)

    def timelines(self):
        """The timelines that began with a restore, each with the time of that."""
        files = self.listed(self.folder)
        return {wal.timeline(name): moment for name, moment in files.items() if wal.HISTORY.fullmatch(name)}

    def timeline_at(self, moment):
        """The timeline that the database was on at that time."""
        begun = [line for line, since in self.timelines().items() if since <= moment]
        return max(begun, default=min(wal.timeline(backup.wal_stop) for backup in self.backups))

    def leads_to(self, backup, line):
        """Whether the backup is of the timeline, or of the part of another that the timeline goes on from."""
        own = wal.timeline(backup.wal_stop)
        if own == line:
            return True
        if own > line:
            return False
        if line not in self._histories:
            self._histories[line] = wal.parse_history(self._ask(["repo-get", "%s/%08X.history" % (self.folder, line)]))
        left = self._histories[line].get(own)
        return left is not None and wal.backup_ends(self._info)[backup.label] <= left

    def resolve(self, target, now, live):
        """The backup and the timeline that lead to the target.

        Raises:
            RestoreError: nothing leads there.
        """
        first = self.backups[0]
        if target.kind == "backup":
            found = self.archive.find(target.text)
            if found not in self.backups:
                known = ", ".join("%s%s" % (b.label, " (%s)" % b.name if b.name else "") for b in self.backups[-5:])
                raise RestoreError("The archive has no sound backup '%s': %s. The newest are %s." % (target.text, HOW_TO_WRITE, known))
            return self._resolved(found, wal.timeline(found.wal_stop))
        if target.kind == "latest":
            line = wal.timeline(self.wal_max)
            fitting = [b for b in self.backups if self.leads_to(b, line)]
        else:
            if target.time < first.stop:
                raise RestoreError("%s is before the first backup, which ended at %s: give a later time." % (shown(target.time), shown(first.stop)))
            if target.time > now:
                raise RestoreError(
                    "%s is in the future, the droplet's clock says %s: give an earlier time, or -e litefarm_to=latest." % (shown(target.time), shown(now))
                )
            until = now if live else self.archived_until()
            if target.time > until:
                raise RestoreError(
                    "%s is after the last WAL in the archive, which is of %s: give an earlier time, or -e litefarm_to=latest."
                    % (shown(target.time), shown(until))
                )
            line = self.timeline_at(target.time)
            fitting = [b for b in self.backups if b.stop <= target.time and self.leads_to(b, line)]
        if not fitting:
            raise RestoreError(
                "The archive has no backup that leads to %s on timeline %d, which an earlier restore began: give another time, or the label of a backup."
                % (shown(target.time) if target.kind == "time" else LATEST, line)
            )
        return self._resolved(fitting[-1], line)

    def _resolved(self, backup, line):
        return Resolved(backup.label, backup.name, backup.type, backup.stop, backup.size, line, self.wal_max)


class Journal:
    """How far a restore has come, on the droplet's disk: it says it before anything that cannot be seen from the data themselves."""

    def __init__(self, path):
        self.path = path
        self.data = {}
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
            self.data = found
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise RestoreError("%s cannot be read (%s): look at the folders beside pgdata, then delete it and run again." % (path, error)) from error

    @property
    def step(self):
        """The last step that was done of a restore that has not ended, or nothing."""
        return self.data.get("step", "")

    def done(self, step):
        return self.step in STEPS and STEPS.index(self.step) >= STEPS.index(step)

    @property
    def unfinished(self):
        return self.step in STEPS and self.step != STEPS[-1]

    def note(self, **more):
        self.data.update(more)
        os.makedirs(os.path.dirname(self.path), mode=0o711, exist_ok=True)
        write_atomically(self.path, json.dumps(self.data, indent=2) + "\n", 0o600)

    def forget(self):
        self.data = {}
        if os.path.exists(self.path):
            os.unlink(self.path)
            sync_folder(os.path.dirname(self.path))


class RestoreLock(Lock):
    """One restore at a time; another one is not waited for."""

    def __init__(self, state_directory, clock):
        super().__init__(state_directory + "/postgres/restore.lock", 0, clock)

    def holder(self):
        return "Another restore is under way on the droplet (%s): wait until it has ended, then run again." % self.path


class Restore:
    """One droplet's database and its archive.

    C(params) are the module's; C(clock) has C(now), C(monotonic) and C(sleep); C(reached) is told of each step that is done.
    """

    # The folder beside pgdata, the container of the server on it, and pgBackRest's queue below the state's folder.
    folder = RESTORED
    server_name = SERVER
    spool = "spool"
    # What a person may find there and remove; the second is left by a copy that was killed.
    removable = "pgdata.before-…, pgdata.copied"

    def __init__(self, params, engine, clock, reached, tool=TOOL):
        self.params = params
        # A list of backups must not take the container of a restore.
        self.tool_name = tool
        self.engine = engine
        self.clock = clock
        self.reached = reached
        self.root = params["data_directory"]
        self.state = params["state_directory"] + "/postgres"
        self.uid = params["uid"]
        self.pgdata = self.root + "/pgdata"
        self.restored = self.root + "/" + self.folder
        self.journal = self._open_journal()
        self.changed = False
        self.warnings = []
        self.resumed = False
        self._tool = None

    def _open_journal(self):
        return Journal(self.state + "/restore.json")

    # -- operations ------------------------------------------------------------------------------------------------------------

    def plan(self):
        """What a restore would do, and what would be lost. Nothing is changed but a container of its own, which is removed again."""
        try:
            target = self._target()
            if self._takes_up(target):
                return dict(self.journal.data["plan"], resumes=self.journal.step)
            plan, unused = self._plan(target)
            return plan
        finally:
            self._remove_tool()

    def restore(self):
        """All steps, or those that a run that was killed has left."""
        target = self._target()
        if self.journal.step in ("promote", "aside") and target.text != self.journal.data["target"]:
            raise RestoreError(
                "A restore to %s has not ended, and its data are about to be put in place: run again with -e \"litefarm_to='%s'\" first."
                % ((self.journal.data["target"],) * 2)
            )
        try:
            if self._takes_up(target):
                self.resumed = True
            else:
                self._start_over(target)
            for step in STEPS[1:]:
                if self.journal.done(step):
                    continue
                getattr(self, "_" + step)(target)
                self.changed = True
                self.journal.note(step=step)
                self.reached(step)
        finally:
            self._remove_tool()
        return self.journal.data["plan"]

    def abandon(self):
        """Gives up a restore that is not in place yet; whether the server that was there answers again."""
        if self.journal.step in ("aside",):
            raise RestoreError("The restored data are taking the place of %s: run the restore again, which ends that." % self.pgdata)
        self._remove_tool()
        self._remove(self._server())
        if os.path.exists(self.restored):
            shutil.rmtree(self.restored)
            self.changed = True
        if self.journal.unfinished:
            self.journal.forget()
            self.changed = True
        return self._serve_again()

    def finish(self):
        """Waits until the archive knows of the new timeline, and closes the journal."""
        if self.journal.step != STEPS[-1]:
            return
        limit = self.clock.monotonic() + ARCHIVED_WITHIN
        while self._unarchived(".history.ready"):
            if self.clock.monotonic() >= limit:
                self.warnings.append(
                    "The archive does not know the new timeline yet, because WAL does not reach it: until it does, a restore leads back to the time "
                    "before this one. See playbooks/status.yml."
                )
                break
            self.clock.sleep(PAUSE)
        self.journal.note(step="finished", finished=shown(self.clock.now()))
        self.changed = True

    def survey(self):
        """What the bucket has: each cluster with its backups, and the times between which any second can be restored. Nothing is changed."""
        try:
            clusters = self._clusters()
            own = self._own_cluster()
            return [self._described(cluster, own) for cluster in clusters]
        finally:
            self._remove_tool()

    def _described(self, cluster, own):
        try:
            repository = self._look(cluster)
        except (RestoreError, ArchiveError) as error:
            return {"cluster": cluster, "in_place": cluster == own, "version": "", "backups": [], "since": 0, "until": 0, "problem": str(error)}
        backups = [dataclasses.asdict(backup) for backup in repository.archive.backups]
        return {
            "cluster": cluster,
            "in_place": cluster == own,
            "version": repository.archive.version,
            "backups": backups,
            # The oldest backup whose WAL is still there; of older ones only their own end can be restored.
            "since": min([b.stop for b in repository.backups if b.wal_stop[8:] >= repository.archive.wal_min[8:]], default=0),
            "until": repository.archived_until() if repository.usable else 0,
            "problem": "",
        }

    # -- plan ------------------------------------------------------------------------------------------------------------------

    def _target(self):
        target = parse_target(self.params["to"])
        skew = abs(self.clock.now() - self.params["control_time"]) if self.params["control_time"] else 0
        if skew > CLOCK_SKEW:
            raise RestoreError(
                "The droplet's clock says %s and this machine's %s: set the wrong one (timedatectl), because times would lead to other data than you mean."
                % (shown(self.clock.now()), shown(self.params["control_time"]))
            )
        return target

    def _takes_up(self, target):
        """Whether an earlier restore to the same target goes on. With a server that has written meanwhile, latest is not what it was."""
        same = self.journal.data.get("target") == target.text and self.journal.data.get("wanted_cluster") == self.params["cluster"]
        if not same or self.journal.step not in STEPS:
            return False
        if self.journal.done("aside"):
            return True
        return not self._serves(self._live())

    def _start_over(self, target):
        self._remove(self._server())
        self._remove_tool()
        self.journal.forget()
        plan, resolved = self._plan(target)
        if os.path.exists(self.restored):
            shutil.rmtree(self.restored)
        self.journal.note(target=target.text, wanted_cluster=self.params["cluster"], plan=plan, resolved=resolved._asdict(), step="plan")
        self.reached("plan")

    def _plan(self, target):
        live = self._live()
        running = self._serves(live)
        if not (live and live.running):
            self._refuse_other_server()
        repository, clusters = self._repository()
        # Whether the server in place goes on writing what is restored. The archive of another cluster has an end.
        writes = running and repository.cluster == self._own_cluster()
        now = self.clock.now()
        resolved = repository.resolve(target, now, writes)
        until = repository.archived_until()
        present = os.path.exists(self.pgdata + "/PG_VERSION")
        free, (needed, purpose) = self._free(), self._needed(resolved.size)
        if free < needed:
            raise RestoreError(
                "%s has %s free, and %s: remove what nobody needs there (%s), or make the disk larger."
                % (self.root, megabytes(free), purpose % megabytes(needed), self.removable)
            )
        self._check_version(repository)
        to = {"latest": now if writes else until, "time": target.time, "backup": resolved.taken}[target.kind]
        plan = {
            "target": target.text,
            "kind": target.kind,
            "restores_to": shown(to),
            "backup": resolved.label,
            "backup_name": resolved.name,
            "backup_time": shown(resolved.taken),
            "archived_until": shown(until),
            "archived_until_epoch": until,
            "size_mb": resolved.size >> 20,
            "needed_mb": needed >> 20,
            "free_mb": free >> 20,
            "cluster": repository.cluster,
            "clusters": clusters,
            "timeline": resolved.timeline,
            "running": running,
            "in_place": present,
            "unarchived": len(self._unarchived()) if present else 0,
            "resumes": "",
        }
        plan["lost"] = self._lost(plan, writes)
        return plan, resolved

    def _needed(self, size):
        """Disk space for data of a size, and what it is for."""
        return int(size * 1.1) + SPARE, "a restore needs %s, because the data in place are kept beside it"

    def _lost(self, plan, writes):
        """Sentences about what is not there afterwards."""
        if plan["kind"] == "latest":
            lost = ["Nothing that the database has at the moment at which it is stopped." if writes else
                    "Everything that was written after %s, when the archive got its last WAL." % plan["restores_to"]]  # fmt: skip
        else:
            lost = ["Everything that was written after %s." % plan["restores_to"]]
        if plan["unarchived"] and not plan["running"]:
            ready = "%d WAL segments in %s have not reached the archive" % (plan["unarchived"], self.pgdata)
            lost.append(ready + (", and are put into it first." if plan["kind"] == "latest" else "."))
        if plan["in_place"]:
            lost.append("The data in place are kept as %s.before-…" % self.pgdata)
        return lost

    def _repository(self):
        """The archive of the wanted cluster, and the names of all."""
        clusters = self._clusters()
        wanted, own = self.params["cluster"], self._own_cluster()
        if wanted and wanted not in clusters:
            known = ", ".join(clusters) or "none"
            raise RestoreError("The bucket has no archive of a cluster %s: give one of %s with -e litefarm_cluster=…" % (wanted, known))
        if not clusters:
            raise RestoreError(self._reason() or explain(None, "missing stanza path"))
        for cluster in [wanted] if wanted else [own] if own in clusters else []:
            repository = self._look(cluster)
            if not repository.usable:
                others = ", ".join(one for one in clusters if one != cluster)
                raise RestoreError(
                    "The archive of cluster %s%s has no backup yet: %s" % (
                        cluster, "" if wanted else " (%s)" % self.pgdata,
                        "for another one give -e litefarm_cluster=… of %s." % others
                        if others else "systemctl start litefarm-postgres-backup@full takes one.",
                    )
                )  # fmt: skip
            return repository, clusters
        looked = [repository for repository in map(self._look, clusters) if repository.usable]
        if not looked:
            raise RestoreError(
                "The bucket has archives of %s, and none of them has a backup under the vault_backup_encryption_key of now. If it was rotated shortly before, "
                'put the previous one back (docs/operations.md, "Backup keys") and run again.' % ", ".join(clusters)
            )
        return max(looked, key=lambda one: max(one.archived_until(), one.backups[-1].stop)), clusters

    def _clusters(self):
        """System identifiers of all clusters in the bucket."""
        code, output, errors = self._ask(0, ["--clusters"])
        if code:
            said = errors or output
            nameless = "HTTP request failed" in said and "<Code>" not in said
            raise RestoreError((nameless and self._reason()) or explain(code, said))
        return [line for line in output.split() if line.isdigit()]

    def _reason(self):
        """Why there is no list of clusters. An object storage answers pgBackRest's question for it, a HEAD, without its reason."""
        code, output, errors = self._ask(0, INFO)
        return explain(code, errors or output) if code else parse_info(output).problem

    def _look(self, cluster):
        def ask(arguments):
            return self._backrest(cluster, arguments)

        repository = Repository(cluster, ask(["info", "--output=json"]), ask)
        if repository.archive.problem:
            raise RestoreError(repository.archive.problem)
        return repository

    def _own_cluster(self):
        """The system identifier of the data in place."""
        if not os.path.exists(self.pgdata + "/global/pg_control"):
            return ""
        code, output, unused = self._run(["pg_controldata", DATA + "/pgdata"], ASK_TIMEOUT)
        return wal.controldata(output).get("Database system identifier", "") if code == 0 else ""

    def _check_version(self, repository):
        output = self._run(["postgres", "--version"], ASK_TIMEOUT)[1]
        found = re.search(r"(\d+)(?:[.\d]|beta|rc|devel)*", output)
        major = found[1] if found else "?"
        if repository.archive.version and major != repository.archive.version.partition(".")[0]:
            raise RestoreError(
                "The archive is of PostgreSQL %s, and the image on the droplet has %s: set postgres_image to that major version, and run site.yml."
                % (repository.archive.version, major)
            )

    def _refuse_other_server(self):
        """While the container of the server in place is stopped: one that a person has started goes on writing what would be put aside."""
        others = servers_on(self.pgdata)
        if others:
            raise RestoreError(
                "Another PostgreSQL server than the container %s runs on %s (process %d on the droplet): stop it, then run again."
                % (self.params["name"], self.pgdata, others[0])
            )

    def _free(self):
        seen = os.statvfs(self.root)
        return seen.f_bavail * seen.f_frsize

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def _stop(self, target):
        """The server in place ends, with all that it has written in the archive, and does not come back by itself."""
        live = self._live()
        if self._serves(live):
            self._archive_last_wal(target, live)
            self.engine.set_policy(live.id, "no")
            self.engine.stop(live.id, STOP_TIMEOUT)
            if target.kind == "latest" and self._unarchived():
                raise RestoreError(self._not_archived())
        else:
            if live:
                self.engine.set_policy(live.id, "no")
                # Without its data it is started again and again.
                if live.running:
                    self.engine.stop(live.id, STOP_TIMEOUT)
            self._refuse_other_server()
            if target.kind == "latest" and self._own_cluster() == self.journal.data["plan"]["cluster"]:
                self._push_what_is_left()
        self._resolve_again(target)

    def _archive_last_wal(self, target, live):
        """The running server's WAL reaches the archive, with a transaction after the target: recovery to a time fails without one."""
        if target.kind == "backup":
            return
        try:
            # On a quiet database the last transaction may be long before the last WAL, which checkpoints and backups write, too.
            self._query(live.id, "SELECT txid_current()")
            self._query(live.id, "SELECT pg_switch_wal()")
            self._wait_until_archived()
        except (RestoreError, ServiceError):
            # For an earlier time the archive may have such a transaction without this server, which may be what is broken.
            if target.kind == "latest" or target.time >= self.journal.data["plan"]["archived_until_epoch"]:
                raise

    def _resolve_again(self, target):
        """The same target, in an archive that has got more since the plan."""
        repository = self._look(self.journal.data["plan"]["cluster"])
        resolved = repository.resolve(target, self.clock.now(), live=True)
        self.journal.note(resolved=resolved._asdict())

    def _push_what_is_left(self):
        """WAL that a server which has crashed did not get into the archive."""
        folder = self.pgdata + "/pg_wal/archive_status/"
        for name in sorted(self._unarchived()):
            segment = name[: -len(".ready")]
            try:
                self._backrest(self.journal.data["plan"]["cluster"], ["archive-push", "--no-archive-async", "%s/pgdata/pg_wal/%s" % (DATA, segment)])
            except RestoreError as error:
                raise RestoreError(
                    "WAL in %s did not reach the archive, so latest would lose it (%s): %s Without it, restore to a time: the archive's last WAL is of %s."
                    % (self.pgdata, segment, error, self.journal.data["plan"]["archived_until"])
                ) from error
            os.rename(folder + name, folder + segment + ".done")

    def _wait_until_archived(self):
        limit = self.clock.monotonic() + ARCHIVED_WITHIN
        while self._unarchived():
            if self.clock.monotonic() >= limit:
                raise RestoreError(self._not_archived())
            self.clock.sleep(PAUSE)

    def _not_archived(self):
        return (
            "%d WAL segments of the running server did not reach the archive within %d s, and would be lost: see playbooks/status.yml, and run again when "
            "the object storage takes them." % (len(self._unarchived()), ARCHIVED_WITHIN)
        )

    def _unarchived(self, ending=".ready"):
        """Files of WAL that the server in place has not archived."""
        folder = self.pgdata + "/pg_wal/archive_status"
        return [name for name in os.listdir(folder) if name.endswith(ending)] if os.path.isdir(folder) else []

    def _fetch(self, target):
        """The backup comes into a folder of its own, and is told how far to replay."""
        resolved = self._resolved
        if os.path.exists(self.restored):
            shutil.rmtree(self.restored)
        os.mkdir(self.restored, 0o700)
        os.chown(self.restored, self.uid, self.uid)
        options = [
            "restore",
            "--pg1-path=%s/%s" % (DATA, self.folder),
            "--set=%s" % resolved.label,
            "--recovery-option=restore_command=%s" % RESTORE_COMMAND,
            "--process-max=2",
        ]
        if target.kind == "latest":
            # A server that is told to recover to the end would take a gap in the WAL for it, and be promoted.
            options += ["--type=standby", "--target-timeline=%d" % resolved.timeline]
        elif target.kind == "time":
            moment = datetime.datetime.fromtimestamp(target.time, datetime.timezone.utc)
            options += [
                "--type=time",
                "--target=%s" % moment.strftime("%Y-%m-%d %H:%M:%S.%f+00"),
                "--target-action=pause",
                "--target-timeline=%d" % resolved.timeline,
            ]
        else:
            options += ["--type=immediate", "--target-action=pause", "--recovery-option=recovery_target_timeline=%d" % resolved.timeline]
        self._backrest(self.journal.data["plan"]["cluster"], options, FETCH_TIMEOUT)

    def _replay(self, target):
        """A server of its own replays the WAL, up to the end of the archive or to the target."""
        self._start_server()
        segment_bytes = self._segment_bytes()
        before, since = None, self.clock.monotonic()
        restarted = False
        while True:
            details = self._server_details()
            said = self._said()
            if not details.running:
                raise RestoreError(self._why_ended(target, said))
            asked = self._ask_server()
            if asked and not asked.recovering:
                raise RestoreError("The restored server left recovery by itself, so its data may be incomplete: nothing was put in place. Run again.")
            if asked and target.kind == "latest" and self._at_the_end(asked, segment_bytes):
                return
            if asked and asked.paused:
                if target.kind != "latest" and any("recovery stopping" in line for line in said):
                    return
                if not restarted and any("insufficient parameter settings" in line for line in said):
                    # The settings of the server that wrote the WAL were raised; it has written them down now.
                    restarted = True
                    self._remove(self._server())
                    self._start_server()
            now = self._progress(asked)
            if now != before:
                before, since = now, self.clock.monotonic()
            waited = self.clock.monotonic() - since
            if asked and asked.waits_for == "RecoveryRetrieveRetryInterval" and waited > STUCK:
                raise RestoreError(self._gap(asked, segment_bytes))
            if waited > SILENT:
                raise RestoreError("The restored server has made no progress for %d s: %s" % (SILENT, self._last_words(said)))
            self.clock.sleep(PAUSE)

    def _at_the_end(self, asked, segment_bytes):
        """Whether the newest segment of the archive was read, and the server looks for more."""
        newest = self._resolved.wal_max
        return (
            asked.waits_for == "RecoveryRetrieveRetryInterval"
            and os.path.exists("%s/pg_wal/%s" % (self.restored, newest))
            and asked.replayed > wal.segment_begin(newest, segment_bytes)
        )

    def _progress(self, asked):
        folder = self.restored + "/pg_wal"
        names = [name for name in os.listdir(folder) if wal.SEGMENT.fullmatch(name)] if os.path.isdir(folder) else []
        return (asked.replayed if asked else None, max(names, default=""), len(names))

    def _gap(self, asked, segment_bytes):
        missing = wal.segment_at(asked.replayed, self._resolved.timeline, segment_bytes)
        return "WAL segment %s is missing or damaged in the archive%s, whose last one is %s: nothing was put in place. %s" % (
            missing,
            self._complaint(self._said()),
            self._resolved.wal_max,
            "Restore with -e \"litefarm_to='%s UTC'\", or to the label of a backup." % asked.at if asked.at else "Restore to the label of another backup.",
        )

    def _why_ended(self, target, said):
        if any("recovery ended before configured recovery target was reached" in line for line in said):
            if os.path.exists("%s/pg_wal/%s" % (self.restored, self._resolved.wal_max)):
                return (
                    "The archive ends without a transaction after %s, so nothing shows that it is complete up to then: run again with -e "
                    "litefarm_to=latest, which leads to the same data if nothing was written after that." % target.text
                )
            found = [re.search(r"last completed transaction was at log time ([\d-]+ [\d:]+)", line) for line in said]
            last = next((one[1] for one in reversed(found) if one), "")
            return "WAL is missing or damaged in the archive before %s is reached: nothing was put in place. %s" % (
                target.text,
                "Restore with -e \"litefarm_to='%s UTC'\", or to the label of a backup." % last if last else "Restore to the label of another backup.",
            )
        if any("could not locate required checkpoint record" in line for line in said):
            return "The WAL that backup %s needs is missing or damaged in the archive: nothing was put in place. Restore to the label of another backup.%s" % (
                self._resolved.label,
                self._complaint(said),
            )
        return "The restored server ended, and nothing was put in place: %s" % self._last_words(said)

    @staticmethod
    def _complaint(said):
        """What pgBackRest says of the WAL that it could not get."""
        wrong = [line for line in said if re.search(r" P\d\d +ERROR: ", line)]
        return " (%s)" % explain(None, wrong[-1]).rstrip(".") if wrong else ""

    def _last_words(self, said):
        grave = [line for line in said if re.search(r"\b(FATAL|PANIC)\b", line) and "starting up" not in line]
        return (grave or said or ["it said nothing"])[-1][:300] + self._complaint(said)

    def _check(self, target):
        """The application's database is there, and is not empty."""
        server = self._running_server(target)
        database = self.params["database"]
        there = self._query(server.id, "SELECT count(*) FROM pg_database WHERE datname = '%s'" % database.replace("'", "''"))
        tables = self._query(server.id, TABLES_SQL, database) if there == "1" else "0"
        if tables == "0":
            raise RestoreError(
                "The restored data have no database %s with tables in it: nothing was put in place. Correct postgres_database, or choose another target."
                % database
            )
        self.journal.note(tables=int(tables))

    def _promote(self, target):
        """The restored server leaves recovery on a timeline of its own, and ends cleanly. It is archived only after the swap."""
        self.journal.note(promoting=True)
        server = self._running_server(target)
        self._leave_recovery(target, server)
        for setting in RECOVERY_SETTINGS:
            self._query(server.id, "ALTER SYSTEM RESET %s" % setting)
        self._query(server.id, "CHECKPOINT", timeout=PROMOTED_WITHIN)
        self.engine.stop(server.id, STOP_TIMEOUT)
        control = self._controldata()
        if control.get("Database cluster state") != "shut down":
            raise RestoreError("The restored server did not end cleanly: %s" % self._last_words(self._said()))
        self._remove(self._server())
        self.journal.note(before="pgdata.before-" + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock.now())))

    def _leave_recovery(self, target, server):
        limit, told = self.clock.monotonic() + PROMOTED_WITHIN, False
        while True:
            asked = self._ask_server()
            if asked and not asked.recovering:
                break
            # Once: leaving recovery takes a moment, in which it is still in recovery and not paused any more.
            if asked and not told and (asked.paused or target.kind == "latest"):
                self._query(server.id, "SELECT pg_wal_replay_resume()" if asked.paused else "SELECT pg_promote(false)")
                told = True
            if self.clock.monotonic() >= limit or not self._server_details().running:
                raise RestoreError("The restored server did not leave recovery: %s" % self._last_words(self._said()))
            self.clock.sleep(PAUSE)

    def _aside(self, unused):
        """The data in place are kept under another name."""
        self._refuse_other_server()
        self._forget_queues()
        before = "%s/%s" % (self.root, self.journal.data["before"])
        if os.path.exists(self.pgdata) and not os.path.exists(before):
            os.rename(self.pgdata, before)
            sync_folder(self.root)

    def _forget_queues(self):
        """What pgBackRest remembers of another server's segments would have it skip those of the same name."""
        for queue in ("in", "out"):
            shutil.rmtree("%s/spool/archive/litefarm/%s" % (self.state, queue), ignore_errors=True)

    def _swap(self, unused):
        """The restored data are in place."""
        if os.path.exists(self.restored):
            os.rename(self.restored, self.pgdata)
            sync_folder(self.root)

    # -- containers ------------------------------------------------------------------------------------------------------------

    def _live(self):
        """The container of the server in place, or None."""
        found = {container.name: container for container in self.engine.containers(self.params["name"])}
        following = found.get(self.params["name"] + ".next")
        if following and following.running:
            raise RestoreError("A release of %s has not ended on the droplet: run site.yml first." % self.params["name"])
        return found.get(self.params["name"])

    def _serves(self, live):
        """Whether the server in place may write. One that the engine starts again and again does not."""
        return bool(live and live.running and self.engine.inspect(live.id).running)

    def _serve_again(self):
        live = self._live()
        if not live or not os.path.exists(self.pgdata + "/PG_VERSION"):
            return False
        # Two servers on the same data destroy them, and from two containers PostgreSQL does not see it.
        if not live.running and servers_on(self.pgdata):
            return False
        if not live.running:
            self.engine.set_policy(live.id, "unless-stopped")
            self.engine.start(live.id)
            self.changed = True
        elif self.engine.inspect(live.id).policy == "no":
            self.engine.set_policy(live.id, "unless-stopped")
            self.changed = True
        limit = self.clock.monotonic() + SILENT
        while self.clock.monotonic() < limit:
            if self.engine.execute(live.id, ["pg_isready", "--quiet", "--username=postgres"], ASK_TIMEOUT)[0] == 0:
                return True
            self.clock.sleep(PAUSE)
        return False

    def _image(self):
        """The image with pgBackRest: of the server, of the container for backups, or the newest that was built on the droplet."""
        for name in (self.params["name"], self.params["name"] + "_backup"):
            found = [container for container in self.engine.containers(name) if container.name == name]
            if found:
                return found[0].image_id
        built = [one for one in self.engine.get("/images/json") if any(tag.startswith(BUILT) for tag in one.get("RepoTags") or [])]
        if not built:
            raise RestoreError("The droplet has no image of PostgreSQL with pgBackRest: run site.yml, which builds it before it asks for the database.")
        return max(built, key=lambda one: one.get("Created", 0))["Id"]

    def _body(self, command, env):
        live = self._live()
        seen = self.engine.get("/containers/%s/json" % live.id) if live else None
        host = (seen or {}).get("HostConfig") or {}
        network = host.get("NetworkMode") or ("litefarm" if self.engine.network("litefarm") else "bridge")
        spool = "%s/%s" % (self.state, self.spool)
        if not os.path.isdir(spool):
            os.makedirs(spool, mode=0o750)
            os.chown(spool, self.uid, self.uid)
        return {
            "Image": self._image(),
            "User": "%d:%d" % (self.uid, self.uid),
            "Entrypoint": ["sh", "-c"],
            "Cmd": [command],
            "Env": ["%s=%s" % pair for pair in sorted(env.items())],
            "Labels": {LABEL + "restore": self.params["name"]},
            "StopSignal": "SIGINT",
            "StopTimeout": STOP_TIMEOUT,
            "HostConfig": {
                "RestartPolicy": {"Name": "no"},
                "NetworkMode": network,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": True,
                "Init": True,
                "Memory": host.get("Memory") or 0,
                "MemorySwap": host.get("Memory") or 0,
                "ShmSize": host.get("ShmSize") or 128 << 20,
                "ExtraHosts": host.get("ExtraHosts") or [],
                "Tmpfs": {"/tmp": "size=64m", SOCKET: "size=1m,uid=%d,gid=%d,mode=0750" % (self.uid, self.uid)},
                "Mounts": [{"Type": "bind", "Source": source, "Target": to, "ReadOnly": read_only} for source, to, read_only in self._mounts()],
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
            },
        }

    def _mounts(self):
        """Source, target, and whether it is read-only."""
        return [(self.root, DATA, False), (self.params["credentials_directory"], CREDENTIALS, True), ("%s/%s" % (self.state, self.spool), SPOOL, False)]

    def _named(self, name):
        return next((one for one in self.engine.containers(self.params["name"], "restore") if one.name == name), None)

    def _server(self):
        return self._named(self.server_name)

    def _remove(self, container):
        if container:
            self.engine.remove(container.id)
            self.changed = True

    def _remove_tool(self):
        tool = self._named(self.tool_name)
        if tool:
            self.engine.remove(tool.id)
        self._tool = None

    def _run(self, command, timeout):
        """Exit code, output and errors of a command beside the data, in a container that does nothing else."""
        if not self._tool:
            self._remove_tool()
            container = self.engine.create(self.tool_name, self._body("sleep infinity", {"PGDATA": DATA + "/pgdata"}))
            self.engine.start(container)
            self._tool = container
        return self.engine.execute(self._tool, command, timeout)

    def _ask(self, cluster, arguments, timeout=ASK_TIMEOUT):
        """Status, output and errors of pgBackRest about a cluster's archive. The cluster 0 has none, and the bucket answers for itself."""
        return self._run(["env", "SYSTEM_IDENTIFIER=%s" % cluster, *BACKREST, *arguments], timeout)

    def _backrest(self, cluster, arguments, timeout=ASK_TIMEOUT):
        code, output, errors = self._ask(cluster, arguments, timeout)
        if code:
            raise RestoreError(explain(code, errors or output))
        return output

    def _start_server(self):
        server = self._server()
        if server and server.running:
            return server
        self._remove(server)
        env = {"PGDATA": "%s/%s" % (DATA, self.folder), "SYSTEM_IDENTIFIER": self.journal.data["plan"]["cluster"]}
        self.engine.start(self.engine.create(self.server_name, self._body(SERVER_SCRIPT, env)))
        return self._server()

    def _running_server(self, target):
        """The restored server, as far as it was: one that is gone with its module or its droplet replays again."""
        server = self._server()
        if server and server.running and self._ask_server():
            return server
        if self.journal.data.get("promoting") and not any(os.path.exists("%s/%s.signal" % (self.restored, name)) for name in ("standby", "recovery")):
            self._start_server()
            limit = self.clock.monotonic() + SILENT
            while not self._ask_server():
                if self.clock.monotonic() >= limit or not self._server_details().running:
                    raise RestoreError("The restored server does not start: %s" % self._last_words(self._said()))
                self.clock.sleep(PAUSE)
        else:
            self._replay(target)
        return self._server()

    def _server_details(self):
        server = self._server()
        if not server:
            raise RestoreError("The container %s was removed during the restore: run again." % self.server_name)
        return self.engine.inspect(server.id)

    def _said(self):
        server = self._server()
        return self.engine.logs(server.id, 300) if server else []

    def _ask_server(self):
        """How far the restored server has come, or None while it does not answer."""
        server = self._server()
        if not server:
            return None
        try:
            answer = self._query(server.id, STATE_SQL)
        except (RestoreError, ServiceError):
            return None
        recovering, replayed, paused, waits_for, at = answer.split("|")
        return Asked(recovering == "t", wal.position(replayed), paused == "t", waits_for, at)

    def _query(self, container_id, sql, database="postgres", timeout=ASK_TIMEOUT):
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--host=" + SOCKET, "--username=postgres"]
        command += ["--dbname=" + database, "--command=" + sql]
        code, output, errors = self.engine.execute(container_id, command, timeout, user=str(self.uid))
        if code:
            raise RestoreError("PostgreSQL refuses a query of the restore: %s" % (errors or output).strip()[:300])
        return output.strip()

    def _controldata(self):
        code, output, errors = self._run(["pg_controldata", "%s/%s" % (DATA, self.folder)], ASK_TIMEOUT)
        if code:
            raise RestoreError("The restored data have no readable pg_control: %s" % (errors or output).strip()[:300])
        return wal.controldata(output)

    def _segment_bytes(self):
        return int(self._controldata()["Bytes per WAL segment"])

    @property
    def _resolved(self):
        return Resolved(**self.journal.data["resolved"])
