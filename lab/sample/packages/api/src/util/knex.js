// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import Knex from 'knex';
import knexfile from '../../.knex/knexfile.js';
import { environment } from './environment.js';

export const knex = Knex(knexfile[environment] ?? knexfile.development);
