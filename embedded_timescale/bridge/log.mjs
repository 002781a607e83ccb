// The log of the server: standard error, which the launcher redirects to a file opened for appending.

import { ftruncateSync, fstatSync, writeSync } from 'node:fs';

const MAX_BYTES = 1 << 20;
const STDERR = 2;

export function log(text) {
  // Nobody rotates the log of a detached server: it is truncated before it fills the disk.
  const file = fstatSync(STDERR);
  if (file.isFile() && file.size > MAX_BYTES) ftruncateSync(STDERR, 0);
  writeSync(STDERR, `${new Date().toISOString()} ${text}\n`);
}
