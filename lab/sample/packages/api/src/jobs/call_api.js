// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import jwt from 'jsonwebtoken';

const api = process.env.API_URL || 'http://localhost:5001';

/** One call of the API, with a token for one purpose. Anything but a success is an error. */
export async function callApi(method, path, purpose, body) {
  const token = jwt.sign({ [purpose]: true }, process.env.JWT_SCHEDULER_SECRET, { expiresIn: '1d', algorithm: 'HS256' });
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const answer = await fetch(`${api}${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) {
    throw new Error(`${api}${path} answered ${answer.status}`);
  }
  return answer;
}
