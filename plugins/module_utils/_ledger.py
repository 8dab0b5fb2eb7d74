# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's lock and its history, on one of its droplets; and what the history says about a way back."""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import re
import time

from ._atomic_files import sync_folder, write_atomically
from ._locking import wait_for_lock
from ._verification.rows import duration, shortened

KINDS = ("deploy", "site", "rollback", "restore")
RESULTS = ("ok", "partial", "failed", "interrupted")
# Results of runs that left their release in place; a partial one did so on some of the environment's droplets only.
IN_PLACE = ("ok", "partial")
# Lines that the history keeps: years of releases, and still a file that is read in a millisecond.
KEPT = 1000
MESSAGE = 500
MINUTES = 60
# Nobody is at the files for longer than some milliseconds.
PATIENCE = 10
UNLOCK = "ansible-playbook playbooks/unlock.yml"
STAMP = "%Y-%m-%dT%H:%M:%SZ"
COMMIT = re.compile(r"^[0-9a-f]{7,40}$")

EXPIRED = "it had expired"
GONE = "its process is gone"


class LedgerError(Exception):
    """What a person reads: one sentence."""


class Held(LedgerError):
    """The lock is another run's."""

    def __init__(self, message, lock):
        super().__init__(message)
        self.lock = lock


def stamp(seconds):
    return time.strftime(STAMP, time.gmtime(seconds))


def moment(text):
    """The seconds of a stamp, or 0 of anything else."""
    try:
        return calendar.timegm(time.strptime(str(text), STAMP))
    except ValueError:
        return 0


def holder_of(lock):
    return "%s on %s" % (lock["who"], lock["node"]) if lock["node"] else lock["who"]


def held(lock, now, unlock=UNLOCK):
    return "%s has held the deploy lock since %s (%s) for %s: wait until it ends, at the latest until %s, when it expires, or break it with %s." % (
        holder_of(lock),
        lock["since"],
        duration(max(0, now - moment(lock["since"]))),
        lock["what"],
        lock["expires"],
        unlock,
    )


def same_process(lock, holder):
    """Whether the holder speaks for the kernel and process numbers that the lock was taken under."""
    return bool(lock.get("boot")) and lock["boot"] == holder.get("boot")


def rebooted(lock, holder):
    """Whether the lock was taken on the holder's machine before that was started anew."""
    if not (lock.get("machine") and lock.get("boot") and holder.get("boot")):
        return False
    return (lock["machine"], lock["node"]) == (holder.get("machine"), holder.get("node")) and lock["boot"] != holder["boot"]


