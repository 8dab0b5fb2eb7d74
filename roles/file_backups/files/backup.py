# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies this droplet's files to the object storage, and records the result for status and alarms."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, "/usr/local/lib/litefarm")
import litefarm_files as files
from litefarm_files import Error, Missing, Restic, Settings

BASE = "appendonly.aof.1.base.rdb"
WEEK = 7 * 86400
# The engine's exit code for a command that it could not begin, which it can a moment later.
NOT_BEGUN = 126
ATTEMPTS = 5
PAUSE = 0.2  # seconds


class Stopped(Exception):
    """systemd ends the run."""


def copy_redis(folder: pathlib.Path, container: str, owner: int, run=subprocess.run) -> int:
    """The data in the form that Redis loads: with `appendonly yes` it reads this folder and ignores a dump.rdb. Returns bytes."""
    part = folder.with_name(f".{folder.name}.part")
    files.remove(part)
    (part / "appendonlydir").mkdir(parents=True)
    base = part / "appendonlydir" / BASE
    # redis-cli asks as a replica does: the server goes on serving, and leaves no second copy in its own folder.
    command = ["docker", "exec", container, "sh", "/etc/litefarm/redis-cli", "--rdb", "-"]
    for remaining in reversed(range(ATTEMPTS)):
        with base.open("wb") as out:
            done = run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, check=False)
        if done.returncode != NOT_BEGUN or not remaining:
            break
        time.sleep(PAUSE)
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise Error(f"Redis gave no copy (container {container}): {lines[-1] if lines else f'exit {done.returncode}'}")
    # A server that sends without a file of its own puts a mark behind the data, which redis-cli does not remove from its output.
    sizes = re.findall(r"success after (\d+) bytes|writing (\d+) bytes", said)
    if not sizes:
        raise Error(f"Redis gave no copy (container {container}): redis-cli does not say how long it is")
    size = int(next(number for number in sizes[-1] if number))
    check_rdb(base, size)
    os.truncate(base, size)
    (part / "appendonlydir" / "appendonly.aof.manifest").write_text(f"file {BASE} seq 1 type b\n", encoding="ascii")
    hand_over(part, owner)
    files.remove(folder)
    part.rename(folder)
    return size


def check_rdb(path: pathlib.Path, size: int) -> None:
    """It begins with its name, and ends with 0xFF and a checksum of 8 bytes."""
    with path.open("rb") as file:
        whole = file.read(5) == b"REDIS" and path.stat().st_size >= size > 9
        if whole:
            file.seek(size - 9)
            whole = file.read(1) == b"\xff"
    if not whole:
        raise Error("Redis gave an incomplete copy")


def why_not_copied(said: str) -> str:
    """The first error of rclone's log, which has one JSON object a line."""
    errors = []
    for line in said.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"level": "error", "msg": line}
        if entry.get("level") in ("error", "critical", "fatal"):
            errors.append(" ".join(str(entry.get("msg", "")).split()))
    if any("--max-delete threshold reached" in line for line in errors):
        return (
            "more objects would be deleted than file_backups_bucket_copies_max_delete says. If they were deleted on purpose, raise that for one run; "
            "otherwise bring them back from the copy"
        )
    return next((line for line in errors if line), "rclone gave no reason")[:400]


def hand_over(folder: pathlib.Path, owner: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, owner, owner)


