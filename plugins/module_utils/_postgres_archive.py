# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The database's archive: what pgBackRest says of it, in types and in sentences, and what guard and backups left on the droplet."""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import glob
import json
import os
import re
import shutil
import tempfile
import time
import typing as t

from ._atomic_files import write_atomically
from ._fingerprint import key_id

# How `pgbackrest info` is asked. The limit spares a person the minute that pgBackRest otherwise tries for.
INFO = ("info", "--output=json", "--io-timeout=5")
INFO_TIMEOUT = 45  # seconds; an object storage that refuses connections costs 20
BACKUP_TYPES = ("full", "diff", "incr")
RESULTS = (*BACKUP_TYPES, "verify")
# In memory, so that a key that is only tried never reaches the disk.
TRIED_KEYS = "/run"


class ArchiveError(Exception):
    """What pgBackRest said is no answer; the message is meant for a person."""


@contextlib.contextmanager
def credentials_with_key(credentials, key, uid, memory=TRIED_KEYS):
    """A copy of pgBackRest's configuration that reads what was written with another key, as long as it is needed.

    Args:
        credentials: folder with C(pgbackrest.conf) and C(pgbackrest), as the role postgres writes them.
        key: the encryption key to try.
        uid: whom the containers run as.

    Yields:
        The folder.
    """
    if not key:
        raise ArchiveError("The file with the key to try is empty.")
    folder = tempfile.mkdtemp(prefix="litefarm-key-", dir=memory)
    try:
        os.chown(folder, uid, uid)
        edits = {
            "pgbackrest.conf": (r"^(repo1-cipher-pass=).*$", key),
            "pgbackrest": (r"^(place=.*/)[0-9a-f]{8}$", key_id(key)),
        }
        for name in os.listdir(credentials):
            try:
                with open(os.path.join(credentials, name), encoding="utf-8") as file:
                    content = file.read()
            except IsADirectoryError:
                continue
            if name in edits:
                pattern, value = edits.pop(name)
                content, count = re.subn(pattern, lambda found, value=value: found[1] + value, content, flags=re.MULTILINE)
                if count != 1:
                    raise ArchiveError("%s/%s is not as the role postgres writes it: run site.yml." % (credentials, name))
            write_atomically(os.path.join(folder, name), content, 0o400, (uid, uid))
        if edits:
            raise ArchiveError("%s has no %s: run site.yml, which sets up the archive." % (credentials, " and no ".join(sorted(edits))))
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclasses.dataclass(frozen=True)
class Backup:
    """One backup in the archive. Times are in seconds since 1970, sizes in bytes."""

    label: str
    type: str
    start: int
    stop: int
    # The files of the database, all that a restore reads, and what this backup added to the bucket; 0 where pgBackRest does not say.
    size: int
    repo_set_size: int
    repo_size: int
    name: str
    wal_start: str
    wal_stop: str
    prior: str
    # Pages whose checksums were wrong already in the database.
    damaged: bool


@dataclasses.dataclass(frozen=True)
class Archive:
    """What there is of one cluster. C(problem) is a sentence if it cannot be used, and then all else is empty."""

    backups: tuple[Backup, ...] = ()
    wal_min: str = ""
    wal_max: str = ""
    system_identifier: str = ""
    version: str = ""
    # Whether a backup is under way.
    busy: bool = False
    problem: str = ""

    def newest(self, *types: str) -> Backup | None:
        """The backup that ended last, of these types or of any."""
        fitting = [backup for backup in self.backups if not types or backup.type in types]
        return max(fitting, key=lambda backup: backup.stop, default=None)

    def find(self, text: str) -> Backup | None:
        """The backup of a label, or else the newest one of a name."""
        fitting = [backup for backup in self.backups if text == backup.label] or [backup for backup in self.backups if text and text == backup.name]
        return max(fitting, key=lambda backup: backup.stop, default=None)


