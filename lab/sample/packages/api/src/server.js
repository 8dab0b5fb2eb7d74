// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import express from 'express';
import { describe } from '../../shared/describe.js';
import { misbehave } from './misbehave.js';
import { cors } from './middleware/cors.js';
import { checkJwt, checkReset } from './middleware/jwt.js';
import { document } from './routes/document.js';
import { lab } from './routes/lab.js';
import { login } from './routes/login.js';
import { notificationUser } from './routes/notification_user.js';
import { organicCertifierSurvey } from './routes/organic_certifier_survey.js';
import { scheduled } from './routes/scheduled.js';
import { user } from './routes/user.js';
import { listens } from './util/environment.js';
import { knex } from './util/knex.js';
import { log } from './util/logger.js';
import { behaves, release } from './util/release.js';

const app = express();

// Liveness: answers although the database is away.
app.get('/', (_req, res) => res.sendStatus(200));

app
  .disable('x-powered-by')
  .set('json spaces', 2)
  .use(express.json({ limit: '100kB' }))
  .use(cors)
  .use(lab)
  .use('/login', login)
  .use('/user', user)
  .use('/notification_user', notificationUser)
  .post('/password_reset/validate', checkReset, (req, res) => res.json(req.auth))
  .use(scheduled)
  .use(checkJwt)
  .use('/document', document)
  .use('/organic_certifier_survey', organicCertifierSurvey)
  .use((_req, _res, next) => next(Object.assign(new Error('Not found'), { status: 404 })))
  .use((error, _req, res, _next) => {
    log(error.message, { status: error.status ?? 500 });
    res.status(error.status ?? 500).json({ error: { message: error.message } });
  });

misbehave.atStart();
if (listens && !behaves('never-listens')) {
  const port = process.env.PORT || 5000;
  const server = app.listen(port, () => {
    log(`${describe('API', release)} listening on port ${port}`);
    misbehave.onceUp();
  });
  server.on('close', () => knex.destroy());
}
