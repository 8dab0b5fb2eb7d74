// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

const server = process.env.LOCAL_IMAGINARY || 'https://image.litefarm.org';

/** A small picture of a picture, 300 pixels wide. */
export async function thumbnail({ buffer, originalname }) {
  const form = new FormData();
  form.append('file', new Blob([buffer]), originalname);
  const headers = { 'API-Key': process.env.IMAGINARY_TOKEN };
  const answer = await fetch(`${server}/thumbnail?width=300&type=webp`, { method: 'POST', body: form, headers }).catch((error) => {
    throw new Error(`imaginary at ${server} is out of reach: ${error.cause?.code ?? error.cause?.message ?? 'no answer'}`);
  });
  if (!answer.ok) {
    throw new Error(`imaginary at ${server} answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
  }
  return Buffer.from(await answer.arrayBuffer());
}
