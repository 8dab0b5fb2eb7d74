// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

/** An asynchronous handler whose failure reaches the error handler. */
export const route = (handler) => (req, res, next) => handler(req, res, next).catch(next);
