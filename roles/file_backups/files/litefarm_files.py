# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What litefarm-file-backup and litefarm-restore-files share: settings, the call of restic, and its errors in sentences."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

CONFIG = pathlib.Path("/etc/litefarm/file-backup")
STATE = pathlib.Path("/var/lib/litefarm/file-backup")
STATUS = pathlib.Path("/var/lib/litefarm/file-backup.json")
# The answer to a question about the repository; restic itself tries for a quarter of an hour.
ANSWER_SECONDS = 60
# A copy of what has changed, and a recovery, wait for the copy that is being made.
WAIT_SECONDS = 3600
# A restore by hand and the nightly copy wait for a copy of what has changed, which takes some seconds.
SHORT_WAIT_SECONDS = 60
UNITS = "litefarm-file-backup.service litefarm-file-backup-changed.service"
MEGABYTE = 1_000_000


class Error(Exception):
    """What a person reads: what is wrong, where, and what to do."""


class Missing(Error):
    """The repository does not exist yet."""


class Locked(Error):
    """Another droplet's work in the repository."""


# Regular expression of restic's words, and the sentence. The first match counts.
SENTENCES = (
    (r"no space left on device", "the disk of this droplet is full: free some space (`df -h` says where)"),
    (r"restic: not found", "restic is not installed: add it to base_extra_packages and run site.yml"),
    (
        r"wrong password|no key found|ciphertext verification failed",
        "the repository {repository} was encrypted with another key than file_backups_encryption_key (vault_backup_encryption_key)",
    ),
    (
        r"specified bucket does not exist|NoSuchBucket",
        "the object storage has no bucket {bucket}: create it with playbooks/storage.yml, or correct file_backups_bucket",
    ),
    (
        r"Access ?Denied|SignatureDoesNotMatch|InvalidAccessKeyId|access key id you provided|403 Forbidden|Forbidden",
        "the object storage refuses the key for the bucket {bucket}: check file_backups_access_key_id (vault_backup_access_key_id) and its rights",
    ),
    (r"AuthorizationHeaderMalformed|region.* is wrong", "the object storage refuses the region {region}: correct file_backups_region"),
    (r"RequestTimeTooSkewed|difference between the request time", "the clock of this droplet is wrong: check systemd-timesyncd"),
    (r"x509", "the certificate of the object storage {endpoint} is not trusted: check litefarm_ca_certificates"),
    (
        r"connection refused|no such host|i/o timeout|connection reset|network is unreachable|no route to host|dial tcp|timed out"
        r"|\b50[0234] [A-Z]|unexpected EOF|SlowDown|ServiceUnavailable",
        "the object storage {endpoint} does not answer: copies are made again at the next run",
    ),
)
MISSING = r"Is there a repository at the following location|repository does not exist|unable to open config file|config file does not exist"
LOCKED = r"already locked"
HARMLESS = r"no such file or directory|\"Err\": ?2\b"


@dataclasses.dataclass
class Settings:
    """settings.json of the role, and the environment of restic."""

    host: str
    repository: str
    endpoint: str
    bucket: str
    region: str
    sets: list[dict]
    keep: dict[str, int]
    keep_by_tag: dict[str, dict[str, int]]
    init_wait_seconds: int
    maintains: bool
    check_parts: int
    lock_wait_seconds: int
    ca_file: str
    # Each with `from` and `to`, names of buckets.
    bucket_copies: list[dict[str, str]]
    bucket_copies_max_delete: int
    environment: dict[str, str]

    @classmethod
    def read(cls, folder: pathlib.Path = CONFIG) -> Settings:
        try:
            settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
            lines = (folder / "environment").read_text(encoding="utf-8").splitlines()
        except PermissionError as error:
            raise Error(f"{error.filename} may be read by root only: use sudo.") from error
        except OSError as error:
            name = pathlib.Path(error.filename or "").name
            raise Error(f"{folder} has no {name}: this droplet has no copies, run site.yml with file_backups_bucket set.") from error
        environment = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return cls(**settings, environment=environment)

    def set_of(self, tag: str) -> dict | None:
        return next((each for each in self.sets if each["tag"] == tag), None)


