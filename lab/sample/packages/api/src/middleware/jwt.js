// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { expressjwt } from 'express-jwt';

// express-jwt refuses to start without a secret, so the process does, too.
const signedWith = (secret) => expressjwt({ secret, algorithms: ['HS256'] });

export const checkJwt = signedWith(process.env.JWT_SECRET);
export const checkInvitation = signedWith(process.env.JWT_INVITE_SECRET);
export const checkReset = signedWith(process.env.JWT_RESET_SECRET);

const checkScheduler = signedWith(process.env.JWT_SCHEDULER_SECRET);

/** Only for the export scheduler, with a token that was made for this purpose. */
export const schedulerWith = (permission) => [
  checkScheduler,
  (req, res, next) => (req.auth[permission] === true ? next() : res.status(403).send(`No ${permission} access`)),
];
