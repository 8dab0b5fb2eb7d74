// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Whoever deploys the sample can ask for an export at once: fixed ids, in the time zone that the scheduler calls at 4 and 5 o'clock UTC.
const user_id = '5a3bb6f4-0000-4000-8000-0000000000aa';
const farm_id = '5a3bb6f4-0000-4000-8000-000000000001';

export async function up(knex) {
  await knex.schema.alterTable('farm', (table) => {
    table.integer('utc_offset').notNullable().defaultTo(0);
  });
  await knex('users').insert({ user_id, email: 'grower@litefarm.invalid' });
  await knex('farm').insert({ farm_id, farm_name: 'Sample farm' });
  await knex('userFarm').insert({ user_id, farm_id });
}

export async function down(knex) {
  await knex('document').where({ farm_id }).delete();
  await knex('userFarm').where({ farm_id }).delete();
  await knex('farm').where({ farm_id }).delete();
  await knex('users').where({ user_id }).delete();
  await knex.schema.alterTable('farm', (table) => {
    table.dropColumn('utc_offset');
  });
}
