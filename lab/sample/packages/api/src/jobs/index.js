// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The export scheduler: it has no port, and works on what the API puts into Redis and on what the clock says.
import { misbehave } from '../misbehave.js';
import { queue } from '../util/queues.js';
import { log } from '../util/logger.js';
import { release } from '../util/release.js';
import { processExports } from './exports.js';
import { sendNotifications } from './notifications.js';
import { requestPrescriptions } from './prescriptions.js';

misbehave.atStartOfScheduler();
log(`Sample scheduler ${release.version} starts`);

processExports(queue);
sendNotifications(queue);
requestPrescriptions();
