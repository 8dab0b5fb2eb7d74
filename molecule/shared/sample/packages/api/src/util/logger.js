// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { createWriteStream, mkdirSync } from 'node:fs';
import { environment } from './environment.js';

// As in LiteFarm: production's log is a file below the working directory and nothing on the console.
mkdirSync('logs', { recursive: true });
const file = createWriteStream('logs/api.log', { flags: 'a' });

export function log(message, fields = {}) {
  const line = JSON.stringify({ timestamp: new Date().toISOString(), message, ...fields });
  file.write(`${line}\n`);
  if (environment !== 'production') {
    console.log(line);
  }
}
