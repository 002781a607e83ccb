// The PostgreSQL backend in WebAssembly: takes whole protocol messages, returns the answers.

import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { log } from './log.mjs';
import { dataRow, errorFields, messagesIn, query } from './protocol.mjs';

const READY = 'Z'.charCodeAt(0);
const ERROR = 'E'.charCodeAt(0);
const DATA_ROW = 'D'.charCodeAt(0);
const EXIT_ENGINE_FAILED = 70;
const MAX_EMPTY_READS = 100;
const CANCELED = '57014';

export class QueryError extends Error {
  constructor(fields) {
    super(fields.M);
    this.code = fields.C;
  }
}

export class Engine {
  #database;
  #module;
  #input = [];
  #next = 0; // index of the buffer of #input that is being read; #offset is the position in it
  #offset = 0;
  #emptyReads = 0;
  #output = [];

  constructor(database) {
    this.#database = database;
    this.#module = database.Module;
    // The callbacks of pglite parse every message in JavaScript, limit the output, and lose the data of COPY TO STDOUT.
    this.#module._set_read_write_cbs(
      this.#module.addFunction((pointer, capacity) => this.#read(pointer, capacity), 'iii'),
      this.#module.addFunction((pointer, length) => this.#write(pointer, length), 'iii'),
    );
  }

  /** Opens the cluster in `dataDir`, or creates one; a new one must be closed and opened again. */
  static async open(packageDir, dataDir) {
    const load = (path) => import(pathToFileURL(join(packageDir, 'dist', path)));
    const [{ PGlite }, { timescaledb }] = await Promise.all([load('index.js'), load('timescaledb/index.js')]);
    return new Engine(await PGlite.create({ dataDir, database: 'postgres', extensions: { timescaledb } }));
  }

  /** Submits whole messages and returns the answer of the backend. */
  exec(buffers) {
    this.#input = buffers;
    this.#next = 0;
    this.#offset = 0;
    this.#emptyReads = 0;
    this.#output = [];
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    try {
      this.#module._interactive_one(length, buffers[0][0]);
    } catch (error) {
      engineFailed(error);
    }
    this.#input = [];
    this.#next = 0;
    const output = this.#output.length === 1 ? this.#output[0] : Buffer.concat(this.#output);
    this.#output = [];
    return output;
  }

  /** Runs SQL of the bridge itself and returns the rows of the last result as text; throws QueryError. */
  query(sql) {
    const output = this.exec([query(sql)]);
    const rows = [];
    let ready = false;
    let error = null;
    for (const [type, start, end] of messagesIn(output)) {
      if (type === DATA_ROW) rows.push(dataRow(output, start));
      else if (type === ERROR) error = new QueryError(errorFields(output, start, end));
      else if (type === READY) ready = true;
    }
    if (!ready) engineFailed(new Error(`no answer to: ${sql}`));
    if (error) throw error;
    return rows;
  }

  /** Makes the running statement end with an error at its next look, as a signal handler of PostgreSQL does. */
  interrupt() {
    // InterruptPending and QueryCancelPending, neighbours in globals.c. Memory may have grown since the last time.
    const at = this.#module._InterruptPending / 4;
    const memory = new Int32Array(this.#module.HEAPU8.buffer);
    memory[at] = 1;
    memory[at + 1] = 1;
  }

  /** Takes an interrupt back that came too late for its statement. */
  forgetInterrupt() {
    new Int32Array(this.#module.HEAPU8.buffer)[this.#module._InterruptPending / 4 + 1] = 0;
  }

  /** Whether `interrupt` does what it says in this build; it is tried. */
  canInterrupt() {
    if (!Number.isInteger(this.#module._InterruptPending / 4)) return false;
    try {
      this.interrupt();
      this.query('SELECT count(*) FROM generate_series(1, 100000)');
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      return error.code === CANCELED;
    }
    this.forgetInterrupt();
    return false;
  }

  async close() {
    await this.#database.close();
  }

  #read(pointer, capacity) {
    let copied = 0;
    while (copied < capacity && this.#next < this.#input.length) {
      const buffer = this.#input[this.#next];
      const part = buffer.subarray(this.#offset, this.#offset + capacity - copied);
      this.#module.HEAPU8.set(part, pointer + copied);
      copied += part.length;
      this.#offset += part.length;
      if (this.#offset === buffer.length) {
        this.#next += 1;
        this.#offset = 0;
      }
    }
    // After too deep a recursion the backend reads for ever, and this process would hang.
    if (copied === 0 && ++this.#emptyReads > MAX_EMPTY_READS) engineFailed(new Error('it waits for more input'));
    return copied;
  }

  #write(pointer, length) {
    this.#output.push(Buffer.from(this.#module.HEAPU8.slice(pointer, pointer + length).buffer));
    return length;
  }
}

/** Ends the process at once: after an abort the memory of the backend is undefined, and only a restart recovers. */
export function engineFailed(error) {
  log(`engine failed, the server ends: ${error?.stack ?? error}`);
  process.exit(EXIT_ENGINE_FAILED);
}
