// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { readFileSync } from 'node:fs';
import { Router } from 'express';
import { log } from '../util/logger.js';

const HEARTBEAT_MS = 45_000;
const welcome = readFileSync(new URL('../templates/welcome.txt', import.meta.url), 'utf8').trim();

export const notificationUser = Router();

// Server-sent events. The subscription lives as long as this connection does, in this process only.
notificationUser.get('/subscribe', (req, res) => {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Content-Encoding': 'identity',
    Connection: 'keep-alive',
    'Cache-Control': 'no-cache',
    'X-Accel-Buffering': 'no',
  });
  const send = (data) => res.write(`data: ${JSON.stringify(data)}\n\n`);
  send({ delta: 0, welcome });
  // A test need not wait for LiteFarm's 45 s.
  const heartbeat = setInterval(() => send({ delta: 0 }), Number(req.query.heartbeat_ms) || HEARTBEAT_MS);
  log('subscription opened');
  req.on('close', () => {
    clearInterval(heartbeat);
    log('subscription closed');
  });
});
