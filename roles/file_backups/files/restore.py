# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a copy of files back from the object storage, or lists the copies there are."""

from __future__ import annotations

import argparse
import datetime
import errno
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, "/usr/local/lib/litefarm")
import litefarm_files as files
from litefarm_files import Error, Restic, Settings


def point_in_time(text: str) -> datetime.datetime | None:
    """Nothing for the latest. A time without its zone would be somebody's guess."""
    if text == "latest":
        return None
    try:
        found = datetime.datetime.fromisoformat(re.sub(r"\s*(UTC|Z)$", "+00:00", text.strip()))
    except ValueError as error:
        raise Error(f'--at {text} is no time: write it as "2026-11-27 10:00:00 UTC", or latest.') from error
    if found.tzinfo is None:
        raise Error(f'--at {text} has no time zone: write "{text} UTC" if that is what it is.')
    return found


def chosen(snapshots: list[dict], tag: str, host: str, at: datetime.datetime | None) -> dict:
    """The newest snapshot of the host that is not younger."""
    own = [each for each in snapshots if each["hostname"] == host]
    if not own:
        others = sorted({each["hostname"] for each in snapshots})
        hint = f"add --host {others[0]} (there are copies of {', '.join(others)})" if others else "litefarm-restore-files --list shows what there is"
        raise Error(f"There is no copy of {tag} of the droplet {host}: {hint}.")
    fitting = [each for each in own if at is None or files.moment(each["time"]) <= at]
    if not fitting:
        raise Error(f"There is no copy of {tag} from before {files.shown(at)}: the first one is of {files.shown(files.moment(own[0]['time']))}.")
    return fitting[-1]


def table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def listing(restic: Restic, tag: str, host: str) -> str:
    found = restic.snapshots(tag, host)
    if not found:
        return "There are no copies yet."
    kinds: dict[tuple[str, str], list[dict]] = {}
    for each in found:
        kinds.setdefault(((each.get("tags") or ["-"])[0], each["hostname"]), []).append(each)
    rows = [("TAG", "HOST", "TIME", "FILES", "SIZE", "ID")]
    for (name, droplet), copies in sorted(kinds.items()):
        for each in copies:
            # An older restic has to read a whole copy for its size, so it does for the newest.
            size = restic.size(each) if each is copies[-1] else restic.noted_size(each)
            shown = (str(size[0]), files.megabytes(size[1])) if size else ("-", "-")
            rows.append((name, droplet, files.shown(files.moment(each["time"])), *shown, each["id"][:8]))
    return table(rows)


def move(source: pathlib.Path, destination: pathlib.Path) -> None:
    """A folder of a container's image cannot be renamed, although it seems to be on one file system."""
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        subprocess.run(["cp", "--archive", "--no-target-directory", str(source), str(destination)], stdin=subprocess.DEVNULL, check=True)
        files.remove(source)


