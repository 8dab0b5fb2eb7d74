# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores into a database of another name on the server that serves, for a person who wants to look or to copy rows by hand.

The data are restored and replayed as for a restore, in a folder and by a server of their own, which archives nothing. What it holds is
dumped into a new database of the live server, which is never stopped.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil

from ._container_service.model import ServiceError
from ._postgres_archive import folder_bytes
from ._postgres_restore import ASK_TIMEOUT, FETCH_TIMEOUT, PAUSE, SOCKET, SPARE, Journal, Restore, RestoreError

COPY_STEPS = ("plan", "fetch", "replay", "check", "promote", "load")
TOOL = "postgres_copy_tool"
LIVE_SOCKET = "/run/live"  # the live server's, in the container of the copy
# One name for all copies, which no person may give: what a killed copy has left is found by the next one.
LOADING = "restore.loading"
RESTARTED_WITHIN = 30  # seconds
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
SYSTEM = ("postgres", "template0", "template1")

# The objects keep their owners: a table that is copied back by hand must belong to the application's role. A subscription would reach
# another server.
LOAD = r"""
set -euo pipefail
pg_dump --host=%s --username=postgres --format=custom --compress=0 --lock-wait-timeout=60s --no-publications --no-subscriptions --dbname="$1" |
    pg_restore --host=%s --username=postgres --exit-on-error --dbname="$2"
""" % (SOCKET, LIVE_SOCKET)

# Sorted as the application's. The catalogue's columns differ between the major versions.
CREATE_SQL = """
SELECT format('CREATE DATABASE "%(loading)s" TEMPLATE template0 ENCODING %%L LC_COLLATE %%L LC_CTYPE %%L', pg_encoding_to_char(encoding), datcollate, datctype)
  || CASE d->>'datlocprovider'
    WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %%L', coalesce(d->>'datlocale', d->>'daticulocale'))
    WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %%L', d->>'datlocale')
    ELSE '' END
FROM (SELECT *, to_jsonb(pg_database) AS d FROM pg_database WHERE datname = '%(database)s') AS found
"""


class Notes(Journal):
    """Of a copy, which starts over after it was killed: nothing is written down."""

    def __init__(self):
        self.data = {}

    def note(self, **more):
        self.data.update(more)


