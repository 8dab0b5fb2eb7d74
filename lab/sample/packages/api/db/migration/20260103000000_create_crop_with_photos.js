// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// As in LiteFarm, the environment is written into data: photos come from its public bucket.
const BUCKETS = { production: 'litefarmapp', integration: 'litefarmbeta' };

export async function up(knex) {
  await knex.schema.createTable('crop', (table) => {
    table.increments('crop_id');
    table.string('crop_common_name').notNullable();
    table.string('crop_photo_url').notNullable();
  });
  const bucket = process.env.PUBLIC_BUCKET_NAME ?? BUCKETS[process.env.NODE_ENV] ?? 'litefarm';
  await knex('crop').insert(
    ['Barley', 'Cassava', 'Lentil'].map((name) => ({
      crop_common_name: name,
      crop_photo_url: `https://${bucket}.nyc3.cdn.digitaloceanspaces.com/default_crop/${name.toLowerCase()}.webp`,
    })),
  );
}

export async function down(knex) {
  await knex.schema.dropTable('crop');
}
