// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

export async function up(knex) {
  await knex.schema.alterTable('users', (table) => {
    table.string('language_preference', 5).notNullable().defaultTo('en');
  });
}

export async function down(knex) {
  await knex.schema.alterTable('users', (table) => {
    table.dropColumn('language_preference');
  });
}
