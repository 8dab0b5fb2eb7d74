// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Asked inside the export scheduler's container, in its working directory and with its environment:
//   node queues.js status           which queues are paused
//   node queues.js pause [--check]  jobs in work end, and no further one begins, whoever asks for it and whatever is restarted
//   node queues.js resume [--check]
// With --check it only says what would change. The last line says what is so; lines "changed: ..." before it say what was done.
// Exits with 1 and one sentence if Redis does not answer.
'use strict';

// Bull is LiteFarm's, and not beside this file.
const Queue = require(require.resolve('bull', { paths: [process.cwd()] }));

// As LiteFarm names them; the space at the end of one belongs to it.
const NAMES = ['retrieve', 'excel', 'zip', 'upload', 'email', 'Schedule driver ', 'Notification API requests'];
const TIMEOUT = Number(process.env.QUEUES_TIMEOUT_MS || 10000);
const WAIT = Number(process.env.QUEUES_WAIT_MS || 60000);

const host = process.env.REDIS_HOST || '127.0.0.1';
const port = Number(process.env.REDIS_PORT || 6379);
const server = `Redis at ${host}:${port}`;

function end(status, sentence) {
  console.log(sentence);
  process.exit(status);
}

const pausing = process.argv[2] === 'pause';
const checking = process.argv[3] === '--check';
if (!['status', 'pause', 'resume'].includes(process.argv[2])) end(1, 'say status, pause or resume');

const timer = setTimeout(() => end(1, `${server} does not answer within ${TIMEOUT} ms`), TIMEOUT);

async function sum(queues, count) {
  const counts = await Promise.all(queues.map(count));
  return counts.reduce((total, each) => total + each, 0);
}

async function main() {
  const queues = NAMES.map((name) => new Queue(name, { redis: { host, port, password: process.env.REDIS_PASSWORD } }));
  let last = 'no answer';
  queues.forEach((queue) => queue.on('error', (error) => {
    last = error.code || error.message.split(' ')[0];
    // Waiting would not make the password right.
    if (/^(WRONGPASS|NOAUTH|NOPERM)/.test(error.message)) end(1, `${server} refuses the password (${last})`);
    if (error.code === 'ECONNREFUSED') end(1, `${server} is not reachable (${last})`);
  }));
  const paused = new Map();
  for (const queue of queues) paused.set(queue, await queue.isPaused());

  if (process.argv[2] !== 'status') {
    for (const queue of queues) {
      // Not twice: Bull's script would put what waits meanwhile in the place of what was waiting.
      if (paused.get(queue) === pausing) continue;
      if (!checking) await (pausing ? queue.pause() : queue.resume());
      console.log(`changed: '${queue.name}' ${checking ? 'would be ' : ''}${pausing ? 'paused' : 'resumed'}`);
      paused.set(queue, pausing);
    }
  }
  clearTimeout(timer);
  const active = () => sum(queues, (queue) => queue.getActiveCount());
  const limit = Date.now() + WAIT;
  while (pausing && !checking && (await active()) && Date.now() < limit) await new Promise((resolve) => setTimeout(resolve, 250));

  const quiet = queues.filter((queue) => paused.get(queue));
  const waiting = await sum(queues, (queue) => queue.getWaitingCount());
  const state = quiet.length === 0 ? 'all queues work' : quiet.length === queues.length ? 'all queues are paused' : `paused: ${quiet.map((queue) => `'${queue.name}'`).join(', ')}`;
  end(0, `${state}; ${waiting} jobs wait, ${await active()} are in work`);
}

main().catch((error) => end(1, `${server}: ${error.message}`));
