// Listeners, clients, checkpoints, and when the server ends.

import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { Client } from './client.mjs';
import { engineFailed } from './engine.mjs';
import { log } from './log.mjs';
import { Sessions } from './session.mjs';
import { Turns } from './turns.mjs';
import { Watchdog } from './watchdog.mjs';

const OWNERSHIP_LOOK_MS = 1_000;
const CHECKPOINT_LOOK_MS = 5_000;
const CHECKPOINT_WAL_BYTES = 64 << 20;
const CHECKPOINT_QUIET_LOOKS = 6;

export class Server {
  clients = new Map(); // by their id
  #engine;
  #watchdog;
  #options;
  #listeners = [];
  #tcpPort = null;
  #startedAt = new Date();
  #idleTimer = null;
  #stopping = false;

  /** `options`: `{ socket, info, passwordFile, idleSeconds, maxWaitSeconds, maxStatementSeconds }`. */
  constructor(engine, options) {
    this.#engine = engine;
    this.#options = options;
    const canInterrupt = engine.canInterrupt();
    if (!canInterrupt) log('statements cannot be interrupted in this build: one that takes too long ends the server');
    this.#watchdog = new Watchdog(canInterrupt ? engine : null, options.maxStatementSeconds);
    this.sessions = new Sessions(engine, this.#watchdog);
    this.turns = new Turns(options.maxWaitSeconds);
    this.version = this.sessions.internal("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0];
  }

  async start() {
    await this.#watchdog.ready;
    rmSync(this.#options.socket, { force: true }); // left by a killed server: the lock proves that none is running
    await this.#listen({ path: this.#options.socket }, null);
    this.#writeInfo();
    this.#restartIdleTimer();
    this.#checkpointPeriodically();
    setInterval(() => this.#checkOwnership(), OWNERSHIP_LOOK_MS).unref();
  }

  /** Answers a control request of control.py: `status`, `stop`, or `tcp:<port>`. */
  async control(request) {
    if (request === 'status') return this.#describe();
    if (request === 'stop') {
      setImmediate(() => this.stop('asked to stop'));
      return {};
    }
    const port = /^tcp:(\d+)$/.exec(request)?.[1];
    if (port === undefined) return { error: `unknown request ${request}` };
    if (this.#tcpPort === null) {
      try {
        const password = readFileSync(this.#options.passwordFile, 'utf8').trim();
        const listener = await this.#listen({ host: '127.0.0.1', port: Number(port) }, password);
        this.#tcpPort = listener.address().port;
      } catch (error) {
        return { error: error.message };
      }
      this.#writeInfo();
    }
    return this.#describe();
  }

  async stop(why) {
    if (this.#stopping) return;
    this.#stopping = true;
    log(`stopping: ${why}`);
    for (const listener of this.#listeners) listener.close();
    for (const client of this.clients.values()) client.dismiss();
    this.turns.close();
    rmSync(this.#options.info, { force: true });
    this.sessions.checkpoint();
    await this.#engine.close();
    // The lock is still held, so no other server can have its socket here.
    rmSync(dirname(this.#options.socket), { recursive: true, force: true });
    process.exit(0);
  }

  #describe() {
    const clients = [...this.clients.values()].filter((client) => !client.isControl);
    return {
      pid: process.pid,
      version: this.version,
      clients: clients.length,
      // Not the checkpointer, which waits for turns too.
      waiting: clients.filter((client) => this.turns.isWaiting(client)).length,
      started_at: this.#startedAt.toISOString(),
      tcp_port: this.#tcpPort,
    };
  }

  async #listen(address, password) {
    const listener = createServer({ noDelay: true }, (socket) => this.#serve(socket, password));
    await new Promise((resolve, reject) => listener.once('error', reject).listen(address, resolve));
    this.#listeners.push(listener);
    return listener;
  }

  async #serve(socket, password) {
    const client = new Client(socket, this, { password });
    this.clients.set(client.id, client);
    await client.serve();
    this.clients.delete(client.id);
    if (!client.isControl) this.#restartIdleTimer();
  }

  #restartIdleTimer() {
    const { idleSeconds } = this.#options;
    if (idleSeconds === 0) return;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.clients.size === 0) this.stop(`no client for ${idleSeconds} s`);
      else this.#restartIdleTimer(); // it may be a control request, which does not restart the timer when it ends
    }, idleSeconds * 1000);
  }

  #writeInfo() {
    const { info, socket } = this.#options;
    const fresh = `${info}.new`;
    writeFileSync(fresh, JSON.stringify({ pid: process.pid, socket, tcp_port: this.#tcpPort }));
    renameSync(fresh, info);
  }

  // The data directory may be deleted under a running server, and another server started in its place.
  #checkOwnership() {
    if (this.#stopping) return;
    let owner = null;
    try {
      owner = JSON.parse(readFileSync(this.#options.info, 'utf8')).pid;
    } catch {
      // it is gone, or is being replaced
    }
    if (owner !== process.pid) engineFailed(new Error('the data directory was removed'));
    if (!existsSync(this.#options.socket)) this.stop('the socket was removed');
  }

  // There is no checkpointer process: without this the WAL would grow, and with it the time of a restart.
  #checkpointPeriodically() {
    const position = () => Number(this.sessions.internal("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0]);
    const me = { label: 'the checkpointer', lastActive: Infinity };
    let done = position();
    let last = done;
    let quiet = 0;
    let looking = false;
    setInterval(async () => {
      if (looking) return;
      looking = true;
      try {
        await this.turns.acquire(me);
      } catch {
        looking = false; // it waited too long for an idle transaction, as any client may; the next attempt is soon
        return;
      }
      try {
        const now = position();
        quiet = now === last ? quiet + 1 : 0;
        if (now - done > CHECKPOINT_WAL_BYTES || (now > done && quiet === CHECKPOINT_QUIET_LOOKS)) {
          this.sessions.checkpoint();
          done = position();
        }
        last = now > done ? now : done;
      } finally {
        this.turns.release(me);
        looking = false;
      }
    }, CHECKPOINT_LOOK_MS).unref();
  }
}
