// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { readdirSync, readFileSync } from 'node:fs';

const DIRECTORY = new URL('migration/', import.meta.url);
const A_DAY = 24 * 60 * 60;

/**
 * The files of db/migration, and what release.json asks for on top:
 * "additional_migrations": "2"      two more, each with a table and a column of users; a later release has to keep them, as with files
 * "behaviour": "slow-migration"     one more, which takes "slow_seconds" (20)
 * "behaviour": "bad-migration"      one more, which fails
 * "behaviour": "hanging-migration"  one more, which never ends
 */
export class ReleaseMigrations {
  // Not read before it is needed: the server loads this file too, from dist/, where there is no release.json.
  get release() {
    return JSON.parse(readFileSync(new URL('../release.json', import.meta.url)));
  }

  async getMigrations() {
    const files = readdirSync(DIRECTORY).sort();
    const wanted = Number(this.release.additional_migrations ?? 0);
    const additional = Array.from({ length: wanted }, (_, index) => `additional_${index + 1}`);
    const { behaviour, version } = this.release;
    const names = [...files, ...additional, ...(behaviour.endsWith('-migration') ? [`${behaviour}_${version}`] : [])];
    // As Knex has them of files: its command that lists migrations asks for this property.
    return names.map((file) => ({ file }));
  }

  getMigrationName({ file }) {
    return file;
  }

  async getMigration({ file: name }) {
    if (name.endsWith('.js')) {
      return import(new URL(name, DIRECTORY));
    }
    if (name.startsWith('slow-migration')) {
      return reversible((knex) => knex.raw('SELECT pg_sleep(?)', [Number(this.release.slow_seconds ?? 20)]));
    }
    // In the database, which does not notice when the program is killed: its locks stay, as those of a migration that waits for another's.
    if (name.startsWith('hanging-migration')) {
      return reversible((knex) => knex.raw('SELECT pg_sleep(?)', [A_DAY]));
    }
    if (name.startsWith('bad-migration')) {
      return reversible((knex) => knex.raw('ALTER TABLE "no_such_table" ADD COLUMN "farm_id" uuid'));
    }
    // They only expand, also a table that every release uses: an older one works on with what a newer one has left.
    return {
      up: async (knex) => {
        await knex.schema.createTable(name, (table) => table.increments());
        await knex.schema.alterTable('users', (table) => table.string(name).nullable());
      },
      down: async (knex) => {
        await knex.schema.alterTable('users', (table) => table.dropColumn(name));
        await knex.schema.dropTable(name);
      },
    };
  }
}

function reversible(up) {
  return { up, down: async () => {} };
}
