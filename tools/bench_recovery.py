# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section "Backups and recovery" of tools/bench.py: lost droplets, a restore, an outage of the object storage, the cost of the archive.

Each run is kept in a file as soon as it is measured, so that an interrupted benchmark goes on where it was. With --runs 0 nothing is measured,
and the section is written from the runs that are kept.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from tests.support import lab
from tests.support.database import Session, Writer, sql, unarchived, wait_until_archived
from tests.support.deployment import variables
from tests.support.https import Connection
from tests.support.storage_faults import storage_fault

APP, FILES = "litefarmapp", "litefarm-imaginary"
KEPT = lab.PROJECT / ".cache" / "bench-recovery.json"
PGDATA = "/srv/litefarm/postgres/pgdata"
USER = "kept@example.org"
# LiteFarm's database has about this size.
SIZE_MB = 16
# At an archive_timeout of 8 s an hour has so many segments.
SEGMENTS = 450
OUTAGE, HOUR = 300, 3600
PICTURES, JOBS = 20, 500
# pgbench's: 0.9 GB, of which a full backup takes about 5 s.
SCALE = 60
BENCH = "docker exec -u 999 postgres pgbench -U postgres"

Figures = dict[str, float]


class Watch(threading.Thread):
    """Asks again and again whether something is there.

    Args:
        check: whether it is; must not raise.
    """

    def __init__(self, check: Callable[[], bool]):
        super().__init__(daemon=True)
        self._check, self._stopping = check, threading.Event()
        # Seconds since it began, and what was found, whenever that changed.
        self.changes: list[tuple[float, bool]] = []

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(0.2):
            found = self._check()
            if not self.changes or self.changes[-1][1] != found:
                self.changes.append((time.monotonic() - self._began, found))

    def back(self, seconds: float = 120) -> float:
        """Seconds from the beginning until it was there to stay.

        Raises:
            AssertionError: it does not come.
        """
        limit = time.monotonic() + seconds
        while not self.changes or not self.changes[-1][1]:
            assert time.monotonic() < limit, "what was lost does not come back"
            time.sleep(0.2)
        return self.changes[-1][0]

    @property
    def gone(self) -> float:
        """Seconds from the beginning until it was not there for the first time."""
        return next(at for at, found in self.changes if not found)


def answer(name: str, path: str) -> bytes:
    """The body of a good answer over HTTPS, empty if there is none."""
    connection = Connection(name, lab.names()[name], lab.status()["paths"]["ca"])
    connection.timeout = 3
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def api_has_its_data() -> bool:
    """Whether the API knows the user who signed up before the loss."""
    return json.loads(answer("api.app.litefarm.org", f"/login/user/{USER}") or b"{}").get("exists") is True


def must(run: lab.Run) -> lab.Run:
    """The run, if it ended well."""
    if run.status:
        sys.exit(f"A run failed:\n{run.reasons}")
    return run


def confirmed(name: str, **values: object) -> lab.Run:
    """A run of a playbook that asks for confirmation."""
    return must(lab.playbook(f"playbooks/{name}.yml", *variables(confirm="production", **values)))


def recover() -> lab.Run:
    """A run of recover.yml in an environment that had a database, which the lab's inventory leaves open."""
    return confirmed("recover", new_database=False)


def prepare() -> None:
    """A user, and a database of LiteFarm's size."""
    sql(f"INSERT INTO users (email) VALUES ('{USER}') ON CONFLICT DO NOTHING; CREATE TABLE IF NOT EXISTS public.filler (text text)")
    while float(sql("SELECT pg_database_size('litefarm')")) < SIZE_MB * 2**20:
        sql("INSERT INTO public.filler SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 5000), generate_series(1, 5) AS row GROUP BY row")


def settle() -> None:
    """Waits until no backup runs and everything is archived, so that no run pays for the one before."""
    droplet = lab.connect(APP)
    droplet.check_output("while systemctl is-active --quiet 'litefarm-postgres-backup@*.service' || [ -n \"$(systemctl list-units --no-legend"
                         " --state=activating 'litefarm-postgres-backup@*.service')\" ]; do sleep 1; done")  # fmt: skip
    wait_until_archived(300)


def copy_files() -> None:
    """What is copied every night."""
    for droplet in (APP, FILES):
        lab.connect(droplet).check_output("systemctl start litefarm-file-backup.service")


