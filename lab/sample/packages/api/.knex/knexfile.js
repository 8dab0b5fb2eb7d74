// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { ReleaseMigrations } from '../db/ReleaseMigrations.js';

const migrations = { migrationSource: new ReleaseMigrations() };

const connection = {
  host: process.env.DEV_DATABASE_HOST,
  database: process.env.DEV_DATABASE,
  user: process.env.DEV_DATABASE_USER,
  password: process.env.DEV_DATABASE_PASSWORD,
};

export default {
  development: {
    client: 'postgresql',
    connection: { ...connection, port: process.env.DEV_DATABASE_PORT || 5432 },
    migrations,
  },
  integration: {
    client: 'postgresql',
    connection: { ...connection, ssl: { rejectUnauthorized: false } },
    migrations,
  },
  production: {
    client: 'postgresql',
    connection: process.env.DATABASE_URL,
    migrations,
    // As in LiteFarm: at this level it has no effect. Whether TLS is used is said by DATABASE_URL alone.
    ssl: { rejectUnauthorized: false },
  },
};
