// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// LiteFarm compiles TypeScript into this layout; here the sources only move: dist/app/src, dist/app/.knex, dist/shared.
import { cpSync, readFileSync, rmSync, statSync } from 'node:fs';

if (JSON.parse(readFileSync('release.json')).behaviour === 'build-fails') {
  console.error('error: this release does not build (behaviour "build-fails" in release.json)');
  process.exit(1);
}

const onlyCode = { recursive: true, filter: (path) => statSync(path).isDirectory() || path.endsWith('.js') };
rmSync('dist', { recursive: true, force: true });
cpSync('src', 'dist/app/src', onlyCode);
cpSync('.knex', 'dist/app/.knex', onlyCode);
cpSync('db', 'dist/app/db', onlyCode);
cpSync('../shared', 'dist/shared', onlyCode);