def lost_app_droplet() -> Figures:
    """The app droplet loses its power under writes, and a fresh one is recovered."""
    copy_files()
    settle()
    writer = Writer()
    writer.start()
    # archive_timeout is 8 s: the power goes at any moment of it.
    time.sleep(20 + random.uniform(0, 8))
    lab.cut_power(APP)
    writer.stop()
    lab.lab("recreate", "--droplet", APP)
    with Watch(api_has_its_data) as watch:
        run = recover()
        seconds = watch.back()
    count, lost = writer.lost()
    rows = int(sql("SELECT count(*) FROM public.written"))
    sql("DROP TABLE public.written")
    found = {"acknowledged": len(writer.acknowledged), "lost_writes": count, "lost_seconds": lost, "restored_rows": rows}
    return {**found, "answering": seconds, "playbook": run.seconds}


def restore() -> Figures:
    """The database is restored from a backup and the WAL of the hour after it."""
    lab.connect(APP).check_output("systemctl start litefarm-postgres-backup@incr.service")
    make_segments(SEGMENTS)
    wait_until_archived(600)
    size = float(sql("SELECT pg_database_size('litefarm')")) / 2**20
    numbers = sql("SELECT count(*), max(number) FROM public.hour")
    with Watch(api_has_its_data) as watch:
        run = confirmed("restore", to="latest")
        seconds = watch.back()
    if sql("SELECT count(*), max(number) FROM public.hour") != numbers:
        sys.exit("The restored database lacks rows of the hour.")
    lab.connect(APP).check_output(f"rm -rf {PGDATA}.before-*")
    settle()
    return {"size_mb": size, "answering": seconds, "without_service": seconds - watch.gone, "playbook": run.seconds}


def make_segments(count: int, pause: float = 0) -> int:
    """So many segments with a row each; returns how many were made."""
    session, made = Session(), 0
    session("DROP TABLE IF EXISTS public.hour; CREATE TABLE public.hour (number int)")
    due = time.monotonic()
    for number in range(count):
        session(f"INSERT INTO public.hour VALUES ({number})")
        made += session("SELECT pg_switch_wal()") != ""
        due += pause
        time.sleep(max(due - time.monotonic(), 0))
    session.close()
    return made


