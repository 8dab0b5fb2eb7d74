// Copyright (c) 2026 the litefarm.platform authors
// GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { environment } from './environment.js';

// As in LiteFarm, written into the code; only a developer's machine has another one.
const HOST = 'nyc3.digitaloceanspaces.com';
const development = environment === 'development';

export const endpoint = development ? process.env.MINIO_ENDPOINT : `https://${HOST}`;

const BUCKETS = { production: 'litefarm-app-secret', integration: 'litefarm-beta-secret' };
export const privateBucket = process.env.PRIVATE_BUCKET_NAME || BUCKETS[environment] || 'litefarm-dev-secret';

const client = new S3Client({
  endpoint,
  region: 'us-east-1',
  credentials: {
    accessKeyId: process.env.DO_SPACES_ACCESS_KEY_ID,
    secretAccessKey: process.env.DO_SPACES_SECRET_ACCESS_KEY,
  },
  forcePathStyle: development,
});

/** Stores an object in the private bucket and returns its URL. */
export async function store(key, content) {
  try {
    await client.send(new PutObjectCommand({ Bucket: privateBucket, Key: key, Body: content, ACL: 'private' }));
  } catch (error) {
    throw new Error(`object storage: ${error.$metadata?.httpStatusCode ?? 'no answer'}, ${error.name}: ${error.message}`, { cause: error });
  }
  return development ? `${endpoint}/${privateBucket}/${key}` : `https://${privateBucket}.${HOST}/${key}`;
}
