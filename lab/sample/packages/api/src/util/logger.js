// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { createWriteStream, mkdirSync } from 'node:fs';

// As in LiteFarm: the log goes to the console and to a file below the working directory, and without that folder nothing starts.
mkdirSync('logs', { recursive: true });
const file = createWriteStream('logs/combined.log', { flags: 'a' });

export function log(message, fields = {}) {
  const line = JSON.stringify({ timestamp: new Date().toISOString(), message, ...fields });
  file.write(`${line}\n`);
  console.log(line);
}
