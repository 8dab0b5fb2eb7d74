// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import cron from 'node-cron';
import { log } from '../util/logger.js';
import { callApi } from './call_api.js';

/** Once a day, by this process's own clock: two processes would ask twice. */
export function requestPrescriptions() {
  cron.schedule(process.env.MOCK_TIMER ? '* * * * *' : '30 10 * * *', async () => {
    try {
      const answer = await callApi('POST', '/irrigation_prescription_request/scheduler?shouldSend=true', 'requestScheduledEndpoint');
      log(`irrigation prescriptions requested: ${answer.status}`);
    } catch (error) {
      log(`irrigation prescriptions not requested: ${error.message}`);
    }
  });
}