class Backup:
    """One run over all sets of the droplet."""

    def __init__(self, settings: Settings, restic: Restic, state: pathlib.Path = files.STATE, run=subprocess.run, clock=time.time):
        self.settings, self.restic, self.state, self.run, self.clock = settings, restic, state, run, clock

    def open(self) -> None:
        """One droplet alone creates the repository: two that did so at once would both succeed, and damage it for good."""
        deadline = time.monotonic() + self.settings.init_wait_seconds
        while True:
            try:
                self.restic.check_repository()
                return
            except Missing as error:
                if not self.settings.init_wait_seconds:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Error("the repository does not exist yet: the environment's first droplet creates it with its own first copy") from error
                self.restic.sleep(min(5.0, left))
        self.restic.ask("init", seconds=files.ANSWER_SECONDS)
        self.restic.check_repository()

    def one(self, each: dict, accept: bool) -> dict:
        """Copies one set."""
        tag = each["tag"]
        if each.get("command"):
            done = self.run(each["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
                raise Error(lines[-1] if lines else f"{each['command'][0]} ended with {done.returncode}")
        for path in each["paths"]:
            if not os.path.exists(path):
                raise Error(f"{path} does not exist: run site.yml, or mount the volume that has it")
        if not accept:
            self.refuse_to_replace(each)
        files.mark_own(tag, self.state)
        excludes = [word for pattern in each.get("exclude") or [] for word in ("--exclude", pattern)]
        words = ["backup", "--json", "--host", self.settings.host, "--tag", tag, *excludes, *each["paths"]]
        summary = self.restic.patiently(lambda: self.copy(words))
        return {"bytes": summary["total_bytes_processed"], "files": summary["total_files_processed"], "snapshot": summary["snapshot_id"]}

    def refuse_to_replace(self, each: dict) -> None:
        """The newest copy is what a restore takes, so an empty folder or a new droplet's must not become it unnoticed."""
        tag, empty = each["tag"], all(files.is_empty(pathlib.Path(path)) for path in each["paths"])
        if files.is_own(tag, self.state) and not empty:
            return
        found = self.restic.snapshots(tag, self.settings.host)
        if not found:
            return
        if not files.is_own(tag, self.state):
            when = files.shown(files.moment(found[-1]["time"]))
            raise Error(
                f"{tag} of an earlier droplet {self.settings.host} was copied at {when}: restore it (`litefarm-restore-files {tag}`), "
                f"or run `litefarm-file-backup --accept {tag}` to go on with what is here"
            )
        number, size = self.restic.size(found[-1])
        if number and size:
            raise Error(
                f"{', '.join(each['paths'])} is empty, but its last copy has {files.megabytes(size)}: mount its volume or restore it "
                f"(`litefarm-restore-files {tag}`), or run `litefarm-file-backup --accept {tag}` if it is to be empty"
            )

    def copy(self, words: list[str]) -> dict:
        done = self.restic.call(*words)
        lines = [json.loads(line) for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
        summary = next((line for line in lines if line.get("message_type") == "summary"), None)
        said = done.stderr.decode(errors="replace")
        # 3: some files could not be read. One that was removed meanwhile is none to keep.
        unread = [line for line in said.splitlines() if '"error"' in line and not re.search(files.HARMLESS, line, re.IGNORECASE)]
        if done.returncode == 3 and summary and unread:
            raise Error(f"{len(unread)} files cannot be read, for example: {unread[0][:300]}")
        if done.returncode not in (0, 3) or not summary:
            raise self.restic.error(said)
        return summary

    def copy_bucket(self, each: dict) -> dict:
        """Makes the second bucket what the first one is. What is overwritten or deleted there is kept by the bucket's versioning."""
        words = ["--fast-list", "--use-json-log", "--stats=0", f"--max-delete={self.settings.bucket_copies_max_delete}", "--s3-no-check-bucket"]
        words += ["--ca-cert", self.settings.ca_file] if self.settings.ca_file else []
        environment = {**os.environ, **self.settings.environment, "RCLONE_CONFIG": "/dev/null"}
        try:
            done = self.run(
                ["rclone", "sync", *words, f"from:{each['from']}", f"to:{each['to']}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise Error("rclone is not installed: add it to base_extra_packages and run site.yml") from error
        if done.returncode:
            raise Error(f"the bucket {each['from']} is not copied to {each['to']}: {why_not_copied(done.stdout.decode(errors='replace'))}")
        return {}

    def maintain(self) -> dict:
        """Deletes old copies and reads a part of the repository, once a week and on one droplet."""
        for tag in sorted({tag for each in self.restic.snapshots() for tag in each.get("tags") or []}):
            keep = self.settings.keep_by_tag.get(tag, self.settings.keep)
            words = [word for unit, number in sorted(keep.items()) if number for word in (f"--keep-{unit}", str(number))]
            self.restic.patiently(lambda tag=tag, words=words: self.restic.ask("forget", "--tag", tag, "--group-by", "host,tags", *words))
        self.restic.patiently(lambda: self.restic.ask("prune"))
        parts = self.settings.check_parts
        part = int(self.clock() // WEEK) % parts + 1
        try:
            self.restic.patiently(lambda: self.restic.ask("check", f"--read-data-subset={part}/{parts}"))
        except files.Locked:
            raise
        except Error as error:
            raise Error(f"the repository is damaged, or cannot be read (part {part} of {parts}): {error}") from error
        return {"part": f"{part}/{parts}"}

    def due(self) -> bool:
        last = files.read_json(self.state / "maintenance.json").get("time", 0)
        # Half a day less than a week: a nightly run is never late enough otherwise.
        return self.settings.maintains and self.clock() - last >= WEEK - 43200

    def record(self, work) -> dict:
        """The result of one piece of work; the others go on."""
        began = self.clock()
        try:
            found = {"result": "ok", "message": "", **work()}
        except (Error, OSError, ValueError) as error:
            sentence = self.restic.sentence(str(error)) if isinstance(error, OSError) else str(error)
            found = {"result": "failed", "message": sentence.removeprefix("restic: ") if isinstance(error, OSError) else sentence}
        return {"time": round(self.clock()), "seconds": round(self.clock() - began, 1), **found}

    def all(self, accepted: list[str]) -> dict:
        """A result for each tag, and one for all."""
        opened = self.record(lambda: self.open() or {})
        if opened["result"] == "failed":
            return {**opened, "bytes": 0, "tags": {}}
        tags = {each["tag"]: self.record(lambda each=each: self.one(each, each["tag"] in accepted)) for each in self.settings.sets}
        result = {"bytes": sum(each.get("bytes", 0) for each in tags.values()), "tags": tags}
        parts = list(tags.items())
        for each in self.settings.bucket_copies:
            parts.append((f"bucket {each['to']}", self.record(lambda each=each: self.copy_bucket(each))))
        if self.due():
            result["maintenance"] = self.record(self.maintain)
            parts.append(("maintenance", result["maintenance"]))
            if result["maintenance"]["result"] == "ok":
                files.write_json(self.state / "maintenance.json", result["maintenance"])
        failed = [f"{name}: {each['message']}" for name, each in parts if each["result"] == "failed"]
        return {"result": "failed" if failed else "ok", "message": "; ".join(failed), **result}

    def changed(self, status: pathlib.Path = files.STATUS) -> None:
        """Copies what is watched. The last result stays what it is for the other tags."""
        self.open()
        last, failed = files.read_json(status), []
        for each in self.settings.sets:
            if not each.get("watch"):
                continue
            found = self.record(lambda each=each: self.one(each, False))
            if found["result"] == "failed":
                failed.append(f"{each['tag']}: {found['message']}")
            if each["tag"] in last.get("tags", {}):
                last["tags"][each["tag"]] = found
                files.write_json(status, last)
        if failed:
            raise Error(f"The copy of files failed: {'; '.join(failed).rstrip('.')}.")


def copy_changed() -> int:
    settings = Settings.read()
    with files.only_one(seconds=files.WAIT_SECONDS):
        Backup(settings, Restic(settings)).changed()
    return 0


def copy_all(accepted: list[str], seconds: float = files.SHORT_WAIT_SECONDS) -> int:
    began = time.time()
    try:
        settings = Settings.read()
        unknown = [tag for tag in accepted if not settings.set_of(tag)]
        if unknown:
            raise Error(f"This droplet has no {', '.join(unknown)}; it has {', '.join(each['tag'] for each in settings.sets)}.")
        with files.only_one(seconds=seconds):
            result = Backup(settings, Restic(settings)).all(accepted)
    except (Error, Stopped) as error:
        result = {"result": "failed", "message": str(error), "bytes": 0, "tags": {}}
    files.write_result(files.STATUS, {**result, "time": round(time.time()), "seconds": round(time.time() - began, 1)})
    if result["result"] == "failed":
        print(f"<3>The copy of files failed: {result['message'].rstrip('.')}.", file=sys.stderr)
        return 1
    buckets = [f"bucket {each['from']}" for each in settings.bucket_copies]
    print(f"Copied {', '.join([*result['tags'], *buckets]) or 'nothing'}: {files.megabytes(result['bytes'])} in {time.time() - began:.1f} s.")
    return 0


def stop(*_signal) -> None:
    raise Stopped("it was stopped before its end")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="append", default=[], metavar="TAG", help="copy TAG also if it is empty or of a new droplet")
    parser.add_argument("--changed", action="store_true", help="copy only what is copied at each change")
    parser.add_argument("--wait", action="store_true", help="wait for a copy or a restore that is running on this droplet, for an hour at most")
    parser.add_argument("--check-settings", action="store_true", help="only find out whether a copy could begin")
    parser.add_argument("--copy-redis", metavar="FOLDER", type=pathlib.Path, help="only write Redis' data to FOLDER")
    parser.add_argument("--container", default="redis", help="the container of Redis")
    parser.add_argument("--owner", type=int, default=999, help="number of the user and group that the written files belong to")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    try:
        if arguments.copy_redis:
            copy_redis(arguments.copy_redis, arguments.container, arguments.owner)
        elif arguments.check_settings:
            Restic(Settings.read()).ask("version", seconds=files.ANSWER_SECONDS)
        elif arguments.changed:
            return copy_changed()
        else:
            return copy_all(arguments.accept, files.WAIT_SECONDS if arguments.wait else files.SHORT_WAIT_SECONDS)
    except (Error, Stopped, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
