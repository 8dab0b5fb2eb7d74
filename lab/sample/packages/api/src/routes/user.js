// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { Router } from 'express';
import { checkInvitation } from '../middleware/jwt.js';
import { knex } from '../util/knex.js';
import { route } from './route.js';

export const user = Router();

user.post('/', route(async (req, res) => {
  const { email } = req.body;
  if (typeof email !== 'string' || !email.includes('@')) {
    res.status(400).json({ error: { message: 'email is missing' } });
    return;
  }
  const [created] = await knex('users').insert({ email }).onConflict('email').ignore().returning(['user_id', 'email']);
  res.status(created ? 201 : 409).json(created ?? { error: { message: 'this user exists' } });
}));

user.post('/accept_invitation', checkInvitation, (req, res) => res.json({ invited: req.auth }));
