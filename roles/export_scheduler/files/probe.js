// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Asked inside the export scheduler's container, whose environment it uses: does the scheduler work?
//   node probe.js 5       Redis takes the password, and the scheduler holds at least 5 connections to it.
//   node probe.js --api   the API answers.
// Exits with 0, or with 1 and one line that says what is wrong. The scheduler itself runs on for ever with a wrong password.
'use strict';

const fs = require('fs');
const net = require('net');

const TIMEOUT = Number(process.env.PROBE_TIMEOUT_MS || 2000);

function end(status, sentence) {
  console.log(sentence);
  process.exit(status);
}

function command(...words) {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

// Connections from this container to the port, as the kernel lists them: established is state 01, and ports are hexadecimal.
function connections(port) {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return ['/proc/net/tcp', '/proc/net/tcp6']
    .flatMap((path) => (fs.existsSync(path) ? fs.readFileSync(path, 'utf8').split('\n').slice(1) : []))
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '01' && fields[2].endsWith(`:${wanted}`)).length;
}

function askRedis(minimum) {
  const host = process.env.REDIS_HOST || '127.0.0.1';
  const port = Number(process.env.REDIS_PORT || 6379);
  const password = process.env.REDIS_PASSWORD || '';
  const server = `Redis at ${host}:${port}`;
  const questions = [...(password ? [['AUTH', password]] : []), ['PING']];
  const asked = questions.map(([name]) => name);
  let answers = '';

  // Now: later, this program's own connection would be one of them.
  const held = connections(port);

  const socket = net.connect({ host, port });
  setTimeout(() => end(1, `${server} does not answer within ${TIMEOUT} ms`), TIMEOUT);
  socket.on('error', (error) => end(1, `${server} is not reachable (${error.code || error.message})`));
  socket.on('close', () => end(1, `${server} closed the connection`));
  socket.on('connect', () => socket.write(questions.map((words) => command(...words)).join('')));
  socket.on('data', (data) => {
    answers += data;
    const lines = answers.split('\r\n').slice(0, -1);
    const refusal = lines.findIndex((line) => line.startsWith('-'));
    if (refusal >= 0) {
      const [reason] = lines[refusal].slice(1).split(' ');
      end(1, asked[refusal] === 'AUTH' ? `${server} refuses the password (${reason})` : `${server} refuses ${asked[refusal]} (${reason})`);
    }
    if (lines.length < questions.length) return;
    if (lines[lines.length - 1] !== '+PONG') end(1, `${server} does not answer PING with PONG: is it Redis?`);
    if (held < minimum) end(1, `the scheduler holds only ${held} connections to ${server}, wanted ${minimum}`);
    end(0, `${server} takes the password, the scheduler holds ${held} connections`);
  });
}

async function askApi() {
  const url = process.env.API_URL || 'http://localhost:5001';
  try {
    const response = await fetch(`${url}/`, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT * 2) });
    if (!response.ok) end(1, `the API at ${url} answers ${response.status}`);
    end(0, `the API at ${url} answers`);
  } catch (error) {
    end(1, `the API at ${url} does not answer (${(error.cause && error.cause.code) || error.name})`);
  }
}

if (process.argv[2] === '--api') askApi();
else askRedis(Number(process.argv[2] || 1));
