// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

export async function up(knex) {
  await knex.schema.createTable('farm', (table) => {
    table.uuid('farm_id').primary().defaultTo(knex.raw('uuid_generate_v1()'));
    table.string('farm_name').notNullable();
  });
  await knex.schema.createTable('userFarm', (table) => {
    table.uuid('user_id').references('user_id').inTable('users').notNullable();
    table.uuid('farm_id').references('farm_id').inTable('farm').notNullable();
    table.primary(['user_id', 'farm_id']);
  });
}

export async function down(knex) {
  await knex.schema.dropTable('userFarm');
  await knex.schema.dropTable('farm');
}
