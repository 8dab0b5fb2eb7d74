# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches the WAL archive and the disk of the database; systemd runs it as litefarm-postgres-guard.service.

Every few seconds it reads how long WAL has waited for the archive and how much disk is left, and writes both to a status file.
It sets archive_timeout, which is longer while the disk is short, puts up the maintenance page at the very last, and keeps a reserve
file that a person can free. It never deletes WAL and never stops the server.

The age of the oldest .ready file is the measure: pg_stat_archiver.failed_count hardly moves while the archive is away.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import os
import re
import socket
import subprocess
import sys
import time
import typing as t

SETTINGS = "/etc/litefarm/postgres-guard.json"
MB = 1024 * 1024
LIMIT = 64 * 1024  # bytes of any file that is read
COMMAND_TIMEOUT = 20  # seconds
LONGEST_PAUSE = 60  # seconds between two tries to reach the server
# A state is left only this far beyond the limit at which it began, so that it does not come and go.
MARGIN = 1.5
ERROR, WARNING, INFO = 3, 4, 6  # priorities of syslog
SEGMENT = re.compile(r"[0-9A-F]{24}")
READY, DONE = ".ready", ".done"
ARCHIVE_HELP = 'docs/operations.md, "The archive falls behind"'
DISK_HELP = 'docs/operations.md, "The disk of the database fills up"'


class SettingsError(Exception):
    """The settings cannot be used; the message is meant for a person."""


