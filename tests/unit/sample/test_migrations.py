# Copyright (c) 2026 the litefarm.platform authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations a release of the sample brings, and what each does, without a database."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.node import NODE

API = Path(__file__).parents[3] / "lab" / "sample" / "packages" / "api"
FILES = sorted(path.name for path in (API / "db" / "migration").glob("*.js"))
# Takes down what a migration asks of Knex.
SCRIPT = """
import { ReleaseMigrations } from '%s';
const asked = [];
const table = new Proxy({}, { get: (_, what) => (...words) => { asked.push([what, ...words]); return table; } });
const change = (what) => async (name, build) => { asked.push([what, name]); build?.(table); };
const knex = {
  raw: async (sql, values) => { asked.push(['raw', sql, ...(values ?? [])]); },
  schema: { createTable: change('createTable'), alterTable: change('alterTable'), dropTable: change('dropTable') },
};
const source = new ReleaseMigrations();
const migrations = await source.getMigrations();
const names = migrations.map((migration) => source.getMigrationName(migration));
const done = {};
for (const migration of migrations.filter(({ file }) => !file.endsWith('.js'))) {
  const { up, down } = await source.getMigration(migration);
  const both = [];
  for (const step of [up, down]) { await step(knex); both.push(asked.splice(0)); }
  done[source.getMigrationName(migration)] = both;
}
console.log(JSON.stringify({ names, done }));
"""


@pytest.fixture
def migrations(tmp_path):
    """Names of all migrations of a release with these settings, and what those that are not files do, up and down."""

    def of(**settings):
        shutil.copytree(API / "db", tmp_path / "db", dirs_exist_ok=True)
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "release.json").write_text(json.dumps({"version": "1.2.3", "behaviour": "ok", **settings}))
        script = SCRIPT % (tmp_path / "db" / "ReleaseMigrations.js").as_uri()
        done = subprocess.run(
            [NODE, "--input-type=module", "--eval", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["names"][: len(FILES)] == FILES
        return found["names"][len(FILES) :], found["done"]

    return of


def test_a_release_brings_its_files_and_no_more(migrations):
    assert migrations() == ([], {})


def test_additional_migrations_expand_and_can_be_undone(migrations):
    names, done = migrations(additional_migrations="2")
    assert names == ["additional_1", "additional_2"]
    up, down = done["additional_2"]
    assert up == [
        ["createTable", "additional_2"], ["increments"],
        # An older release fills no column of which it knows nothing.
        ["alterTable", "users"], ["string", "additional_2"], ["nullable"],
    ]  # fmt: skip
    assert down == [["alterTable", "users"], ["dropColumn", "additional_2"], ["dropTable", "additional_2"]]


def test_later_releases_keep_what_an_earlier_one_brought(migrations):
    fewer, more = migrations(additional_migrations="1")[0], migrations(additional_migrations="3")[0]
    assert more[: len(fewer)] == fewer


@pytest.mark.parametrize(
    ("behaviour", "settings", "does"),
    [
        ("slow-migration", {}, ["raw", "SELECT pg_sleep(?)", 20]),
        ("slow-migration", {"slow_seconds": "3"}, ["raw", "SELECT pg_sleep(?)", 3]),
        ("hanging-migration", {}, ["raw", "SELECT pg_sleep(?)", 86400]),
        ("bad-migration", {}, ["raw", 'ALTER TABLE "no_such_table" ADD COLUMN "farm_id" uuid']),
    ],
)
def test_a_bad_migration_comes_last_and_under_a_name_of_its_release(migrations, behaviour, settings, does):
    names, done = migrations(behaviour=behaviour, additional_migrations="1", **settings)
    assert names == ["additional_1", f"{behaviour}_1.2.3"]
    assert done[f"{behaviour}_1.2.3"] == [[does], []]
