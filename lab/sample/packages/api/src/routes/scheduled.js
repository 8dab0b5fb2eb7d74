// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { Router } from 'express';
import { schedulerWith } from '../middleware/jwt.js';
import { knex } from '../util/knex.js';
import { log } from '../util/logger.js';
import { route } from './route.js';

/** What the export scheduler calls. */
export const scheduled = Router();

const notifications = schedulerWith('requestTimedNotifications');

scheduled.get('/farm/utc_offset_by_range/:min/:max', notifications, route(async (req, res) => {
  const farms = await knex('farm').whereBetween('utc_offset', [req.params.min, req.params.max]).select('farm_id');
  res.json(farms.map(({ farm_id }) => farm_id));
}));

for (const kind of ['daily_due_today_tasks', 'weekly_unassigned_tasks', 'new_irrigation_prescription']) {
  scheduled.post(`/time_notification/${kind}/:farm_id`, notifications, (req, res) => {
    log(`${kind} of farm ${req.params.farm_id} called`);
    res.send('0 notifications sent.');
  });
}

scheduled.post('/irrigation_prescription_request/scheduler', schedulerWith('requestScheduledEndpoint'), (_req, res) => res.json([]));
