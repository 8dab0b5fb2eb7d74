// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Run inside the export scheduler's container, in its working directory and with its environment. It comes by standard input, so that it
// runs in containers that were created without it: docker exec --interactive export_scheduler node - VERB < queues.js
//   status                   which queues are paused
//   pause [--check]          jobs in work end, and no further one begins, until `resume`, whatever is restarted or released
//   resume [--check]
//   begin-release SECONDS    the same for a release: queues that are paused already stay as they are, jobs in work get so many seconds
//   end-release              resume what `begin-release` has paused, and nothing else
//   report                   jobs of each queue, and failed ones, as one line of JSON
//   untaken                  for how many seconds a job has waited while none was in work; 0 where all is well
//   failed                   each failed job
//   retry QUEUE [ID]         queue a failed job again, or all of the queue; `retry all` is all of all queues
// --queues=JSON names other queues than LiteFarm's. With --check it only says what would change. The last line says what is so; lines
// "changed: ..." before it say what was done, lines "warning: ..." what a person has to know. Exits with 1 and one sentence if that fails.
'use strict';

// As LiteFarm names them; the space at the end of one belongs to it.
const NAMES = ['retrieve', 'excel', 'zip', 'upload', 'email', 'Schedule driver ', 'Notification API requests'];
// Field for field a queue that a release has paused, and since when. All that an application may use begins with bull:.
const BY_RELEASE = 'bull:litefarm:paused_by_release';
const TIMEOUT = Number(process.env.QUEUES_TIMEOUT_MS || 10000);
const WAIT = Number(process.env.QUEUES_WAIT_MS || 60000);
// LiteFarm ends a job before it has put its successor into the next queue, so no job may be in work for so long.
const QUIET = Number(process.env.QUEUES_QUIET_MS || 1000);
const PAUSE = 250;
// An idle worker takes a job at once. One whose connection has ended twice in a moment asks for none any more.
const TAKEN = Number(process.env.QUEUES_TAKEN_MS || 120000);
const LOOK_AGAIN = Number(process.env.QUEUES_LOOK_AGAIN_MS || 3000);
const DAY = 86400000;

const host = process.env.REDIS_HOST || '127.0.0.1';
const port = Number(process.env.REDIS_PORT || 6379);
const server = `Redis at ${host}:${port}`;

const given = process.argv.slice(2);
const options = given.filter((word) => word.startsWith('--'));
const [verb, ...words] = given.filter((word) => !word.startsWith('--'));
const checking = options.includes('--check');
const listed = options.find((word) => word.startsWith('--queues='));
const names = listed ? JSON.parse(listed.slice('--queues='.length)) : NAMES;

function end(status, sentence) {
  console.log(sentence);
  process.exit(status);
}

// Bull is LiteFarm's, and not beside this program.
function bull() {
  try {
    return require(require.resolve('bull', { paths: [process.cwd()] }));
  } catch (error) {
    return end(1, `the application in ${process.cwd()} has no Bull (${error.code || error.name})`);
  }
}

let last = 'no answer';
const queues = new Map();

function queueOf(name) {
  if (!queues.has(name)) {
    const queue = new (bull())(name, { redis: { host, port, password: process.env.REDIS_PASSWORD } });
    queue.on('error', (error) => {
      last = error.code || error.message.split(' ')[0];
      // Waiting would not make the password right.
      if (/^(WRONGPASS|NOAUTH|NOPERM)/.test(error.message)) end(1, `${server} refuses the password (${last})`);
      if (error.code === 'ECONNREFUSED') end(1, `${server} is not reachable (${last})`);
    });
    queues.set(name, queue);
  }
  return queues.get(name);
}

const all = () => names.map(queueOf);
const quoted = (list) => list.map((queue) => `'${queue.name}'`).join(', ');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function client() {
  const queue = queueOf(names[0]);
  await queue.isReady();
  return queue.client;
}

async function paused(list) {
  const answers = await Promise.all(list.map((queue) => queue.isPaused()));
  return list.filter((_queue, index) => answers[index]);
}

async function counts(list, count) {
  const answers = await Promise.all(list.map(count));
  return list.map((queue, index) => ({ queue, count: answers[index] })).filter((each) => each.count);
}

const sum = (found) => found.reduce((total, each) => total + each.count, 0);
const active = () => counts(all(), (queue) => queue.getActiveCount());

// Returns the jobs that are still in work after so many milliseconds.
async function waitForJobs(ms) {
  const limit = Date.now() + ms;
  let [left, since] = [await active(), Date.now()];
  while (left.length ? Date.now() < limit : Date.now() < since + QUIET) {
    await sleep(PAUSE);
    const before = left;
    left = await active();
    if (before.length) since = Date.now();
  }
  return left;
}