class Restic:
    """restic on this droplet's repository. Its secrets come by its environment and a file, never by its command line."""

    def __init__(self, settings: Settings, run=subprocess.run, sleep=time.sleep):
        self.settings, self.run, self.sleep = settings, run, sleep

    def call(self, *words: str, seconds: float | None = None) -> subprocess.CompletedProcess:
        options = ["--cacert", self.settings.ca_file] if self.settings.ca_file else []
        # With --json it would otherwise report its progress sixty times a second.
        environment = {**os.environ, **self.settings.environment, "LC_ALL": "C.UTF-8", "RESTIC_PROGRESS_FPS": "0.02"}
        try:
            return self.run(["restic", *options, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=environment, check=False)
        except FileNotFoundError as error:
            raise Error(self.sentence("restic: not found")) from error
        except subprocess.TimeoutExpired as error:
            heard = (error.stderr or b"").decode(errors="replace")
            raise self.error(heard if self.known(heard) else f"timed out after {seconds} s") from error

    def known(self, text: str) -> bool:
        return any(re.search(pattern, text, re.IGNORECASE) for pattern, _sentence in SENTENCES)

    def sentence(self, text: str) -> str:
        for pattern, sentence in SENTENCES:
            if re.search(pattern, text, re.IGNORECASE):
                names = {name: getattr(self.settings, name) for name in ("repository", "endpoint", "bucket", "region")}
                return sentence.format(**names)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        fatal = next((line for line in lines if line.startswith("Fatal: ")), lines[-1] if lines else "restic gave no reason")
        return "restic: " + re.sub(r"^Fatal: ", "", fatal)[:400]

    def error(self, text: str) -> Error:
        """A missing bucket or a refused key also reads like a missing repository, so the sentences come first."""
        if re.search(LOCKED, text, re.IGNORECASE):
            return Locked("another droplet holds the repository's lock: look at its litefarm-file-backup.service and litefarm-file-backup-changed.service")
        if self.known(text) or not re.search(MISSING, text, re.IGNORECASE):
            return Error(self.sentence(text))
        return Missing(f"there is no repository at {self.settings.repository} yet: the first copy creates it")

    def ask(self, *words: str, seconds: float | None = None) -> str:
        """What restic prints, or its error as a sentence."""
        done = self.call(*words, seconds=seconds)
        if done.returncode:
            raise self.error((done.stderr + b"\n" + done.stdout).decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def patiently(self, work):
        """Work that needs the repository's lock. A run that was killed leaves one, which restic knows to be stale at once or after 30 minutes."""
        deadline = time.monotonic() + self.settings.lock_wait_seconds
        pause = 0.0
        while True:
            try:
                return work()
            except Locked:
                if pause and time.monotonic() >= deadline:
                    raise
                self.sleep(pause)
                pause = min(30.0, max(1.0, self.settings.lock_wait_seconds / 20))
                self.ask("unlock", seconds=ANSWER_SECONDS)

    def check_repository(self) -> None:
        """Whether there is one that the key opens.

        Raises:
            Missing: there is none.
        """
        self.patiently(lambda: self.ask("cat", "config", seconds=ANSWER_SECONDS))

    def snapshots(self, tag: str = "", host: str = "") -> list[dict]:
        """Oldest first."""
        words = ["snapshots", "--json", *(["--tag", tag] if tag else []), *(["--host", host] if host else [])]
        found = self.patiently(lambda: json.loads(self.ask(*words, seconds=ANSWER_SECONDS)) or [])
        return sorted(found, key=lambda each: moment(each["time"]))

    @staticmethod
    def noted_size(snapshot: dict) -> tuple[int, int] | None:
        """Files and bytes as restic 0.17 and later note them in the snapshot."""
        found = snapshot.get("summary")
        return (found["total_files_processed"], found["total_bytes_processed"]) if found else None

    def size(self, snapshot: dict) -> tuple[int, int]:
        """Files and bytes of a snapshot when it is restored."""
        noted = self.noted_size(snapshot)
        if noted:
            return noted
        found = json.loads(self.ask("stats", "--json", "--mode", "restore-size", snapshot["id"]))
        return found["total_file_count"], found["total_size"]


def moment(text: str) -> datetime.datetime:
    """restic's time, which has nanoseconds, for Python 3.10."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        raise Error(f"restic's time {text!r} cannot be read.")
    fraction = (match.group(2) or ".0")[1:7].ljust(6, "0")
    return datetime.datetime.fromisoformat(f"{match.group(1)}.{fraction}{match.group(3).replace('Z', '+00:00')}")


def shown(time_: datetime.datetime) -> str:
    return time_.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def megabytes(number: int) -> str:
    return f"{number / MEGABYTE:.1f} MB" if number >= MEGABYTE // 10 else f"{number / 1000:.1f} kB"


def write_json(path: pathlib.Path, content: dict) -> None:
    """Whole or not at all: a reader may come at any time, and so may a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def sync_folder(path: pathlib.Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_result(path: pathlib.Path, content: dict) -> None:
    """The result of a copy. On a disk without any room the file becomes empty, which means that the copy failed."""
    try:
        write_json(path, content)
    except OSError:
        path.with_name(f".{path.name}.part").unlink(missing_ok=True)
        path.write_text("", encoding="utf-8")


def read_json(path: pathlib.Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def only_one(folder: pathlib.Path = STATE, seconds: float = SHORT_WAIT_SECONDS):
    """A copy of a folder that is being restored would be half of each."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + seconds
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    advice = f"wait until it has ended (`systemctl status {UNITS}` shows a copy)"
                    raise Error(f"A copy or a restore is running on this droplet: {advice}.") from error
                time.sleep(1.0)
        yield


def mark_own(tag: str, folder: pathlib.Path = STATE) -> None:
    """From now on copies of this folder continue those in the repository."""
    write_json(folder / "own.json", {**read_json(folder / "own.json"), tag: round(time.time())})


def is_own(tag: str, folder: pathlib.Path = STATE) -> bool:
    return tag in read_json(folder / "own.json")


def is_empty(path: pathlib.Path) -> bool:
    """A new volume has the folder lost+found."""
    return path.is_dir() and not [entry for entry in os.listdir(path) if entry != "lost+found"]


def remove(folder: pathlib.Path) -> None:
    """What an earlier run left."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    elif os.path.lexists(folder):
        folder.unlink()
