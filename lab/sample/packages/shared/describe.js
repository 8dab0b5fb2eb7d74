// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

/** How both packages name themselves, in a log and on a page. */
export function describe(part, { version }) {
  return `Sample ${part} ${version}`;
}
