// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The service that the matrix releases. It says its version; a bad release is well until somebody really uses it, and then never again.
const fs = require('fs');
const http = require('http');

const version = process.env.VERSION;
const unwell = `/state/unwell-${version}`;
let asked = 0;

http
  .createServer((request, response) => {
    if (request.url === '/health') {
      asked += 1;
      response.statusCode = fs.existsSync(unwell) ? 500 : 200;
    } else if (process.env.BAD && asked > Number(process.env.BAD)) {
      fs.writeFileSync(unwell, '');
    }
    response.end(`version ${version}.`);
  })
  .listen(5000);
process.on('SIGTERM', () => process.exit(0));
