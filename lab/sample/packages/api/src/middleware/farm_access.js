// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { knex } from '../util/knex.js';
import { route } from '../routes/route.js';

/** The farm of the header is the one that the request is about, and the token's user belongs to it. */
export const farmAccess = (farmOf) => route(async (req, res, next) => {
  const { farm_id } = req.headers;
  if (!farm_id || !farmOf(req)) {
    res.status(400).json({ message: 'Bad request. Missing farm_id' });
    return;
  }
  const belongs = farmOf(req) === farm_id && (await knex('userFarm').where({ farm_id, user_id: req.auth.user_id }).first());
  if (!belongs) {
    res.status(403).json({ message: 'User is not authorized to access this farm' });
    return;
  }
  next();
});
