// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { log } from '../util/logger.js';
import { callApi } from './call_api.js';
import { due, isDayLater } from './due.js';

const mock = Boolean(process.env.MOCK_TIMER);
const MINUTE_MS = 60_000;
const DAY_MS = (mock ? 24 : 24 * 60) * MINUTE_MS;
const PATHS = {
  DailyTasksDue: 'daily_due_today_tasks',
  WeeklyUnassigned: 'weekly_unassigned_tasks',
  DailyNewIrrigationPrescription: 'new_irrigation_prescription',
};

/** With a mock timer a minute is an hour, and the first one is 5 o'clock on a Sunday. */
function clock() {
  let hours = 5;
  const now = () => (mock ? new Date(Date.UTC(2026, 0, 4, hours)) : new Date());
  return { now, tick: () => hours++ };
}

export function sendNotifications(queue) {
  const driver = queue('Schedule driver ');
  const requests = queue('Notification API requests');
  const { now, tick } = clock();

  async function drive() {
    requests.clean(DAY_MS);
    requests.clean(DAY_MS, 'failed');
    const [day, hour] = [now().getUTCDay(), now().getUTCHours()];
    for (const { zone, localHour, kinds } of due(day, hour)) {
      log(`day ${day}, ${hour}:00 UTC: ${localHour} o'clock in zone ${zone}`);
      const range = `${3600 * zone}/${3600 * (zone + 1) - 1}`;
      const farms = await callApi('GET', `/farm/utc_offset_by_range/${range}`, 'requestTimedNotifications');
      for (const farm of await farms.json()) {
        for (const kind of kinds) {
          requests.add({ kind, farm, isDayLaterThanUtc: isDayLater(zone) }, { jobId: `${kind}-${day}-${hour}-${farm}` });
        }
      }
    }
    tick();
  }

  async function request({ kind, farm, isDayLaterThanUtc }) {
    const answer = await callApi('POST', `/time_notification/${PATHS[kind]}/${farm}`, 'requestTimedNotifications', { isDayLaterThanUtc });
    log(`${kind} of farm ${farm}: ${answer.status}, ${await answer.text()}`);
  }

  // With `done`, and without anything that catches: as in LiteFarm, an API that cannot be reached ends this process, and the job
  // that was being done is taken up again by the next one.
  driver.process((_job, done) => {
    drive().then(() => done());
  });
  requests.process((job, done) => {
    request(job.data).then(() => done());
  });
  driver.add({}, { repeat: { cron: `${mock ? '*' : '0'} * * * *` } });
}