class Restore:
    def __init__(self, settings: Settings, restic: Restic, run=subprocess.run, clock=time.time):
        self.settings, self.restic, self.run = settings, restic, run
        self.now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock()))

    def targets(self, snapshot: dict, each: dict | None, target: str) -> dict[str, pathlib.Path]:
        """Where each path of the copy goes."""
        paths = snapshot["paths"]
        if target and len(paths) == 1:
            return {paths[0]: pathlib.Path(os.path.abspath(target))}
        if target:
            return {path: pathlib.Path(os.path.abspath(target) + path) for path in paths}
        if each is None:
            tags = ", ".join(found["tag"] for found in self.settings.sets) or "nothing"
            own = (snapshot.get("tags") or [""])[0]
            raise Error(f"This droplet has no {own} of its own (it has {tags}): say with --target into which folder it goes.")
        if each.get("restore_to"):
            return {paths[0]: pathlib.Path(each["restore_to"])}
        return {path: pathlib.Path(path) for path in paths}

    def refuse_while_running(self, each: dict, targets: dict[str, pathlib.Path]) -> None:
        """A server would write over what it did not read."""
        container = each.get("container")
        place = pathlib.Path(each.get("restore_to") or "")
        # No server has data in an empty folder: a new droplet's engine need not even run.
        if not container or place not in targets.values() or not os.path.lexists(place) or files.is_empty(place):
            return
        try:
            done = self.run(
                ["docker", "inspect", "--format", "{{.State.Running}}", container], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            # Nothing runs on a droplet that has no engine.
            return
        if done.returncode and "no such object" not in done.stderr.lower():
            raise Error(f"docker does not say whether the container {container} runs: {done.stderr.strip()[:300] or 'no reason given'}.")
        if done.stdout.strip() == "true":
            raise Error(
                f"The container {container} is running: stop it (`docker stop {container}`), repeat this command, "
                f"and start it again (`docker start {container}`)."
            )

    def refuse_to_overwrite(self, targets: dict[str, pathlib.Path], replace: bool) -> None:
        for target in targets.values():
            if os.path.lexists(target) and not files.is_empty(target) and not replace:
                raise Error(f"{target} is not empty: --replace keeps what is in it as {target}.before-{self.now}, --target FOLDER restores elsewhere.")

    @staticmethod
    def refuse_without_room(targets: dict[str, pathlib.Path], size: int) -> None:
        place = next(iter(targets.values()))
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < size:
            raise Error(f"{place} has too little room: the copy needs {files.megabytes(size)}, {files.megabytes(free)} are free.")

    @staticmethod
    def staging(target: pathlib.Path) -> pathlib.Path:
        """On the same file system, so that it takes its place by a rename."""
        return target / ".restoring" if os.path.ismount(target) else target.with_name(f".{target.name}.restoring")

    def put_in_place(self, restored: pathlib.Path, target: pathlib.Path) -> pathlib.Path | None:
        """Returns the folder that keeps what was there."""
        if os.path.ismount(target):
            return self.put_into_volume(restored, target)
        kept = None
        if os.path.lexists(target):
            if files.is_empty(target):
                remains = target / "lost+found"
                if remains.exists():
                    remains.rmdir()
                target.rmdir()
            else:
                kept = target.with_name(f"{target.name}.before-{self.now}")
                move(target, kept)
        restored.rename(target)
        return kept

    def put_into_volume(self, restored: pathlib.Path, target: pathlib.Path) -> pathlib.Path | None:
        """A mounted folder cannot be renamed: its entries are exchanged."""
        old = [entry for entry in target.iterdir() if entry.name not in ("lost+found", ".restoring") and not entry.name.startswith(".before-")]
        kept = target / f".before-{self.now}" if old else None
        if kept:
            kept.mkdir(mode=0o700)
            for entry in old:
                move(entry, kept / entry.name)
        for entry in list(restored.iterdir()):
            entry.rename(target / entry.name)
        found = restored.stat()
        os.chown(target, found.st_uid, found.st_gid)
        target.chmod(found.st_mode & 0o7777)
        return kept

    @staticmethod
    def keep_what_is_not_copied(each: dict | None, path: str, kept: pathlib.Path | None, place: pathlib.Path) -> None:
        """A file that copies leave out, such as the deploy lock, stays what it is on the droplet."""
        for excluded in (each or {}).get("exclude") or []:
            if kept is None or not excluded.startswith(path + "/"):
                continue
            name = excluded[len(path) + 1 :]
            if (kept / name).is_file():
                shutil.copy2(kept / name, place / name)

    def do(self, tag: str, host: str, at: datetime.datetime | None, target: str, replace: bool) -> list[str]:
        each = self.settings.set_of(tag)
        snapshot = chosen(self.restic.snapshots(tag), tag, host, at)
        targets = self.targets(snapshot, each, target)
        if each:
            self.refuse_while_running(each, targets)
        self.refuse_to_overwrite(targets, replace)
        number, size = self.restic.size(snapshot)
        self.refuse_without_room(targets, size)
        counted = f"{number} {'file' if number == 1 else 'files'}, {files.megabytes(size)}"
        lines = [f"The copy of {tag} is of {host}, {files.shown(files.moment(snapshot['time']))}: {counted}."]
        for path, place in targets.items():
            staging = self.staging(place)
            files.remove(staging)
            place.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir(mode=0o700)
            self.restic.patiently(
                lambda path=path, staging=staging: self.restic.ask("restore", snapshot["id"], "--target", str(staging), "--include", path, "--verify")
            )
            restored = pathlib.Path(str(staging) + path)
            if not restored.exists():
                raise Error(f"The copy has no {path}, although it names it: try an older one (--at).")
            kept = self.put_in_place(restored, place)
            self.keep_what_is_not_copied(each, path, kept, place)
            files.remove(staging)
            lines.append(f"Restored {place}." + (f" What was there is in {kept}." if kept else ""))
        if each and not target:
            # After this the next copy continues those of the earlier droplet.
            files.mark_own(tag)
        return lines


def restore_missing(settings: Settings, restic: Restic) -> list[str]:
    """Every folder of this droplet that is missing or empty, of which there is a copy of the droplet of this name."""
    lines = []
    try:
        restic.check_repository()
    except files.Missing:
        return ["There are no copies yet."]
    for each in settings.sets:
        tag = each["tag"]
        # A package may have put something into the folder already.
        places = [each[name] for name in ("lost_without", "restore_to") if each.get(name)][:1] or each["paths"]
        if not all(not os.path.lexists(place) or files.is_empty(pathlib.Path(place)) for place in places):
            lines.append(f"{', '.join(places)} is not empty, and stays as it is.")
            continue
        found = restic.snapshots(tag, settings.host)
        if not found:
            lines.append(f"There is no copy of {tag} of {settings.host}.")
        elif files.is_own(tag) and all(os.path.lexists(place) for place in places) and not restic.size(found[-1])[0]:
            lines.append(f"{', '.join(places)} is empty, like its copy, and stays as it is.")
        else:
            lines += Restore(settings, restic).do(tag, settings.host, None, "", bool(each.get("lost_without")))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", nargs="?", default="", metavar="TAG", help="what to restore, such as images")
    parser.add_argument("--list", action="store_true", help="show the copies there are, of all droplets or of --host")
    parser.add_argument("--host", default="", help="the droplet whose copy it is, by its inventory name (default: this one)")
    parser.add_argument("--at", default="latest", metavar="TIME", help='the newest copy from before, such as "2026-11-27 10:00:00 UTC" (default: latest)')
    parser.add_argument("--target", default="", metavar="FOLDER", help="restore into this folder (default: where the files belong)")
    parser.add_argument("--replace", action="store_true", help="keep what is there under another name, and put the copy in its place")
    parser.add_argument("--missing", action="store_true", help="restore every folder of this droplet that is missing or empty")
    arguments = parser.parse_args()
    if not arguments.tag and not arguments.list and not arguments.missing:
        parser.error("name a TAG, or use --list or --missing")
    try:
        settings = Settings.read()
        restic = Restic(settings)
        if arguments.list:
            print(listing(restic, arguments.tag, arguments.host))
            return 0
        at = point_in_time(arguments.at)
        with files.only_one(seconds=files.WAIT_SECONDS if arguments.missing else files.SHORT_WAIT_SECONDS):
            if arguments.missing:
                lines = restore_missing(settings, restic)
            else:
                lines = Restore(settings, restic).do(arguments.tag, arguments.host or settings.host, at, arguments.target, arguments.replace)
                # A recovery does these things itself.
                note = (settings.set_of(arguments.tag) or {}).get("note")
                lines += [note] if note and not arguments.target else []
            print("\n".join(lines))
    except subprocess.CalledProcessError as error:
        print(f"The restore was not finished: what is there cannot be kept ({error}).", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The restore was not finished: {error.strerror or error} ({error.filename or 'disk'}).", file=sys.stderr)
        return 1
    except Error as error:
        text = str(error)
        print((text[0].upper() + text[1:]).rstrip(".") + ".", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
