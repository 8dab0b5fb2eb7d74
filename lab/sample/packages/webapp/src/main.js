// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { describe } from '../../shared/describe.js';

// Both are put in at build time.
const release = import.meta.release;
const settings = import.meta.env;

const show = (id, text) => {
  document.getElementById(id).textContent = text;
};

async function askApi(url) {
  if (!url) {
    return 'VITE_API_URL was not set when this page was built.';
  }
  try {
    const response = await fetch(`${url}/version`, { signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    return response.ok ? text : `${url} answers with ${response.status}: ${text}`;
  } catch (error) {
    return `${url} is unreachable from this browser (${error.message}).`;
  }
}

show('webapp-version', describe('webapp', release));
show('webapp-environment', settings.VITE_ENV ?? 'not set');
askApi(settings.VITE_API_URL).then((answer) => show('api-answer', answer));

// Refused where the certificate is not trusted; the page works without it.
navigator.serviceWorker?.register('/sw.js').catch((error) => console.warn(`no service worker: ${error.message}`));
