// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

export async function up(knex) {
  await knex.schema.createTable('document', (table) => {
    table.uuid('document_id').primary().defaultTo(knex.raw('uuid_generate_v1()'));
    table.uuid('farm_id').references('farm_id').inTable('farm').notNullable();
    table.string('name').notNullable();
    table.string('file_name').notNullable();
    table.string('url').notNullable();
    table.string('thumbnail_url');
    table.date('valid_until');
    table.boolean('no_expiration').notNullable().defaultTo(false);
    table.boolean('archived').notNullable().defaultTo(false);
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
  });
}

export async function down(knex) {
  await knex.schema.dropTable('document');
}
