// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { readFileSync } from 'node:fs';

/** What this release is and how it behaves: see the README of the sample. */
export const release = JSON.parse(readFileSync('release.json'));

/** The environment has the last word, so that one image can be released well and badly. */
export const behaves = (behaviour) => (process.env.SAMPLE_BEHAVIOUR ?? release.behaviour) === behaviour;
