// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { spawn } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { log } from '../util/logger.js';
import { endpoint, privateBucket } from '../util/spaces.js';
import { translator } from './locales/translator.js';

const FOLDER = process.env.EXPORT_WD;
const temp = (...names) => join(FOLDER, 'temp', ...names);
const QUEUES = ['retrieve', 'excel', 'zip', 'upload', 'email'];

/** From a request in Redis to an archive in the object storage: each step is a queue, and hands on to the next. */
export function processExports(queue) {
  const queues = Object.fromEntries(QUEUES.map((name) => [name, queue(name)]));
  for (const [name, each] of Object.entries(queues)) {
    each.on('error', (error) => log(`queue ${name}: ${error.message}`));
  }
  // A step is over when the next one has its job: whoever is killed in between does a step twice rather than lose an export.
  const handOn = (next, data) => queues[next].add(data, { removeOnComplete: true });
  const step = (name, next, work) => queues[name].process(async (job) => {
    log(`${name} of export ${job.data.exportId}`);
    try {
      await handOn(next, { ...job.data, ...(await work(job.data)) });
    } catch (error) {
      if (!(error instanceof StepFailed)) {
        throw error;
      }
      log(`${name} of export ${job.data.exportId} failed: ${error.message}`);
      await handOn('email', { fail: true, exportId: job.data.exportId, email: job.data.email });
    }
  });
  step('retrieve', 'excel', retrieve);
  step('excel', 'zip', excel);
  step('zip', 'upload', zip);
  step('upload', 'email', upload);
  queues.email.process(async (job) => email(job.data));
}

class StepFailed extends Error {}

/** A missing program is nobody's error here, as in LiteFarm: the process dies of it. */
async function run(program, args, cwd) {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => {
    said = `${said}${data}`.slice(-1000);
  });
  const [status, signal] = await new Promise((resolve) => child.once('close', (...ended) => resolve(ended)));
  if (status !== 0) {
    throw new StepFailed(`${program} ended with ${status ?? signal}: ${said.trim()}`);
  }
}

const copy = (from, to, ...options) => run('aws', ['s3', 'cp', from, to, `--endpoint=${endpoint}`, ...options], FOLDER);

async function retrieve({ exportId, farm_id, files }) {
  await mkdir(temp(exportId), { recursive: true });
  const stored = files.map(({ url }) => basename(url));
  const only = ['--recursive', '--exclude=*', ...stored.map((name) => `--include=${name}`)];
  await copy(`s3://${privateBucket}/${farm_id}/document`, `temp/${exportId}`, ...only);
  for (const { url, file_name } of files) {
    await rename(temp(exportId, basename(url)), temp(exportId, basename(file_name))).catch(() => log(`no file ${basename(url)} in the storage`));
  }
}

async function excel({ exportId, farm_name, from_date, to_date, crops, language_preference }) {
  const { word, crop } = translator(language_preference);
  const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const rows = [[farm_name, from_date, to_date], [word('CROPS')], ...crops.map((key) => [crop(key)])];
  const text = rows.map((row) => row.map(quoted).join(',')).join('\r\n');
  await writeFile(temp(exportId, 'record.csv'), `${text}\r\n`).catch((error) => {
    throw new StepFailed(error.message);
  });
}

const zip = ({ exportId }) => run('zip', ['-r', '-j', `${exportId}.zip`, exportId], temp());

async function upload({ exportId, farm_id }) {
  const file = `${privateBucket}/${farm_id}/document/exports/${Date.now()}.zip`;
  await copy(`temp/${exportId}.zip`, `s3://${file}`);
  // As in LiteFarm, only what was delivered is cleaned up.
  await rm(temp(exportId), { recursive: true, force: true });
  await rm(temp(`${exportId}.zip`), { force: true });
  return { file };
}

function email({ exportId, file, fail }) {
  const missing = ['GMAIL_API_CLIENT_ID', 'GMAIL_API_CLIENT_SECRET', 'GMAIL_REFRESH_TOKEN'].filter((name) => !process.env[name]);
  const outcome = fail ? `export ${exportId} failed` : `export ${exportId} is ready: s3://${file}`;
  // Nobody is named: the log is no place for addresses.
  log(`${outcome}; no mail ${missing.length ? `without ${missing.join(', ')}` : 'from the sample'}`);
}