async function state() {
  const quiet = await paused(all());
  const ours = await (await client()).hkeys(BY_RELEASE);
  const released = quiet.filter((queue) => ours.includes(queue.name));
  const waiting = sum(await counts(all(), (queue) => queue.getWaitingCount()));
  const what = quiet.length === 0 ? 'all queues work' : quiet.length === names.length ? 'all queues are paused' : `paused: ${quoted(quiet)}`;
  const by = released.length ? `; by a release: ${quoted(released)}` : '';
  return `${what}${by}; ${waiting} jobs wait, ${sum(await active())} are in work`;
}

// Not what is paused: Bull's script would put what waits meanwhile in the place of what was waiting.
async function pauseOthers() {
  const quiet = await paused(all());
  for (const queue of all().filter((each) => !quiet.includes(each))) {
    if (!checking) await queue.pause();
    console.log(`changed: '${queue.name}' ${checking ? 'would be ' : ''}paused`);
  }
}

async function pause() {
  const redis = await client();
  const quiet = await paused(all());
  for (const queue of quiet) {
    // A release that ends later must not end this pause.
    if (await redis.hexists(BY_RELEASE, queue.name)) console.log(`changed: '${queue.name}' ${checking ? 'would stay' : 'stays'} paused after the release`);
  }
  if (!checking) await redis.hdel(BY_RELEASE, ...names);
  await pauseOthers();
  clearTimeout(timer);
  if (!checking) {
    await waitForJobs(WAIT);
    // A release may have been about to resume one just then.
    await pauseOthers();
  }
  end(0, await state());
}

async function resume() {
  for (const queue of await paused(all())) {
    if (!checking) await queue.resume();
    console.log(`changed: '${queue.name}' ${checking ? 'would be ' : ''}resumed`);
  }
  if (!checking) await (await client()).hdel(BY_RELEASE, ...names);
  clearTimeout(timer);
  end(0, await state());
}

async function beginRelease() {
  const redis = await client();
  const quiet = await paused(all());
  for (const queue of all().filter((each) => !quiet.includes(each))) {
    // First: what is paused without it is taken for a person's.
    await redis.hset(BY_RELEASE, queue.name, Date.now());
    await queue.pause();
  }
  clearTimeout(timer);
  const left = await waitForJobs(Number(words[0]) * 1000);
  if (left.length) {
    const which = left.map(({ queue, count }) => `${count} of '${queue.name}'`).join(', ');
    const fate = 'Each is done again by the new container, unless it had been cut off before: then it fails';
    console.log(`warning: ${sum(left)} jobs were still in work after ${words[0]} s and are cut off: ${which}. ${fate}, and litefarm-queues failed lists it.`);
  }
  end(0, await state());
}

async function endRelease() {
  const redis = await client();
  for (const name of await redis.hkeys(BY_RELEASE)) {
    const queue = queueOf(name);
    // Once more: `pause` may have taken it over just now. Resumed first, because without its field nobody would resume it.
    if ((await redis.hexists(BY_RELEASE, name)) && (await queue.isPaused())) {
      await queue.resume();
      console.log(`changed: '${name}' resumed`);
    }
    await redis.hdel(BY_RELEASE, name);
  }
  clearTimeout(timer);
  end(0, await state());
}

