// The server's log: standard error, which the launcher has pointed at a file that is opened for appending.

import { ftruncateSync, fstatSync, writeSync } from 'node:fs';

const MAX_BYTES = 1 << 20;
const STDERR = 2;

export function log(text) {
  // Nobody rotates the file of a detached server, so it starts over rather than fill the disk.
  const file = fstatSync(STDERR);
  if (file.isFile() && file.size > MAX_BYTES) ftruncateSync(STDERR, 0);
  writeSync(STDERR, `${new Date().toISOString()} ${text}\n`);
}
