// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { Router } from 'express';
import { behaves } from '../util/release.js';
import { knex } from '../util/knex.js';
import { route } from './route.js';

export const login = Router();

login.get('/user/:email', route(async (req, res) => {
  if (behaves('unready')) {
    throw new Error('this release answers no log-in (behaviour "unready" in release.json)');
  }
  const user = await knex('users').where({ email: req.params.email }).first('user_id');
  res.json({ exists: Boolean(user) });
}));