def parse_info(text: str) -> Archive:
    """The answer of `info --output=json` about one stanza. An archive that cannot be read is one with a problem, as pgBackRest exits with 0.

    Raises:
        ArchiveError: it is no such answer.
    """
    try:
        # A wrong key leaves binary in its strings.
        stanzas = json.loads(text, strict=False)
        if not isinstance(stanzas, list):
            raise TypeError("no list")
        return _archive(stanzas[0]) if stanzas else Archive(problem=explain(None, "missing stanza path"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArchiveError("pgBackRest gives no list of backups (%s): %s" % (error, explain(None, text))) from error


def _archive(stanza: dict[str, t.Any]) -> Archive:
    status = stanza["status"]
    busy = bool(status.get("lock", {}).get("backup", {}).get("held"))
    repositories = [each["status"] for each in stanza.get("repo") or []]
    # 2: there is no backup yet, which is no fault of the archive.
    bad = next((each for each in [*repositories, status] if each["code"] not in (0, 2)), None)
    if bad:
        return Archive(busy=busy, problem=explain(None, bad["message"]))
    clusters = sorted(stanza.get("db") or [], key=lambda each: each["id"])
    current = clusters[-1] if clusters else {}
    ranges = [each for each in stanza.get("archive") or [] if each["database"]["id"] == current.get("id")]
    return Archive(
        backups=tuple(sorted((_backup(each) for each in stanza.get("backup") or []), key=lambda backup: backup.stop)),
        wal_min=min((each["min"] for each in ranges if each.get("min")), default=""),
        wal_max=max((each["max"] for each in ranges if each.get("max")), default=""),
        system_identifier=str(current.get("system-id", "")),
        version=str(current.get("version", "")),
        busy=busy,
    )


def _backup(found: dict[str, t.Any]) -> Backup:
    sizes, wal = found.get("info") or {}, found.get("archive") or {}
    repository = sizes.get("repository") or {}
    return Backup(
        label=found["label"],
        type=found["type"],
        start=int(found["timestamp"]["start"]),
        stop=int(found["timestamp"]["stop"]),
        size=int(sizes.get("size") or 0),
        repo_set_size=int(repository.get("size") or 0),
        repo_size=int(repository.get("delta") or 0),
        name=str((found.get("annotation") or {}).get("name") or ""),
        wal_start=wal.get("start") or "",
        wal_stop=wal.get("stop") or "",
        prior=found.get("prior") or "",
        damaged=bool(found.get("error")),
    )


KEY_NAMES = "vault_backup_access_key_id and vault_backup_secret_access_key (without them, the application's vault_spaces_…)"
NO_ARCHIVE = (
    "There is no archive of this cluster under this encryption key, or the bucket{bucket} does not exist: playbooks/storage.yml makes the bucket, "
    "site.yml makes a new archive, and a former key belongs into vault_backup_encryption_key."
)
UNREACHABLE = "The object storage cannot be reached from the droplet ({detail}): try again, and check litefarm_spaces_droplet_endpoint if it stays so."
REFUSED = "The object storage refuses the key for the bucket{bucket} ({code}): correct " + KEY_NAMES + ", or give that key the right to read and write there."
# What S3 answers, by its code.
STORAGE = {
    "NoSuchBucket": "The bucket{bucket} does not exist: correct litefarm_backup_bucket or litefarm_spaces_region, or run playbooks/storage.yml.",
    "AccessDenied": REFUSED,
    "AllAccessDisabled": REFUSED,
    "InvalidAccessKeyId": "The object storage does not know the access key: correct " + KEY_NAMES + ".",
    "SignatureDoesNotMatch": "The secret does not fit the access key: correct " + KEY_NAMES + ".",
    "RequestTimeTooSkewed": "The droplet's clock is more than 15 min away from the object storage's: look at `timedatectl` on the droplet and set it.",
    "AuthorizationHeaderMalformed": "The object storage is asked with a wrong region: correct litefarm_spaces_region and litefarm_spaces_droplet_endpoint.",
    "PermanentRedirect": "The bucket{bucket} is in another region: correct litefarm_spaces_region and litefarm_spaces_droplet_endpoint.",
    "QuotaExceeded": "The object storage takes no more: its quota for the bucket{bucket} is used up.",
    "400": "The object storage does not understand the request: correct litefarm_spaces_region and litefarm_spaces_droplet_endpoint.",
    "301": "The bucket{bucket} is in another region: correct litefarm_spaces_region and litefarm_spaces_droplet_endpoint.",
    "403": REFUSED,
    "404": NO_ARCHIVE,
}
# What pgBackRest and docker say, the more telling ones first: a wrong key, for one, comes with the hint to create a stanza.
SENTENCES = [
    (r"unable to verify certificate presented by '(?P<detail>[^']*)'", "The certificate of the object storage {detail} is not trusted: its authority "
     "belongs into litefarm_ca_certificates."),
    (r"(?P<detail>unable to connect to '[^']*': .*|unable to get address for '[^']*': .*)", UNREACHABLE),
    (r"HostConnectError\b\W*(?P<detail>.*)", UNREACHABLE),
    (r"(?P<detail>timeout after \d+ms waiting for (read|write).*)", UNREACHABLE),
    (r"ServiceError\]?:? *(?P<detail>.*)", "The object storage is overloaded or out of order ({detail}): try again later."),
    (r"(?P<detail>does not end within \d+ s)", "The object storage does not answer, or too slowly (the question {detail}): try again."),
    (r"DbConnectError|unable to find primary cluster|no database found", "pgBackRest does not reach PostgreSQL: its container has to run (`docker ps -a`)."),
    (r"No space left on device|\[28\]", "The disk is full: make room on the droplet and try again."),
    (r"zst error|Data corruption|does not match expected (checksum|size)|invalid (page )?checksum '|checksum invalid: \d",
     "The archive is damaged ({line}): go back to an earlier backup, and take a new full one (systemctl start litefarm-postgres-backup@full)."),
    (r"CryptoError|key/value found outside of section|unable to flush|cipher header invalid|invalid cipher|(expected|missing) .*cipher-(pass|type)",
     "The encryption key does not fit this archive, or a file of it is damaged{file}: use the vault_backup_encryption_key with which it was written."),
    (r"ChecksumError|invalid checksum, actual|JsonFormatError|FormatError: (?!time)", "A file of the archive is damaged{file}: look for an older version of "
     "it in the bucket, which keeps old versions."),
    (r"unable to acquire lock on file", "Another backup, restore or verification is under way: wait until it ends."),
    (r"do(es)? not match the database|do(es)? not match stanza version|system-id \d+ do(es)? not match", "The archive belongs to another cluster or to "
     "another major version of PostgreSQL: restore it onto this droplet, or run site.yml, which makes an archive for the cluster that runs."),
    (r"unable to restore to path '(?P<detail>[^']*)' because it contains files", "The folder {detail} is not empty: nothing was restored into it."),
    (r"unable to restore while PostgreSQL is running", "PostgreSQL runs in the folder that is to be restored: stop it first."),
    (r"unable to find backup set with stop time less than '(?P<detail>[^']*)'", "There is no backup that ended before {detail}: choose a later time "
     "(playbooks/backups.yml shows what there is)."),
    (r"automatic backup set selection cannot be performed with provided time '(?P<detail>[^']*)'", "'{detail}' is not a time: write it as "
     "\"2026-11-27 10:00:00 UTC\"."),
    (r"backup set (?P<detail>\S+) is not valid", "There is no backup {detail}: playbooks/backups.yml shows what there is."),
    (r"no backup set found to restore|no prior backup exists", "There is no backup yet: `systemctl start litefarm-postgres-backup@full` takes one."),
    (r"WAL segment (?P<detail>\S+) was not archived before the \d+ms timeout", "WAL does not reach the archive ({detail}): see docs/operations.md, "
     "\"The archive falls behind\"."),
    (r"[Nn]o such container|is not running|its container does not run", "The container for backups does not run: site.yml starts it."),
    (r"Cannot connect to the Docker daemon|no engine is installed", "The engine does not answer on the droplet: `systemctl status docker` says why."),
    (r"executable file not found|pgbackrest: not found", "The image has no pgBackRest: run site.yml, which builds it."),
    (r"unable to open missing file '(?P<detail>[^']*\.conf)'|can't open|No such file or directory.*/pgbackrest", "pgBackRest is not configured on the "
     "droplet: run site.yml."),
    (r"missing stanza|FileMissingError|No usable (backup|archive)\.info|unable to open missing file", NO_ARCHIVE),
]  # fmt: skip
# Exit statuses of pgBackRest for texts that were lost.
STATUSES = {50: "unable to acquire lock on file", 49: "HostConnectError", 55: "FileMissingError", 95: "CryptoError", 101: "ServiceError"}


def explain(exit_code: int | None, text: str) -> str:
    """A sentence or two that a person can act on, from what pgBackRest (or docker, on the way to it) wrote. Empty if nothing is wrong."""
    said = plain(text)
    if not exit_code and not said:
        return ""
    bucket = _bucket(said)
    answer = re.search(r"<Code>(\w+)</Code>", said) or re.search(r"HTTP request failed with (\d+)", said)
    if answer:
        sentence = STORAGE.get(answer[1], "The object storage answers {code} for the bucket{bucket}: try again, and look that code up if it stays so.")
        return sentence.format(bucket=bucket, code=answer[1])
    for pattern, sentence in SENTENCES:
        found = re.search(pattern, said) or re.search(pattern, STATUSES.get(exit_code or 0, ""))
        if found:
            detail = (found.groupdict().get("detail") or "").strip() or "no answer"
            return sentence.format(bucket=bucket, detail=detail[:200], line=_line(said, found), file=_file(said))
    ended = "pgBackRest ended with status %d" % exit_code if exit_code else "pgBackRest failed"
    return "%s (%s): the journal of the droplet has the rest." % (ended, _first_error(said) or "it said nothing")


def plain(text: str) -> str:
    """Without what a terminal cannot show: a wrong key has pgBackRest print binary."""
    lines = ("".join(letter if letter.isprintable() and letter != "\ufffd" else " " for letter in line) for line in text.splitlines())
    return "\n".join(line.strip() for line in lines if line.strip())


def _first_error(said: str) -> str:
    lines = said.splitlines()
    return _bare(next((line for line in lines if "ERROR:" in line), lines[0] if lines else ""))


def _line(said: str, found: re.Match[str]) -> str:
    """The line in which something was found. What was found in place of a text that was lost has none."""
    return _bare(next((line for line in said.splitlines() if found[0] in line), "")) or found[0]


def _bare(line: str) -> str:
    """Without time, process and number."""
    return re.sub(r"^.*?(ERROR|INFO|WARN): (\[\d+\]: )?", "", line).rstrip(" .:")[:200]


def _bucket(said: str) -> str:
    found = re.search(r"<BucketName>([\w.-]+)</BucketName>", said)
    return " %s" % found[1] if found else ""


def _file(said: str) -> str:
    found = re.search(r"unable to load info file '[^']*?([^'/]+)'", said)
    return " (%s)" % found[1] if found else ""


def age(moment: t.Any, now: float) -> int | None:
    """Seconds since a time in a status file; none of them is from the future."""
    return max(0, int(now - moment)) if isinstance(moment, (int, float)) and not isinstance(moment, bool) else None


def read_state(path: str, now: float | None = None) -> dict[str, t.Any] | None:
    """A status file of guard or backups, with its age and that of the last good result in seconds, or None if there is none that makes sense."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    moment = time.time() if now is None else now
    return dict(found, age=age(found.get("time"), moment), ok_age=age(found.get("last_ok"), moment))


def read_result(path: str, now: float | None = None) -> dict[str, t.Any] | None:
    """The same for the result of a backup. One whose disk had no room for its result has left an empty file, and that is a failure."""
    found = read_state(path, now)
    if found is None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        if status.st_size == 0:
            moment = time.time() if now is None else now
            found = {"result": "failed", "message": "the disk has no room for its result", "age": age(status.st_mtime, moment), "ok_age": None}
    return found


def look(directory: str, now: float | None = None) -> dict[str, t.Any]:
    """What guard and backups left in their folder: C(guard), and C(results) by type of backup; nothing of it asks the object storage."""
    moment = time.time() if now is None else now
    results = {name: read_result(os.path.join(directory, "backup-%s.json" % name), moment) for name in RESULTS}
    created = created_age(directory, moment)
    return {
        "guard": read_state(os.path.join(directory, "guard.json"), moment),
        "results": {name: _of_archive(found, created) for name, found in results.items() if found and not _older(found["age"], created)},
    }


def created_age(directory: str, now: float) -> int | None:
    """Seconds since the archive was created. A new encryption key begins a new one, which has none of the earlier backups."""
    try:
        # Written by the script that creates the archive.
        return age(os.stat(os.path.join(directory, "spool", "created")).st_mtime, now)
    except OSError:
        return None


def _older(seconds: int | None, created: int | None) -> bool:
    return seconds is not None and created is not None and seconds > created


def _of_archive(found: dict[str, t.Any], created: int | None) -> dict[str, t.Any]:
    """A result without a good backup that is in an earlier archive only."""
    return dict(found, ok_age=None) if _older(found["ok_age"], created) else found


def folder_bytes(path: str) -> int:
    """Disk space of a folder's files."""
    found = 0
    for parent, _folders, names in os.walk(path):
        for name in names:
            # It may have been removed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return found


def look_at_replaced(directory: str, now: float | None = None) -> list[dict[str, t.Any]]:
    """Data that restores have replaced, the oldest first: C(path), C(bytes), and the C(age) that their name tells."""
    found = []
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "pgdata.before-*"))):
        moment = None
        with contextlib.suppress(ValueError):
            moment = calendar.timegm(time.strptime(path.rpartition("-")[2], "%Y%m%dT%H%M%SZ"))
        found.append({"path": path, "bytes": folder_bytes(path), "age": age(moment, time.time() if now is None else now)})
    return found


def look_at_files(path: str, now: float | None = None) -> dict[str, t.Any] | None:
    """What the backup of files left, with the age of each tag if it says so."""
    found = read_result(path, now)
    if found is not None:
        tags = found.get("tags") if isinstance(found.get("tags"), dict) else {}
        moment = time.time() if now is None else now
        found["tags"] = {name: dict(each, age=age(each.get("time"), moment)) for name, each in tags.items() if isinstance(each, dict)}
    return found
