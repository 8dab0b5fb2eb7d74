// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

const ZONES = Array.from({ length: 26 }, (_, index) => index - 11);

/** These zones, in hours ahead of UTC, have tomorrow's date when their morning comes. */
export const isDayLater = (zone) => zone >= 7;

const weekBegins = (day, zone) => day === (isDayLater(zone) ? 0 : 1);
const SCHEDULES = [
  { localHour: 5, kinds: (day, zone) => ['DailyTasksDue', ...(weekBegins(day, zone) ? ['WeeklyUnassigned'] : [])] },
  { localHour: 4, kinds: () => ['DailyNewIrrigationPrescription'] },
];

/** What is to be sent in which time zones at this hour of this weekday (0 is Sunday), both in UTC. */
export const due = (day, hour) =>
  SCHEDULES.flatMap(({ localHour, kinds }) =>
    ZONES.filter((zone) => (hour + zone - localHour) % 24 === 0).map((zone) => ({ zone, localHour, kinds: kinds(day, zone) })),
  );
