// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { randomUUID } from 'node:crypto';
import { extname } from 'node:path';
import { Router } from 'express';
import { farmAccess } from '../middleware/farm_access.js';
import { knex } from '../util/knex.js';
import { queue } from '../util/queues.js';
import { route } from './route.js';

export const organicCertifierSurvey = Router();

organicCertifierSurvey.post('/request_export', farmAccess((req) => req.body.farm_id), route(async (req, res) => {
  const { farm_id, from_date, to_date } = req.body;
  if (!from_date || !to_date) {
    res.status(400).json({ message: 'Bad request. Missing properties' });
    return;
  }
  const { email, language_preference } = await knex('users').where({ user_id: req.auth.user_id }).first();
  const { farm_name } = await knex('farm').where({ farm_id }).first();
  const crops = await knex('crop').select('crop_common_name').orderBy('crop_id');
  const documents = await knex('document')
    .where({ farm_id, archived: false })
    .where((valid) => valid.where('valid_until', '>=', from_date).orWhere({ no_expiration: true }));
  const wanted = {
    exportId: randomUUID(),
    farm_id,
    farm_name,
    email,
    language_preference,
    from_date,
    to_date,
    crops: crops.map(({ crop_common_name }) => crop_common_name.toUpperCase()),
    files: documents.map(({ name, file_name, url }) => ({ url, file_name: `${name}${extname(file_name)}` })),
  };
  // As in LiteFarm: the answer comes first, every request has connections of its own, and nobody catches what goes wrong now.
  res.json({ message: 'Processing', exportId: wanted.exportId });
  queue('retrieve').add(wanted, { removeOnComplete: true });
}));