class Copy(Restore):
    """The application's database as of a target, as another database of the live server."""

    folder = "pgdata.copied"
    server_name = "postgres_copy"
    spool = "spool.copied"
    removable = "pgdata.before-…"

    def __init__(self, params, engine, clock, reached):
        super().__init__(params, engine, clock, reached, tool=TOOL)
        self.wanted = params["copy_to"]

    def _open_journal(self):
        return Notes()

    # -- operations ------------------------------------------------------------------------------------------------------------

    def plan(self):
        """What a copy would bring, or why it is refused."""
        self._live_server()
        try:
            return super().plan()
        finally:
            self._remove_spool()

    def copy(self):
        """All steps. Whatever fails leaves the live server without a trace of them."""
        target, live = self._target(), self._live_server()
        self._clear_files()
        self._clear_database(live)
        try:
            plan, resolved = self._plan(target)
            self.changed = True
            self.journal.note(plan=plan, resolved=resolved._asdict())
            self.reached("plan")
            if plan["cluster"] == self._own_cluster():
                self._archive_last_wal(target, live)
                self._resolve_again(target)
            for step in COPY_STEPS[1:]:
                getattr(self, "_" + step)(target)
                self.reached(step)
        finally:
            self._remove_tool()
            self._clear_files()
            self._clear_database_soon(live)
        return plan

    def _live_server(self):
        """The live server, if the new database may be created on it."""
        database, wanted = self.params["database"], self.wanted
        if not NAME.fullmatch(wanted):
            raise RestoreError(
                "litefarm_database is '%s', which is no plain name: write at most 63 lower-case letters, digits and underscores, not beginning with a digit."
                % wanted
            )
        if wanted == database or wanted in SYSTEM:
            owner = "the application's own database" if wanted == database else "a database of PostgreSQL itself"
            raise RestoreError("litefarm_database is %s, which is %s: give another name, such as %s_before." % (wanted, owner, database))
        live = self._live()
        if not self._serves(live):
            raise RestoreError(
                "The database server %s does not run, so there is nothing to copy into: start it with site.yml, or restore without -e litefarm_database=…"
                % self.params["name"]
            )
        if self._query(live.id, "SELECT count(*) FROM pg_database WHERE datname = '%s'" % wanted) != "0":
            raise RestoreError(
                "The database %s exists already: give another name, or remove it with docker exec %s dropdb -U postgres %s."
                % (wanted, self.params["name"], wanted)
            )
        return live

    def _clear_files(self):
        """The restored server and its data, of this copy or of one that was killed."""
        self._remove(self._server())
        if os.path.exists(self.restored):
            shutil.rmtree(self.restored)
            self.changed = True
        self._remove_spool()

    def _remove_spool(self):
        """pgBackRest's container, also that of a plan, cannot be without it."""
        shutil.rmtree("%s/%s" % (self.state, self.spool), ignore_errors=True)

    def _clear_database(self, live):
        """What was loaded of a copy that did not come to its end."""
        if self._loading(live):
            self._query(live.id, 'DROP DATABASE IF EXISTS "%s" WITH (FORCE)' % LOADING)
            self.changed = True

    def _clear_database_soon(self, live):
        """A server that is being restarted is waited for. One that is lost keeps it until the next copy: what is told is why this one failed."""
        limit = self.clock.monotonic() + RESTARTED_WITHIN
        while self.clock.monotonic() < limit:
            with contextlib.suppress(RestoreError, ServiceError):
                self._clear_database(live)
                return
            self.clock.sleep(PAUSE)

    def _loading(self, live):
        """Size of the database that a killed copy was loading, if there is one."""
        return int(self._query(live.id, "SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database WHERE datname = '%s'" % LOADING))

    # -- what differs from a restore -------------------------------------------------------------------------------------------

    def _needed(self, size):
        purpose = "a copy needs %s, for the restored files, the database that is loaded from them, and its WAL"
        return int(size * 1.1) + 2 * size + SPARE, purpose

    def _free(self):
        # What a killed copy has left is removed first.
        live = self._live()
        return super()._free() + folder_bytes(self.restored) + (self._loading(live) if live else 0)

    def _lost(self, plan, writes):
        return []

    def _mounts(self):
        return [*super()._mounts(), (self.state + "/socket", LIVE_SOCKET, True)]

    def _promote(self, target):
        """In recovery, a transaction that had not ended at the target keeps its locks, and a dump waits for them."""
        self._leave_recovery(target, self._running_server(target))

    def _load(self, target):
        """The application's database is loaded under a name of no meaning, and gets its own when it is complete."""
        live, server = self._live_server(), self._running_server(target)
        database = self.params["database"]
        create = self._query(server.id, CREATE_SQL % {"loading": LOADING, "database": database.replace("'", "''")})
        self._query(live.id, create, timeout=FETCH_TIMEOUT)
        # Only the superuser may log in to it; playbooks/site.yml would take the right away, too.
        self._query(live.id, 'REVOKE ALL ON DATABASE "%s" FROM PUBLIC' % LOADING)
        code, output, errors = self.engine.execute(server.id, ["bash", "-c", LOAD, "load", database, LOADING], FETCH_TIMEOUT)
        if code:
            raise RestoreError("The database could not be loaded: %s" % self._first_error(errors or output))
        comment = "%s as of %s" % (database, self.journal.data["plan"]["restores_to"])
        self._query(live.id, "COMMENT ON DATABASE \"%s\" IS '%s'" % (LOADING, comment.replace("'", "''")))
        self._query(live.id, 'ALTER DATABASE "%s" RENAME TO "%s"' % (LOADING, self.wanted), timeout=ASK_TIMEOUT)

    @staticmethod
    def _first_error(text):
        lines = [line for line in text.splitlines() if line.strip()]
        return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it said nothing")[:300]
