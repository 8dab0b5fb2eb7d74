// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Vite's result without Vite: dist/ with hashed assets, their source maps, a service worker, and the settings baked in.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const release = JSON.parse(readFileSync('release.json'));
if (release.behaviour === 'build-fails') {
  console.error('error: this release does not build (behaviour "build-fails" in release.json)');
  process.exit(1);
}

// As with Vite, the environment wins over the file.
if (existsSync('.env')) {
  process.loadEnvFile('.env');
}
const settings = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('VITE_')));

const hashed = (name, content) => name.replace('[hash]', createHash('sha256').update(content).digest('hex').slice(0, 8));

function write(folder, name, content) {
  const file = hashed(name, content);
  writeFileSync(`dist/${folder}${file}`, content);
  return file;
}

function script(name, source, content) {
  const file = write('assets/', name, content);
  const map = { version: 3, file, sources: [`../../${source}`], sourcesContent: [readFileSync(source, 'utf8')], mappings: 'AAAA' };
  writeFileSync(`dist/assets/${file}.map`, JSON.stringify(map));
  writeFileSync(`dist/assets/${file}`, `${content}\n//# sourceMappingURL=${file}.map\n`);
  return file;
}

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist/assets', { recursive: true });
cpSync('public', 'dist', { recursive: true });

const shared = script('describe-[hash].js', '../shared/describe.js', readFileSync('../shared/describe.js', 'utf8'));
const main = script(
  'index-[hash].js',
  'src/main.js',
  readFileSync('src/main.js', 'utf8')
    .replace('../../shared/describe.js', `./${shared}`)
    .replace('import.meta.release', () => JSON.stringify(release))
    .replace('import.meta.env', () => JSON.stringify(settings)),
);
const style = write('assets/', 'index-[hash].css', readFileSync('src/style.css', 'utf8'));
const workbox = write('', 'workbox-[hash].js', readFileSync('src/workbox.js', 'utf8'));
writeFileSync('dist/sw.js', readFileSync('src/sw.js', 'utf8').replace('./workbox.js', `./${workbox}`));
if (release.behaviour !== 'no-page') {
  const page = readFileSync('index.html', 'utf8').replace('/src/main.js', `/assets/${main}`).replace('/src/style.css', `/assets/${style}`);
  writeFileSync('dist/index.html', page);
}
console.log(`dist: version ${release.version} for ${settings.VITE_ENV ?? 'no environment'}, API ${settings.VITE_API_URL ?? 'not set'}`);