// The first line of a reason, without addresses that exports were to be mailed to.
const shown = (reason) => (reason || 'no reason').split('\n')[0].replace(/[^\s<>"']+@[^\s<>"']+/g, '(address)').slice(0, 200);

async function failedOf(queue, from, to) {
  const redis = await client();
  const found = await redis.zrange(queue.toKey('failed'), from, to, 'WITHSCORES');
  const jobs = [];
  for (let index = 0; index < found.length; index += 2) {
    const [reason, made] = await redis.hmget(queue.toKey(found[index]), 'failedReason', 'attemptsMade');
    jobs.push({ queue: queue.name, id: found[index], at: Math.round(Number(found[index + 1])), reason: shown(reason), attempts: Number(made || 0) });
  }
  return jobs;
}

// The job that waits for longest in a queue that works on none: its id and for how long; null if there is no such job, or not for too long.
async function untaken(queue) {
  const redis = await client();
  const id = await redis.lindex(queue.toKey('wait'), -1);
  if (id === null || (await queue.getActiveCount())) return null;
  const [made, delay] = await redis.hmget(queue.toKey(id), 'timestamp', 'delay');
  const ms = Date.now() - Number(made) - Number(delay || 0);
  return ms > TAKEN ? { id, seconds: Math.round(ms / 1000) } : null;
}

// Queues that are not paused and in which nobody takes jobs, with the seconds. A job may just have come to its turn, so each is looked at twice.
async function stuck(quiet) {
  const list = all().filter((queue) => !quiet.includes(queue));
  const first = await Promise.all(list.map(untaken));
  if (!first.some((each) => each)) return new Map();
  await sleep(LOOK_AGAIN);
  const second = await Promise.all(list.map(untaken));
  const same = list.map((queue, index) => [queue, first[index] && second[index] && first[index].id === second[index].id ? second[index].seconds : 0]);
  return new Map(same.filter(([, seconds]) => seconds));
}

async function report() {
  const redis = await client();
  const [now, quiet, ours] = [Date.now(), await paused(all()), await redis.hkeys(BY_RELEASE)];
  const found = {};
  let oldest = null;
  const waits = await stuck(quiet);
  for (const queue of all()) {
    const [failed, lately] = [await redis.zcard(queue.toKey('failed')), await redis.zcount(queue.toKey('failed'), now - DAY, '+inf')];
    const by = !quiet.includes(queue) ? '' : ours.includes(queue.name) ? 'a release' : 'a person';
    const [waiting, inWork] = [await queue.getWaitingCount(), await queue.getActiveCount()];
    found[queue.name] = { waiting, active: inWork, untaken: waits.get(queue) || 0, failed, failed_last_day: lately, paused_by: by };
    const [first] = await failedOf(queue, 0, 0);
    if (first && (!oldest || first.at < oldest.at)) oldest = first;
  }
  if (oldest) oldest = { queue: oldest.queue, id: oldest.id, age: Math.max(0, Math.round((now - oldest.at) / 1000)), reason: oldest.reason };
  end(0, JSON.stringify({ queues: found, oldest }));
}

async function untakenOfAll() {
  const waits = [...(await stuck(await paused(all()))).values()];
  // Whoever restarts the scheduler for it would cut off what is in work.
  end(0, String((await active()).length ? 0 : Math.max(0, ...waits)));
}

async function listFailed() {
  const jobs = [];
  for (const queue of all()) jobs.push(...(await failedOf(queue, 0, -1)));
  jobs.sort((one, other) => one.at - other.at);
  for (const job of jobs) console.log(`'${job.queue}' ${job.id}: failed ${new Date(job.at).toISOString().slice(0, 16).replace('T', ' ')} UTC: ${job.reason}`);
  end(0, jobs.length ? `${jobs.length} jobs have failed: litefarm-queues retry QUEUE ID queues one again` : 'no job has failed');
}

async function retry() {
  const [name, id] = words;
  const wanted = name === 'all' ? all() : all().filter((queue) => queue.name.trim() === (name || '').trim());
  if (!wanted.length) end(1, `there is no queue '${name || ''}': say one of ${quoted(all())}, or all`);
  // Bull would put the job where a resume throws it away.
  const quiet = await paused(wanted);
  if (quiet.length) end(1, `${quoted(quiet)} is paused, so nothing was queued: resume it first, by maintenance.yml -e litefarm_state=off`);
  const redis = await client();
  let queued = 0;
  for (const queue of wanted) {
    const ids = id ? [id] : await redis.zrange(queue.toKey('failed'), 0, -1);
    for (const each of ids) {
      const job = (await redis.zscore(queue.toKey('failed'), each)) === null ? null : await queue.getJob(each);
      if (!job) end(1, `'${queue.name}' has no failed job ${each}: litefarm-queues failed lists them`);
      // Else the next stop would count as one too many.
      await redis.hdel(queue.toKey(each), 'stalledCounter');
      await job.retry();
      console.log(`changed: '${queue.name}' ${each} queued again`);
      queued += 1;
    }
  }
  end(0, `${queued} jobs were queued again`);
}

const VERBS = {
  status: async () => end(0, await state()),
  pause,
  resume,
  'begin-release': beginRelease,
  'end-release': endRelease,
  report,
  untaken: untakenOfAll,
  failed: listFailed,
  retry,
};
if (!VERBS[verb]) end(1, `say ${Object.keys(VERBS).join(', ')}`);
if (verb === 'begin-release' && !(Number(words[0]) >= 0)) end(1, 'say for how many seconds jobs in work are waited for: begin-release 60');
if (!names.length) end(0, verb === 'report' ? JSON.stringify({ queues: {}, oldest: null }) : 'no queues are named');
const timer = setTimeout(() => end(1, `${server} does not answer within ${TIMEOUT} ms`), TIMEOUT);
VERBS[verb]().catch((error) => end(1, `${server}: ${error.message}`));
