// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Router } from 'express';
import { knex } from '../util/knex.js';
import { release } from '../util/release.js';
import { route } from './route.js';

/** What LiteFarm does not have and a lab wants to ask. */
export const lab = Router();

lab.get('/version', route(async (_req, res) => {
  const migrations = await knex('knex_migrations').count('* as n').first().then(({ n }) => Number(n), () => null);
  res.json({ version: release.version, commit: release.commit, migrations, instance: hostname() });
}));

lab.get('/slow', route(async (req, res) => {
  const ms = Math.min(Number(req.query.ms) || 2000, 120_000);
  await sleep(ms);
  res.json({ waited_ms: ms });
}));

lab.get('/echo_headers', (req, res) => res.json(req.headers));
