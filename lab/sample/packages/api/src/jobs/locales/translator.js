// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { existsSync, readFileSync } from 'node:fs';

const LANGUAGES = ['en', 'es', 'pt', 'fr', 'de', 'hi', 'pa', 'ml', 'km'];
const FILES = ['translation', 'crop'];

const file = (language, name) => `src/jobs/locales/${language}/${name}.json`;
const missing = LANGUAGES.flatMap((language) => FILES.map((name) => file(language, name))).filter((path) => !existsSync(path));
if (missing.length) {
  console.error(`error: missing: ${missing.join(', ')}; an image of the scheduler has crop.json from packages/webapp/public/locales`);
  process.exit(1);
}
const read = (language) => Object.fromEntries(FILES.map((name) => [name, JSON.parse(readFileSync(file(language, name)))]));
const words = Object.fromEntries(LANGUAGES.map((language) => [language, read(language)]));

/** Words and names of crops in a language, or in English; a key that nobody knows stands for itself. */
export function translator(language) {
  const { translation, crop } = words[language] ?? words.en;
  return { word: (key) => translation[key] ?? key, crop: (key) => crop[key] ?? key };
}