@dataclasses.dataclass(frozen=True)
class Timeout:
    """The values of archive_timeout, in seconds, for clusters whose WAL segments are at most so large."""

    segment_mb: int
    normal: int
    disk_low: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role wrote into the settings file. Every field has to be there."""

    cluster_directory: str
    status_file: str
    container: str
    user: str
    interval_seconds: int
    late_seconds: int
    failing_seconds: int
    disk_low_mb: int
    disk_full_mb: int
    reserve_file: str
    reserve_mb: int
    archive_timeouts: tuple[Timeout, ...]
    maintenance_directory: str
    maintenance_html: str
    maintenance_json: str

    @classmethod
    def read(cls, path: str) -> Settings:
        try:
            with open(path, encoding="utf-8") as file:
                given = json.load(file)
            timeouts = sorted((Timeout(**each) for each in given.pop("archive_timeouts")), key=lambda each: each.segment_mb)
            settings = cls(archive_timeouts=tuple(timeouts), **given)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError("%s cannot be used (%s): run site.yml, which writes it." % (path, error)) from error
        wrong = [name for name, value in given.items() if name.endswith(("_mb", "_seconds")) and (not isinstance(value, int) or value < 0)]
        if wrong:
            raise SettingsError("%s: %s must be whole numbers." % (path, ", ".join(wrong)))
        if not timeouts or settings.disk_full_mb > settings.disk_low_mb or settings.late_seconds > settings.failing_seconds:
            raise SettingsError(
                "%s: archive_timeouts must not be empty, disk_full_mb not be above disk_low_mb, and late_seconds not be above failing_seconds." % path
            )
        return settings

    def timeout(self, segment_bytes: int | None, disk_low: bool) -> int | None:
        """The archive_timeout that this cluster should have, or None while its segments are unknown."""
        if not segment_bytes:
            return None
        fitting = next((each for each in self.archive_timeouts if segment_bytes <= each.segment_mb * MB), self.archive_timeouts[-1])
        return fitting.disk_low if disk_low else fitting.normal


class Clock:
    """The monotonic clock for ages and pauses, the wall clock only where files and people need it."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Journal:
    """Lines for the journal: standard output with the priority in front, as systemd reads it."""

    def __init__(self, stream: t.TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._said: dict[str, str] = {}

    def say(self, priority: int, text: str) -> None:
        try:
            print("<%d>%s" % (priority, " ".join(text.split())), file=self._stream, flush=True)
        except OSError:
            # There is no journal to tell it to, and the status file says the same.
            return

    def once(self, subject: str, text: str, priority: int = WARNING) -> None:
        """Says it if it is news, until all is well with the subject again."""
        if self._said.get(subject) != text:
            self._said[subject] = text
            self.say(priority, text)

    def well(self, subject: str) -> None:
        self._said.pop(subject, None)


Runner = t.Callable[[t.Sequence[str], str], str]


def run(command: t.Sequence[str], text: str) -> str:
    """Gives a command the text. Returns why it failed, or nothing."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=COMMAND_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return "%s does not end within %d s" % (command[0], COMMAND_TIMEOUT)
    except OSError as error:
        return "%s: %s" % (command[0], error.strerror)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or ["%s ends with status %d" % (command[0], done.returncode)])[-1]


def read_text(path: str) -> str | None:
    """A small regular file of the server's user: no link is followed, and a pipe in its place blocks nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(handle, LIMIT).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(handle)


def write_text(path: str, text: str, mode: int = 0o644, durable: bool = False) -> None:
    """The whole file or nothing of it; with C(durable) also after a power cut, which the status of every few seconds is not worth."""
    part = "%s.new" % path
    with open(part, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(part, path)


def span(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds


@dataclasses.dataclass(frozen=True)
class Backlog:
    """WAL that waits for the archive."""

    files: int = 0
    bytes: int = 0
    seconds: int = 0
    last_archived_age: int | None = None
    segment_bytes: int | None = None


class ArchiveStatus:
    """Reads pg_wal/archive_status, where the server keeps a file for each segment: .ready until it is archived, then .done.

    A file is looked at once. Its age is measured from then on with the monotonic clock, so a wall clock that jumps neither raises an
    alarm nor hides one, and thousands of files cost no more than their listing.
    """

    def __init__(self, cluster: str, clock: Clock) -> None:
        self._wal = os.path.join(cluster, "pg_wal")
        self._clock = clock
        self._born: dict[tuple[str, int], float] = {}
        self._segment: tuple[int, int] | None = None
        self._archived: tuple[int, float] | None = None

    def backlog(self) -> Backlog:
        now, wall = self._clock.monotonic(), self._clock.wall()
        born: dict[tuple[str, int], float] = {}
        segments = 0
        oldest = newest_done = None
        waiting = 0
        try:
            with os.scandir(os.path.join(self._wal, "archive_status")) as entries:
                for entry in entries:
                    name = entry.name
                    ready = name.endswith(READY)
                    if not ready and not name.endswith(DONE):
                        continue
                    key = (name, entry.inode())
                    moment = self._born.get(key)
                    if moment is None:
                        moment = self._first_seen(entry, ready, now, wall)
                    if moment is None:
                        continue
                    born[key] = moment
                    if ready:
                        waiting += 1
                        segments += SEGMENT.fullmatch(name[: -len(READY)]) is not None
                        oldest = moment if oldest is None else min(oldest, moment)
                    else:
                        newest_done = moment if newest_done is None else max(newest_done, moment)
        except OSError:
            # No server has ever run here, or its folder is being replaced.
            born.clear()
            segments = waiting = 0
            oldest = newest_done = None
        self._born = born
        size = self._segment_bytes()
        return Backlog(
            files=waiting,
            bytes=segments * (size or 0),
            seconds=int(now - oldest) if oldest is not None else 0,
            last_archived_age=self._last_archived(newest_done, now),
            segment_bytes=size,
        )

    @staticmethod
    def _first_seen(entry: os.DirEntry[str], ready: bool, now: float, wall: float) -> float | None:
        """When it came to be, in the time of the monotonic clock; None if it has gone since the folder was listed."""
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return None
        # The archiver renames .ready to .done, which keeps the time of modification.
        return now - max(0.0, wall - (status.st_mtime if ready else status.st_ctime))

    def _segment_bytes(self) -> int | None:
        """The size of a WAL segment, which is the same for as long as a cluster lives."""
        try:
            folder = os.stat(self._wal).st_ino
            if self._segment is None or self._segment[0] != folder:
                with os.scandir(self._wal) as entries:
                    size = next((entry.stat().st_size for entry in entries if SEGMENT.fullmatch(entry.name)), None)
                self._segment = (folder, size) if size else None
        except OSError:
            self._segment = None
        return self._segment[1] if self._segment else None

    def _last_archived(self, newest_done: float | None, now: float) -> int | None:
        """The server removes .done files at checkpoints, so the newest one is kept in mind, for this cluster only."""
        try:
            folder = os.stat(self._wal).st_ino
        except OSError:
            self._archived = None
            return None
        known = self._archived[1] if self._archived and self._archived[0] == folder else None
        moments = [moment for moment in (newest_done, known) if moment is not None]
        self._archived = (folder, max(moments)) if moments else None
        return int(now - max(moments)) if moments else None


def ready_server(cluster: str) -> str | None:
    """What tells one start of the server from another, or None while it does not take commands.

    The lines of postmaster.pid are: process, data folder, time of the start, port, socket folder, addresses, shared memory, state.
    """
    path = os.path.join(cluster, "postmaster.pid")
    lines = (read_text(path) or "").splitlines()
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    try:
        return "%s %s %d" % (lines[0].strip(), lines[2].strip(), os.lstat(path).st_ino)
    except OSError:
        return None


def setting_seconds(text: str | None) -> int | None:
    """The value of archive_timeout in postgresql.auto.conf, of which the last line counts."""
    found = re.findall(r"^\s*archive_timeout\s*=\s*'?(\d+)\s*(s|min|h|)'?\s*$", text or "", re.MULTILINE)
    return int(found[-1][0]) * {"": 1, "s": 1, "min": 60, "h": 3600}[found[-1][1]] if found else None


class ArchiveTimeout:
    """Keeps archive_timeout at its value, and lets the server count it.

    After each start the server first obeys archive_timeout only after checkpoint_timeout (5 min), unless it is told to read its
    configuration again. So it is, once for each start.
    """

    def __init__(self, settings: Settings, clock: Clock, runner: Runner, journal: Journal) -> None:
        self._settings, self._clock, self._run, self._journal = settings, clock, runner, journal
        self._reloaded: str | None = None
        self._next_try = 0.0
        self._pause = 0

    def present(self) -> int | None:
        return setting_seconds(read_text(os.path.join(self._settings.cluster_directory, "postgresql.auto.conf")))

    def ensure(self, wanted: int | None) -> None:
        server = ready_server(self._settings.cluster_directory)
        if server is None or wanted is None:
            return
        differs = self.present() != wanted
        if not differs and server == self._reloaded or self._clock.monotonic() < self._next_try:
            return
        problem = self._tell(wanted if differs else None)
        if not problem and self.present() != wanted:
            problem = "the server wrote another value than %d s" % wanted
        if problem:
            # An engine that is down for an hour is not asked 700 times.
            self._pause = min(max(self._settings.interval_seconds, self._pause * 2), LONGEST_PAUSE)
            self._next_try = self._clock.monotonic() + self._pause
            self._journal.once(
                "server", "archive_timeout of the container %s cannot be set (%s): it is tried again until it can." % (self._settings.container, problem)
            )
            return
        self._pause, self._next_try = 0, 0.0
        self._reloaded = server
        self._journal.well("server")

    def _tell(self, wanted: int | None) -> str:
        command = ["docker", "exec", "--interactive", "--user", self._settings.user, self._settings.container]
        command += ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--username=postgres", "--dbname=postgres", "--set=ON_ERROR_STOP=1", "--file=-"]
        lines = ["SET statement_timeout = '10s';"]
        if wanted is not None:
            lines.append("ALTER SYSTEM SET archive_timeout = '%ds';" % wanted)
        return self._run(command, "\n".join([*lines, "SELECT pg_reload_conf();", ""]))


class Alarm:
    """The level that a value has reached. A level is left only beyond its limit times the margin, so that it does not come and go."""

    def __init__(self, levels: t.Sequence[tuple[str, int]], reached: t.Callable[[float, float], bool], margin: float, level: str) -> None:
        self._levels, self._reached, self._margin = levels, reached, margin
        self.level = level if level in dict(levels) else "ok"

    def judge(self, value: float) -> bool:
        """Whether the level is another one now."""
        names = ["ok", *(name for name, _limit in self._levels)]
        before, now = names.index(self.level), 0
        for number, (_name, limit) in enumerate(self._levels, start=1):
            if self._reached(value, limit * self._margin if number <= before else limit):
                now = number
        self.level = names[now]
        return now != before


class Reserve:
    """A file that holds disk space, which a person frees by removing it. Made only where there is plenty of room."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings, self._journal = settings, journal

    def ensure(self, free_bytes: int | None, disk: str) -> str:
        """Returns why there is none. A short disk says so itself, and a person may have freed the reserve of one."""
        size, path = self._settings.reserve_mb * MB, self._settings.reserve_file
        if not size or disk != "ok" or free_bytes is None or os.path.lexists(path):
            return ""
        needed = size + max(4 * size, int(MARGIN * self._settings.disk_low_mb * MB))
        if free_bytes < needed:
            return "The disk of the database has no reserve, because less than %d MB are free: make room as %s says." % (needed // MB, DISK_HELP)
        try:
            self._make(path, size)
        except OSError as error:
            # A guard that started before the folder was made sees it read-only for as long as it runs.
            problem = "The reserve file %s cannot be made (%s): run `sudo systemctl restart litefarm-postgres-guard` on the droplet." % (path, error.strerror)
            self._journal.once("reserve", problem)
            return problem
        self._journal.well("reserve")
        return ""

    @staticmethod
    def _make(path: str, size: int) -> None:
        part = "%s.new" % path
        if os.path.lexists(part):
            os.unlink(part)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
            os.rename(part, path)
        except OSError:
            os.unlink(part)
            raise
        finally:
            os.close(handle)


class Guard:
    """One look at the archive and the disk after the other."""

    def __init__(self, settings: Settings, clock: Clock | None = None, runner: Runner = run, journal: Journal | None = None) -> None:
        self.settings = settings
        self._clock = clock or Clock()
        self._journal = journal or Journal()
        self._status = ArchiveStatus(settings.cluster_directory, self._clock)
        self._timeout = ArchiveTimeout(settings, self._clock, runner, self._journal)
        self._reserve = Reserve(settings, self._journal)
        before = self._before()
        self._archive = Alarm(
            (("late", settings.late_seconds), ("failing", settings.failing_seconds)), operator.ge, 1 / MARGIN, str(before.get("archive_level"))
        )
        self._disk = Alarm((("disk_low", settings.disk_low_mb), ("disk_full", settings.disk_full_mb)), operator.lt, MARGIN, str(before.get("disk_level")))
        self._page = before.get("maintenance_page") is True

    def _before(self) -> dict[str, t.Any]:
        """What was so before a restart of this program, so that it says nothing twice."""
        try:
            found = json.loads(read_text(self.settings.status_file) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def look(self) -> dict[str, t.Any]:
        """Looks once, does what has to be done, and returns what the status file says."""
        settings = self.settings
        backlog, free = self._status.backlog(), self._free_bytes()
        disk_changed = free is not None and self._disk.judge(free / MB)
        if self._close() or disk_changed:
            self._tell_disk(free)
        if self._archive.judge(backlog.seconds):
            self._tell_archive(backlog)
        self._timeout.ensure(settings.timeout(backlog.segment_bytes, self._disk.level != "ok"))
        reserve_problem = self._reserve.ensure(free, self._disk.level)
        status = {
            "time": int(self._clock.wall()),
            "unarchived_seconds": backlog.seconds,
            "unarchived_files": backlog.files,
            "unarchived_bytes": backlog.bytes,
            "last_archived_age": backlog.last_archived_age,
            "level": self._disk.level if self._disk.level != "ok" else self._archive.level,
            "archive_level": self._archive.level,
            "disk_level": self._disk.level,
            "maintenance_page": self._page,
            "free_mb": None if free is None else free // MB,
            "archive_timeout": self._timeout.present(),
            "segment_bytes": backlog.segment_bytes,
            "message": " ".join([*self._disk_words(free), *self._archive_words(backlog)]),
            "reserve_problem": reserve_problem,
        }
        self._write(status)
        return status

    def _free_bytes(self) -> int | None:
        """What is left for the server, which may not use the blocks that are kept for root."""
        try:
            found = os.statvfs(os.path.dirname(self.settings.cluster_directory))
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def _archive_words(self, backlog: Backlog) -> list[str]:
        if self._archive.level == "ok":
            return []
        return [
            "WAL has waited for the archive for %s (%d %s, %d MB): nothing is lost while the disk has room, see %s."
            % (span(backlog.seconds), backlog.files, "file" if backlog.files == 1 else "files", backlog.bytes // MB, ARCHIVE_HELP)
        ]

    def _disk_words(self, free: int | None) -> list[str]:
        if self._disk.level == "ok":
            return []
        left = "unknown" if free is None else "%d MB" % (free // MB)
        state = "is nearly full" if self._disk.level == "disk_full" else "fills up"
        page = " and the maintenance page is up until a person runs maintenance.yml -e litefarm_state=off" if self._page else ""
        return ["The disk of the database %s (%s left)%s: make room as %s says." % (state, left, page, DISK_HELP)]

    def _tell_archive(self, backlog: Backlog) -> None:
        if self._archive.level == "ok":
            self._journal.say(INFO, "WAL reaches the archive again.")
            return
        self._journal.say({"late": WARNING, "failing": ERROR}[self._archive.level], self._archive_words(backlog)[0])

    def _tell_disk(self, free: int | None) -> None:
        if self._disk.level == "ok":
            self._journal.say(INFO, "The disk of the database has room again.")
            return
        self._journal.say(ERROR, self._disk_words(free)[0])

    def _close(self) -> bool:
        """Puts up the maintenance page once each time that the disk gets full; a person who opens again is obeyed. Whether it did so now."""
        if self._disk.level != "disk_full":
            self._page = False
            return False
        folder = self.settings.maintenance_directory
        if self._page or not folder:
            return False
        html = os.path.join(folder, "page.html")
        try:
            # One that is there says why in the words of a person.
            if not os.path.lexists(html):
                os.makedirs(folder, mode=0o755, exist_ok=True)
                write_text(os.path.join(folder, "page.json"), self.settings.maintenance_json, durable=True)
                # Nginx looks for this one, so it comes last.
                write_text(html, self.settings.maintenance_html, durable=True)
        except OSError as error:
            self._journal.once("page", "The maintenance page in %s cannot be put up (%s): make room on the disk." % (folder, error.strerror), ERROR)
            return False
        self._page = True
        self._journal.well("page")
        return True

    def _write(self, status: dict[str, t.Any]) -> None:
        path = self.settings.status_file
        try:
            write_text(path, json.dumps(status) + "\n")
        except OSError as error:
            self._journal.once("status", "The status file %s cannot be written (%s), so verify.yml says that the guard does not run." % (path, error.strerror))
        else:
            self._journal.well("status")


def notify(text: str) -> None:
    """Tells systemd, which restarts a service that says nothing for longer than WatchdogSec."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        # A manager that does not listen now is told at the next look.
        return


def main(arguments: t.Sequence[str]) -> int:
    try:
        settings = Settings.read(arguments[0] if arguments else SETTINGS)
    except SettingsError as error:
        Journal().say(ERROR, str(error))
        return 1
    guard = Guard(settings)
    while True:
        guard.look()
        notify("WATCHDOG=1")
        time.sleep(settings.interval_seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
