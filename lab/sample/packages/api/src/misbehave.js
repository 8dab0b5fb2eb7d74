// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { behaves, release } from './util/release.js';

const MEBIBYTE = 1024 * 1024;
const hoard = [];

/** Bad releases for the tests: release.json says which. */
export const misbehave = {
  atStart() {
    if (behaves('crash-at-start')) {
      console.error(`error: release ${release.version} crashes at start (behaviour "crash-at-start" in release.json)`);
      process.exit(1);
    }
    if (behaves('never-listens')) {
      setInterval(() => {}, 60_000);
    }
  },

  atStartOfScheduler() {
    if (behaves('scheduler-crashes')) {
      console.error(`error: release ${release.version} has a scheduler that crashes (behaviour "scheduler-crashes" in release.json)`);
      process.exit(1);
    }
  },

  onceUp() {
    if (behaves('crash-later')) {
      setTimeout(() => {
        throw new Error(`release ${release.version} dies 5 s after its start (behaviour "crash-later" in release.json)`);
      }, 5_000);
    }
    // Buffers are outside of V8's heap: it is the container's limit that ends this, not Node's own.
    if (behaves('out-of-memory')) {
      setInterval(() => hoard.push(Buffer.alloc(16 * MEBIBYTE, 1)), 50);
    }
  },
};