class Ledger:
    """The two files. Every change is made under flock, and is either on the disk as a whole or not at all."""

    def __init__(self, directory, unlock=UNLOCK, clock=time.time):
        self.directory = directory
        self.unlock_command = unlock
        self.clock = clock
        self.lock_path = os.path.join(directory, "lock.json")
        self.history_path = os.path.join(directory, "history.jsonl")
        self.number_path = os.path.join(directory, "number")
        self.guard_path = os.path.join(directory, ".guard")

    # -- reading: needs no guard, because a file is only ever replaced or appended to --------------------------------------------

    def lock(self):
        """The present lock, expired or not, or None."""
        with _explained(self.lock_path):
            try:
                with open(self.lock_path, encoding="utf-8", errors="replace") as file:
                    found, changed = file.read(), os.fstat(file.fileno()).st_mtime
            except FileNotFoundError:
                return None
        try:
            lock = json.loads(found)
            if moment(lock["since"]) and moment(lock["expires"]) and all(isinstance(lock[key], str) for key in ("run", "what", "who", "node")):
                return lock
        except (ValueError, KeyError, TypeError):
            pass
        # Somebody wrote in it: it counts as a lock like any other, and so it can expire and be broken.
        what = "something unknown, because %s cannot be read" % self.lock_path
        return {"run": "", "what": what, "who": "somebody", "node": "", "since": stamp(changed), "expires": stamp(changed + MINUTES * 60), "plan": {}}

    def history(self, lines=KEPT):
        """The newest records, the newest last. A line that a power cut tore is none."""
        return [each for each in map(_record, self._lines()) if each is not None][-lines:] if lines > 0 else []

    def damage(self):
        """A sentence if the history has zeroes in it, which a power cut or a fault of the disk leaves in place of records."""
        with _explained(self.history_path):
            try:
                with open(self.history_path, "rb") as file:
                    damaged = b"\0" in file.read()
            except FileNotFoundError:
                return None
        if not damaged:
            return None
        return "%s has zeroes in place of records: bring it back with `sudo litefarm-restore-files history --replace` on the droplet." % self.history_path

    def _lines(self):
        with _explained(self.history_path):
            try:
                with open(self.history_path, encoding="utf-8", errors="replace") as file:
                    return [line for line in file.read().split("\n") if line.strip()]
            except FileNotFoundError:
                return []

    # -- the lock ----------------------------------------------------------------------------------------------------------------

    def take(self, run, what, holder, minutes=MINUTES, takes_over="", plan=None, completed=None, force=False, apply=True):
        """Take the lock for a run, unless the history says that its release must not be made.

        Args:
            plan: the run's record as far as it is known, with `kind` and `to`.
            completed: names of the migrations that the database has, or None if it was not asked: what an interrupted run of the same lock
                recorded as planned is recorded as run only if it is among them.
            force: whether a release is made although a rollback left it or a newer one has replaced it.

        Returns:
            The lock, and the one that it replaced, if any, with `why`.

        Raises:
            Held: another run has the lock.
            LedgerError: the release is refused, or the files cannot be used.
        """
        plan = plan or {}
        with self._guard(apply):
            now, present = self.clock(), self.lock()
            why = self._why_replaceable(present, run, takes_over, now)
            own = present is not None and present["run"] == run
            reason = None if own else refusal(plan.get("kind"), _release(plan.get("to")), self.history(), force)
            if reason:
                raise LedgerError("Nothing was changed. %s" % reason)
            who, node = shortened(holder.get("who") or "somebody", 60), shortened(holder.get("node") or "", 60)
            since = present["since"] if own else stamp(now)
            number = (present.get("number") or 0) if own else self._next_number(now) if apply else 0
            expires = stamp(now + minutes * 60)
            lock = dict(holder, who=who, node=node, run=run, number=number, what=shortened(what, 200), since=since, expires=expires, plan=plan)
            if apply:
                if why:
                    self._interrupted(present, why, now, completed)
                self._replace(self.number_path, "%d\n" % number)
                self._replace(self.lock_path, json.dumps(lock))
            return lock, dict(present, why=why) if why else None

    def _next_number(self, now):
        """Higher than every number before, also on a droplet that replaces a lost one: droplets refuse what comes from an older run."""
        with _explained(self.number_path):
            try:
                with open(self.number_path, encoding="ascii", errors="replace") as file:
                    last = file.read().strip()
            except FileNotFoundError:
                last = ""
        return max(int(now), int(last) + 1 if last.isdigit() else 0)

    def _why_replaceable(self, present, run, takes_over, now):
        if present is None or present["run"] == run:
            return None
        if takes_over and present["run"] == takes_over:
            return GONE
        if moment(present["expires"]) <= now:
            return EXPIRED
        raise Held(held(present, now, self.unlock_command), present)

    def check(self, run, minutes=MINUTES, plan=None, apply=True):
        """Return the lock and extend it, with a new plan if one is given, or raise LedgerError if it is not this run's any more."""
        with self._guard(apply):
            now, present = self.clock(), self.lock()
            # A check run has not written the lock that it would have taken.
            if present is None and not apply:
                return None
            if present is None or present["run"] != run:
                raise LedgerError(self._lost(run, present))
            lock = dict(present, expires=stamp(max(moment(present["expires"]), now + minutes * 60)), plan=plan or present.get("plan") or {})
            if apply:
                self._replace(self.lock_path, json.dumps(lock))
            return lock

    def _lost(self, run, present):
        reason = next((each["message"] for each in reversed(self.history()) if each["run"] == run and each["result"] == "interrupted"), "")
        return "This run does not hold the deploy lock any more%s: nothing more is changed, see playbooks/status.yml, and then run it again%s." % (
            " (%s)" % reason.rstrip(".") if reason else "",
            " when %s, who holds it now for %s, is done" % (holder_of(present), present["what"]) if present else "",
        )

    def give_back(self, run, record=None, holder=None, apply=True):
        """Append the record, remove the lock, and return a warning if it was not this run's any more."""
        with self._guard(apply):
            present = self.lock()
            own = present is not None and present["run"] == run
            try:
                # In this order: a run that dies in between is not recorded as interrupted. A record that is refused keeps no lock.
                check_record(record)
                if record is not None and apply:
                    self._append(complete(record, self.clock(), present if own else dict(holder or {}, run=run)))
            finally:
                if own and apply:
                    self._remove_lock()
        if own or not apply:
            return None
        now_held = "%s holds it for %s" % (holder_of(present), present["what"]) if present else "nobody holds it"
        return "The deploy lock was not this run's any more when it ended: somebody broke it or it expired, and now %s." % now_held

    def break_lock(self, who, only="", apply=True):
        """Remove the lock, whoever holds it, and return it with why; None if there is none."""
        with self._guard(apply):
            present = self.lock()
            if present is None or (only and present["run"] != only):
                return None
            why = "broken by %s" % who
            if apply:
                self._interrupted(present, why, self.clock())
                self._remove_lock()
            return dict(present, why=why)

    # -- the history -------------------------------------------------------------------------------------------------------------

    def record(self, record, holder=None, apply=True):
        check_record(record)
        with self._guard(apply):
            if apply:
                present = self.lock()
                own = present is not None and present["run"] == record.get("run")
                self._append(complete(record, self.clock(), present if own else holder or {}))

    def _interrupted(self, lock, why, now, completed=None):
        """The run that held the lock gets its line, unless it has written one and died before it gave the lock back."""
        if lock["run"] and any(each["run"] == lock["run"] for each in self.history()):
            return
        plan = lock.get("plan") if isinstance(lock.get("plan"), dict) else {}
        message = "%s did not end: its lock was taken away because %s" % (lock["what"], why)
        if why.startswith("broken"):
            message = "%s did not end: its lock was %s" % (lock["what"], why)
        # Without an answer of the database every migration that it was about to run may have run.
        migrations = [each for each in plan.get("migrations") or [] if completed is None or each in completed]
        kind = plan.get("kind") or next((kind for kind in KINDS if lock["what"].startswith(kind)), "")
        fields = dict(plan, migrations=migrations, result="interrupted", kind=kind, message=message)
        self._append(complete(fields, now, lock))

    def _append(self, record):
        lines = self._lines()
        torn = bool(lines) and not _ends_with_newline(self.history_path)
        if torn and not _whole(lines[-1]):
            lines.pop()
        line = json.dumps(record)
        if torn or len(lines) >= KEPT:
            self._replace(self.history_path, "".join("%s\n" % each for each in [*lines, line][-KEPT:]))
            return
        with _explained(self.history_path), open(self.history_path, "a", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("%s\n" % line)
            file.flush()
            os.fsync(file.fileno())
        if not lines:
            sync_folder(self.directory)

    # -- files -------------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _guard(self, apply):
        """Alone with the files until the end of the block, however that comes. What writes nothing also leaves nothing behind."""
        if not apply:
            yield
            return
        with _explained(self.directory):
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            file = open(self.guard_path, "a", encoding="utf-8")
        with file:
            if not wait_for_lock(file, PATIENCE, 0.02):
                raise LedgerError(
                    "Another process has been at %s for %d s: find it with fuser %s on the droplet and end it."
                    % (self.directory, PATIENCE, self.guard_path)
                )
            yield

    def _remove_lock(self):
        with _explained(self.lock_path):
            os.unlink(self.lock_path)
            sync_folder(self.directory)

    def _replace(self, path, content):
        with _explained(path):
            write_atomically(path, content, 0o600)


def _record(line):
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return complete(record, 0, {}) if isinstance(record, dict) and record.get("result") in RESULTS else None


def _whole(line):
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


# What a record may say, and as what.
FIELDS = {
    **dict.fromkeys(("time", "started", "who", "run", "kind", "result", "message"), str),
    **dict.fromkeys(("from", "to", "images"), dict),
    **dict.fromkeys(("migrations", "services", "hosts"), list),
    "seconds": (int, float),
}


def check_record(record):
    """Raise LedgerError for a record that nobody could read later. None and keys with None are as if they were not there."""
    if record is None:
        return
    for key, choices in (("kind", KINDS), ("result", RESULTS)):
        if record.get(key) not in choices:
            raise LedgerError("%s of record is %s: give one of %s." % (key, record.get(key) or "missing", ", ".join(choices)))
    for key, value in record.items():
        if key not in FIELDS:
            raise LedgerError("record has a key %s that no record has: correct it to one of %s." % (key, ", ".join(FIELDS)))
        if value is not None and not isinstance(value, FIELDS[key]):
            raise LedgerError("%s of record is %s, which is of the wrong kind: see ansible-doc litefarm.platform.deployment." % (key, shortened(value, 60)))
    for key in ("time", "started"):
        if record.get(key) and not moment(record[key]):
            raise LedgerError("%s of record is %s: give it as 2026-07-01T10:00:00Z." % (key, shortened(record[key], 60)))


def complete(fields, now, lock):
    """A record with all its keys: what is not said is the lock's, or empty."""

    def of(key):
        return fields[key] if fields.get(key) is not None else lock.get(key)

    started = fields.get("started") or lock.get("since") or fields.get("time") or stamp(now)
    end = fields.get("time") or stamp(now)
    seconds = fields.get("seconds")
    # Nobody knows when an interrupted run ended.
    if seconds is None and fields["result"] != "interrupted":
        seconds = max(0, moment(end) - moment(started))
    return {
        "time": end,
        "started": started,
        "seconds": seconds,
        "who": of("who") or "",
        "run": of("run") or "",
        "kind": fields.get("kind") or "",
        "result": fields["result"],
        "from": _release(fields.get("from")),
        "to": _release(fields.get("to")),
        "images": fields.get("images") or {},
        "migrations": fields.get("migrations") or [],
        "services": fields.get("services") or [],
        "hosts": fields.get("hosts") or [],
        "message": shortened(fields.get("message") or "", MESSAGE),
    }


def _release(value):
    value = value if isinstance(value, dict) else {}
    return {key: str(value.get(key) or "") for key in ("version", "commit")}


def _ends_with_newline(path):
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


@contextlib.contextmanager
def _explained(path):
    """A full disk is a sentence, not a traceback."""
    try:
        yield
    except OSError as error:
        raise LedgerError("%s cannot be used on the droplet (%s): correct that, and run this again." % (path, error.strerror or error)) from error


# -- what the history says: records with the newest last, as Ledger.history returns them -----------------------------------------


def name_of(release):
    """v1.2.3 (abcdef0)"""
    version, commit = release.get("version") or "", (release.get("commit") or "")[:7]
    if version and commit and not (release.get("commit") or "").startswith(version):
        return "%s (%s)" % (version, commit)
    return commit or version or "nothing"


def last_good(history):
    """The newest record of a run that left its release in place, on all droplets or on some, or None."""
    return next((each for each in reversed(history) if each["result"] in IN_PLACE and each["to"]["commit"]), None)


def last_on(history, host):
    """The newest record of a run that left its release in place on this droplet, or None."""
    return next((each for each in reversed(history) if each["result"] in IN_PLACE and each["to"]["commit"] and host in each["hosts"]), None)


def failed(history):
    """Commits whose last news is that their release failed. They may be released again; a rollback passes over them."""
    found = set()
    # A run that lost its lock fails for that reason, and its record comes after the one of whoever took the lock away.
    interrupted = {each["run"] for each in history if each["result"] == "interrupted" and each["run"]}
    for each in history:
        after = each["to"]["commit"]
        if each["result"] in IN_PLACE:
            found.discard(after)
        # Where the release stays the same, what failed was something else: it ran before, and it runs now.
        elif each["result"] == "failed" and after and after != each["from"]["commit"] and each["run"] not in interrupted:
            found.add(after)
    return found


def taken_back(history):
    """Commit to the record of the rollback that left it, for those that nobody has released since. Only force releases them again."""
    found = {}
    for each in history:
        before, after = each["from"]["commit"], each["to"]["commit"]
        if each["result"] in IN_PLACE:
            if each["kind"] == "rollback" and before and before != after:
                found[before] = each
            found.pop(after, None)
    return found


def superseded(history, commit):
    """The present release's record, if the environment has left this commit's release for it; None if it never ran or is the present one."""
    present = last_good(history)
    if present is None or present["to"]["commit"] == commit:
        return None
    return present if any(each["result"] in IN_PLACE and each["to"]["commit"] == commit for each in history) else None


def planned(lock):
    """What the run that holds the lock brings, as records that stand at the end of a history: nothing else knows its images yet."""
    plan = (lock or {}).get("plan")
    return [complete(dict(plan, result="interrupted"), moment(lock["since"]), lock)] if isinstance(plan, dict) else []


def record_of(service, image, history):
    """The newest record about a service's image; best one of a run that ended well."""
    records = [each for each in reversed(history) if each["images"].get(service) == image and each["to"]["commit"]]
    return next((each for each in records if each["result"] in IN_PLACE), records[0] if records else None)


def releases_of(places, history):
    """Name of each release that runs to where it does.

    Args:
        places: service, droplet and image of each container. Images that the history does not know are left out.
    """
    commits = {}
    for service, host, image in places:
        record = record_of(service, image, history)
        if record:
            commits.setdefault(record["to"]["commit"], (name_of(record["to"]), []))[1].append("%s on %s" % (service, host))
    return dict(commits.values())


def side_by_side(releases):
    """A sentence if there are several: what releases_of returned."""
    if len(releases) < 2:
        return None
    parts = ["%s: %s" % (name, ", ".join(where)) for name, where in releases.items()]
    return "%d releases run side by side (%s): release one of them everywhere with playbooks/deploy.yml." % (len(releases), "; ".join(parts))


def partial(history):
    """A sentence if the last release is in place on some droplets only."""
    last = last_good(history)
    if last is None or last["result"] != "partial":
        return None
    return "The last release, %s, is in place on some droplets only: %s." % (name_of(last["to"]), last["message"])


def refusal(kind, release, history, force=False):
    """Why a release is not made by site.yml or deploy.yml, in at most two sentences, or None.

    Args:
        release: `version` and `commit`.
    """
    if kind not in ("deploy", "site") or force:
        return None
    record = taken_back(history).get(release["commit"])
    if record:
        return (
            "%s was taken back at %s by %s, and is not released again by itself: set litefarm_version to what runs now (%s) in the inventory, or to a "
            "better version, or give -e litefarm_force=true." % (name_of(release), record["time"], record["who"], name_of(record["to"]))
        )
    present = superseded(history, release["commit"])
    if present:
        return (
            "%s has run since %s (%s by %s), and %s is an older release of this environment, so this checkout may have older settings too: get the "
            "team's newest checkout, or set litefarm_version to %s. To go back on purpose, run playbooks/rollback.yml -e litefarm_to=%s, or give "
            "-e litefarm_force=true."
            % (
                name_of(present["to"]), present["time"], present["kind"], present["who"], name_of(release), present["to"]["version"],
                release["version"] or release["commit"],
            )
        )  # fmt: skip
    return None


def present_release(history):
    """The record of the release that the environment runs, None if it has run none, or LedgerError if it runs two."""
    present = last_good(history)
    if present is not None and present["result"] == "partial":
        raise LedgerError(
            "The environment runs two releases: %s, and %s. Release one of them everywhere first, with playbooks/deploy.yml or playbooks/rollback.yml."
            % (name_of(present["to"]), present["message"])
        )
    return present


def rollback_target(history, wanted=None, force=False):
    """The record of the release to go back to, or LedgerError."""
    current = last_good(history)
    if current is None:
        raise LedgerError("There is nothing to go back to: the history of this environment has no release that ended well.")
    running = current["to"]
    kept, versions = {}, {}
    for each in reversed(history):
        if each["result"] in IN_PLACE and each["to"]["commit"]:
            kept.setdefault(each["to"]["commit"], each)
            versions.setdefault(each["to"]["version"], set()).add(each["to"]["commit"])
    # Commit to what is said against it.
    marks = {} if force else {**dict.fromkeys(failed(history), "failed when it was last released"), **dict.fromkeys(taken_back(history), "was taken back")}
    if wanted:
        return _named(str(wanted).strip(), kept, versions, current, marks)
    if current["result"] == "partial" and current["kind"] == "rollback":
        # The droplets that it left out have still to follow.
        return current
    # What ran on some droplets only is a target for those who name it.
    whole = {each["to"]["commit"] for each in history if each["result"] == "ok"}
    earlier = {commit: each for commit, each in kept.items() if commit != running["commit"] and commit in whole}
    if not earlier:
        raise LedgerError("There is nothing to go back to: %s is the only release that all of this environment has run." % name_of(running))
    target = next((each for commit, each in earlier.items() if commit not in marks), None)
    if target is None:
        reasons = ", ".join("%s %s" % (name_of(each["to"]), marks[commit]) for commit, each in list(earlier.items())[:10])
        raise LedgerError(
            "There is no earlier release to go back to: %s runs now, and %s. If it has to be one of the others, name it with -e litefarm_to=VERSION "
            "-e litefarm_force=true." % (name_of(running), reasons)
        )
    return target


def _named(wanted, kept, versions, current, marks):
    running = current["to"]
    matches = [each for commit, each in kept.items() if commit in versions.get(wanted, ())]
    if not matches and COMMIT.match(wanted.lower()):
        matches = [each for commit, each in kept.items() if commit.startswith(wanted.lower())]
    others = [each for commit, each in kept.items() if commit != running["commit"]]
    if not matches:
        known = "there are %s" % _names(others) if others else "there is no other one than %s, which runs now" % name_of(running)
        raise LedgerError("There is no release %s in the history of this environment: %s." % (wanted, known))
    if len(matches) > 1:
        raise LedgerError("%s names %d releases (%s): give the commit, or more of it." % (wanted, len(matches), _names(matches)))
    target = matches[0]
    if target["to"]["commit"] == running["commit"] and current["result"] != "partial":
        raise LedgerError("%s is what runs now: name another release (%s)." % (name_of(running), _names(others) or "there is no other one in the history"))
    mark = marks.get(target["to"]["commit"])
    if mark:
        raise LedgerError("%s %s: give -e litefarm_force=true if it has to be this one." % (name_of(target["to"]), mark))
    return target


def _names(records):
    names = [name_of(each["to"]) for each in records]
    return ", ".join(names[:10]) + (" and %d older ones" % (len(names) - 10) if len(names) > 10 else "")
