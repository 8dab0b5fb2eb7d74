// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { randomUUID } from 'node:crypto';
import { extname, parse } from 'node:path';
import { Router } from 'express';
import multer from 'multer';
import { farmAccess } from '../middleware/farm_access.js';
import { thumbnail } from '../util/imaginary.js';
import { knex } from '../util/knex.js';
import { log } from '../util/logger.js';
import { store } from '../util/spaces.js';
import { route } from './route.js';

const TEXTS = ['.csv', '.doc', '.docb', '.docm', '.docx', '.dot', '.dotm', '.dotx', '.txt', '.xls', '.xlsx'];
const SMALL_PICTURES = ['.svg', '.webp'];

const oneFile = multer({ storage: multer.memoryStorage() }).single('_file_');

export const document = Router();

function receive(req, res, next) {
  oneFile(req, res, (error) => {
    if (error || !req.file) {
      res.status(400).send({ message: 'attachment could not be uploaded' });
      return;
    }
    next();
  });
}

/** Stores the file, and of a picture a smaller one. */
async function keep(farm_id, file) {
  const extension = extname(file.originalname);
  const original = () => store(`${farm_id}/document/${randomUUID()}${extension}`, file.buffer);
  if (TEXTS.includes(extension)) {
    return { url: await original() };
  }
  if (SMALL_PICTURES.includes(extension)) {
    const url = await original();
    return { url, thumbnail_url: url };
  }
  const [small, url] = await Promise.all([thumbnail(file), original()]);
  return { url, thumbnail_url: await store(`${farm_id}/thumbnail/${randomUUID()}.webp`, small) };
}

const supported = ({ originalname, mimetype }) =>
  [...TEXTS, ...SMALL_PICTURES].includes(extname(originalname)) || mimetype === 'application/pdf' || mimetype.startsWith('image/');

document.post('/upload/farm/:farm_id', farmAccess((req) => req.params.farm_id), receive, route(async (req, res) => {
  const { farm_id } = req.params;
  const file_name = req.file.originalname;
  if (!supported(req.file)) {
    res.status(400).send(`Do not support file type ${extname(file_name)}`);
    return;
  }
  try {
    const urls = await keep(farm_id, req.file);
    // LiteFarm's page does this with a second request, in which a person names the document.
    await knex('document').insert({ farm_id, name: parse(file_name).name, file_name, no_expiration: true, ...urls });
    res.status(201).json(urls);
  } catch (error) {
    // LiteFarm says no more than the first words; a lab wants to know whose fault it was.
    log(`upload failed: ${error.message}`);
    res.status(400).send(`Fail to upload document: ${error.message}`);
  }
}));