def outage() -> Figures:
    """The object storage refuses everything; what an hour writes is written in the shorter time, segment by segment."""
    settle()
    writer = Writer(rows=HOUR // OUTAGE)
    bucket = "litefarm-production-backups"
    with storage_fault("refuse", bucket):
        began = time.monotonic()
        writer.start()
        make_segments(SEGMENTS, OUTAGE / SEGMENTS)
        time.sleep(max(began + OUTAGE - time.monotonic(), 0))
        seconds = time.monotonic() - began
        waiting = unarchived()
        wal = int(lab.connect(APP).check_output(f"du -sm {PGDATA}/pg_wal | cut -f1"))
    returned = time.monotonic()
    wait_until_archived(600)
    drained = time.monotonic() - returned
    writer.stop()
    sql("DROP TABLE public.written")
    found = {"seconds": seconds, "writes": len(writer.acknowledged), "failed": writer.failed, "slowest": writer.slowest}
    return {**found, "segments": waiting, "wal_mb": wal, "drained": drained}


def archive_cost(clients: int) -> Figures:
    """pgbench for ten seconds with the archive and full backups, and for ten seconds without both."""
    measures = [("with", with_backups), ("without", without_archive)]
    # Neither of both is always the first.
    random.shuffle(measures)
    found = {}
    sql("ALTER SYSTEM RESET archive_command")
    if sql("SELECT count(*) FROM pg_database WHERE datname = 'bench'") == "0":
        sql("CREATE DATABASE bench")
        lab.connect(APP).check_output(f"{BENCH} -i -q -s {SCALE} bench")
    for name, state in measures:
        settle()
        sql("CHECKPOINT")
        with state():
            found[name] = transactions(clients)
    settle()
    return {**found, "ratio": found["with"] / found["without"]}


def transactions(clients: int) -> float:
    """Transactions a second of all clients."""
    printed = lab.connect(APP).check_output(f"{BENCH} -c {clients} -j 1 -T 10 -n bench")
    return float(re.search(r"tps = ([\d.]+)", printed)[1])


@contextlib.contextmanager
def with_backups() -> Iterator[None]:
    """A full backup runs all the time: one after the other, because each takes only some seconds."""
    script = "while systemctl start litefarm-postgres-backup@full.service; do [ -e /run/bench-backups ] || exit 0; done; exit 1"
    droplet = lab.connect(APP)
    droplet.check_output("touch /run/bench-backups")
    loop = subprocess.Popen(lab.ssh_command(APP, ["sh", "-c", script]))
    # Until then it asks the archive, and waits for a checkpoint.
    droplet.check_output("until docker top postgres_backup | grep -q 'backup:local'; do sleep 0.2; done")
    try:
        yield
    finally:
        droplet.check_output("rm -f /run/bench-backups")
        if loop.wait():
            sys.exit("A full backup failed.")


@contextlib.contextmanager
def without_archive() -> Iterator[None]:
    """Segments wait."""
    set_archive_command("SET archive_command = ''")
    try:
        yield
    finally:
        set_archive_command("RESET archive_command")


def set_archive_command(change: str) -> None:
    """Has the server use a setting that differs from its file, or its file's again."""
    sql(f"ALTER SYSTEM {change}")
    sql("SELECT pg_reload_conf()")
    time.sleep(1)


def lost_files_droplet() -> Figures:
    """The droplet with pictures and queues is gone, and a fresh one is recovered."""
    droplet = lab.connect(FILES)
    redis = "docker exec redis sh /etc/litefarm/redis-cli "
    folder = "/srv/litefarm/images"
    droplet.check_output(f"for i in $(seq {PICTURES}); do head -c 500000 /dev/urandom > {folder}/kept-$i.webp; done; chmod 644 {folder}/kept-*.webp")
    jobs = f"redis.call('del', KEYS[1]) for job = 1, {JOBS} do redis.call('rpush', KEYS[1], job) end return 1"
    droplet.check_output(redis + "eval %s 1 bull:kept:wait", jobs)
    sums = droplet.check_output(f"cd {folder} && sha256sum kept-*.webp")
    copy_files()
    lab.cut_power(FILES)
    lab.lab("recreate", "--droplet", FILES)

    def both() -> bool:
        return len(answer("image.litefarm.org", f"/kept-{PICTURES}.webp")) == 500000 and droplet.run(redis + "llen bull:kept:wait").stdout.strip() == str(JOBS)

    with Watch(both) as watch:
        run = recover()
        seconds = watch.back()
    if droplet.check_output(f"cd {folder} && sha256sum kept-*.webp") != sums:
        sys.exit("A picture came back with another content.")
    return {"pictures": PICTURES, "jobs": JOBS, "back": seconds, "playbook": run.seconds}


MEASURES: dict[str, Callable[[], Figures]] = {
    "app droplet": lost_app_droplet,
    "restore": restore,
    "transactions": functools.partial(archive_cost, 2),
    # The lab's object storage then has a processor of its own, as in production, where it is elsewhere.
    "transactions of one client": functools.partial(archive_cost, 1),
    "outage": outage,
    "files droplet": lost_files_droplet,
}
# An outage takes minutes, and is less a matter of chance.
AT_MOST = {"outage": 3}


def wanted(runs: int) -> dict[str, int]:
    """How often each is measured."""
    return {name: min(runs, AT_MOST.get(name, runs)) for name in MEASURES}


def kept() -> dict[str, list[dict]]:
    """The runs that were measured so far."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def measure(runs: int) -> list[str]:
    """Measures what is not measured yet.

    Returns:
        Lines of Markdown.
    """
    found = kept()
    if runs and all(len(found.get(name, [])) >= count for name, count in wanted(runs).items()):
        found = {}
    if runs:
        prepare()
    for name, count in wanted(runs).items():
        while len(found.get(name, [])) < count:
            began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            load = os.getloadavg()[0]
            figures = MEASURES[name]() | {"load_before": load, "load_after": os.getloadavg()[0]}
            found.setdefault(name, []).append({"began": began, **{key: round(value, 3) for key, value in figures.items()}})
            KEPT.parent.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps(found, indent=1) + "\n")
            print(f"{name} {len(found[name])} of {count}: {figures}", file=sys.stderr)
    return page(found)


# What is measured, the figure, how it is written, and what it must be.
ROWS = [
    ("app droplet", "acknowledged writes lost, s", "lost_seconds", ".1f", "≤ 10 in each run"),
    ("app droplet", "acknowledged writes lost, inserts", "lost_writes", ".0f", ""),
    ("app droplet", "whole app droplet from nothing: Enter to the API answering with its data, s", "answering", ".0f", "≤ 240"),
    ("app droplet", "recover.yml, whole run, s", "playbook", ".0f", ""),
    ("restore", "restore of 16 MB and an hour of segments: Enter to the API answering, s", "answering", ".1f", "≤ 60"),
    ("restore", "the same: without service, s", "without_service", ".1f", ""),
    ("restore", "restore.yml, whole run, s", "playbook", ".1f", ""),
    ("outage", "an hour without object storage: failed writes", "failed", ".0f", "0"),
    ("outage", "the same: pg_wal, MB", "wal_mb", ".0f", "< 1000"),
    ("outage", "the same: drained after the return, s", "drained", ".1f", "≤ 120"),
    ("transactions of one client", "transactions/s of one client with archive and running full backups ÷ without", "ratio", ".3f", "≥ 0.9"),
    ("transactions", "the same with two clients, beside whom the object storage has no processor left", "ratio", ".3f", "≥ 0.9"),
    ("files droplet", "files droplet from nothing: Enter to pictures and queue, s", "back", ".0f", "≤ 240"),
]


def page(found: dict[str, list[dict]]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| what | runs | median | least to most | must be |", "|---|---|---|---|---|"]
    for name, what, figure, form, limit in ROWS:
        if values := [run[figure] for run in found.get(name, [])]:
            lines.append(f"| {what} | {len(values)} | **{statistics.median(values):{form}}** | {min(values):{form}} to {max(values):{form}} | {limit} |")
    lines.append("")
    every = [run for runs in found.values() for run in runs]
    if every:
        load = statistics.median(run["load_before"] for run in every)
        began = sorted(run["began"] for run in every)
        lines += [f"Runs from {began[0]} to {began[-1]}; load average before a run {load:.1f} (median), where {os.cpu_count()} is full.", ""]
    return lines + notes(found)


def notes(found: dict[str, list[dict]]) -> list[str]:
    """How each was measured: lines of Markdown."""
    lines = []
    if runs := found.get("app droplet"):
        total, lost = sum(run["acknowledged"] for run in runs), sum(run["lost_writes"] for run in runs)
        lines += [
            f"App droplet: about 50 inserts/s; after 20 to 28 s its power is cut, and a fresh droplet gets everything from object storage. "
            f"Of {total} acknowledged inserts {lost} are lost; no insert is missing that is older than one that is there.",
            "",
        ]
    if runs := found.get("restore"):
        lines += [
            f"Restore: a database of {min(run['size_mb'] for run in runs):.1f} to {max(run['size_mb'] for run in runs):.1f} MB, an incremental backup "
            f"and {SEGMENTS} segments after it, which an hour with "
            "`archive_timeout` 8 s has; every row of the last segment is there afterwards.",
            "",
        ]
    if runs := found.get("outage"):
        writes, failed = (sum(run[key] for run in runs) for key in ("writes", "failed"))
        lines += [
            f"Outage: {OUTAGE // 60} minutes stand for an hour (factor {HOUR // OUTAGE}). About 50 inserts/s of {HOUR // OUTAGE} rows each, "
            f"and a switch of the segment every {OUTAGE / SEGMENTS:.2f} s, so that WAL of a whole hour waits: {SEGMENTS} segments, all of which "
            f"are drained. Of {writes + failed} inserts {failed} failed; the slowest took "
            f"{max(run['slowest'] for run in runs):.1f} s. Few runs suffice, because little of it is a matter of chance.",
            "",
        ]
    for name, clients in (("transactions of one client", "one client"), ("transactions", "two clients")):
        if runs := found.get(name):
            medians = {state: statistics.median(run[state] for run in runs) for state in ("with", "without")}
            lines += [
                f"Transactions of {clients}: pgbench, scale {SCALE}, 10 s, in random order: with the archive and one full backup after the other "
                f"{medians['with']:.0f}/s, with neither {medians['without']:.0f}/s. The row is the median of each pair's ratio. "
                f"The object storage that takes archive and backups runs on the same {os.cpu_count()} cores.",
                "",
            ]
    if "transactions of one client" in found:
        lines += ["One client alone lets the cores fall asleep between its steps; what runs beside it keeps them awake, so a ratio above 1 says no more than "
                  "that the archive takes nothing from it. Two clients and the storage together want more than the machine has.", ""]  # fmt: skip
    if runs := found.get("files droplet"):
        lines += [f"Files droplet: {PICTURES} pictures of 0.5 MB and {JOBS} jobs in a queue, all of which are back.", ""]
    return lines
