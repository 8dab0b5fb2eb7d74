// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { environment } from '../util/environment.js';

// As in LiteFarm, written into the code: an environment with other host names replaces the header at its proxy.
const ORIGINS = { development: '*', integration: 'https://beta.litefarm.org' };

export function cors(req, res, next) {
  res.set('Access-Control-Allow-Origin', ORIGINS[environment] ?? 'https://app.litefarm.org');
  res.set('Access-Control-Allow-Headers', 'Origin, X-Requested-With, Content-Type, Accept, Authorization');
  if (req.method === 'OPTIONS') {
    res.set('Access-Control-Allow-Methods', 'PUT, POST, PATCH, DELETE, GET').json({});
    return;
  }
  next();
}
