// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { readdirSync, readFileSync } from 'node:fs';

const DIRECTORY = new URL('migration/', import.meta.url);

/**
 * The files of db/migration, and what release.json asks for on top:
 * "additional_migrations": "2"   two more, each with a table; a later release has to keep them, as with files
 * "behaviour": "slow-migration"  one more, which takes "slow_seconds" (20)
 * "behaviour": "bad-migration"   one more, which fails
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
    return [...files, ...additional, ...(behaviour.endsWith('-migration') ? [`${behaviour}_${version}`] : [])];
  }

  getMigrationName(name) {
    return name;
  }

  async getMigration(name) {
    if (name.endsWith('.js')) {
      return import(new URL(name, DIRECTORY));
    }
    if (name.startsWith('slow-migration')) {
      return reversible((knex) => knex.raw('SELECT pg_sleep(?)', [Number(this.release.slow_seconds ?? 20)]));
    }
    if (name.startsWith('bad-migration')) {
      return reversible((knex) => knex.raw('ALTER TABLE "no_such_table" ADD COLUMN "farm_id" uuid'));
    }
    return {
      up: (knex) => knex.schema.createTable(name, (table) => table.increments()),
      down: (knex) => knex.schema.dropTable(name),
    };
  }
}

function reversible(up) {
  return { up, down: async () => {} };
}
