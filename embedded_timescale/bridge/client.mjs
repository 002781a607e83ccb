// One connection: startup, authentication, and its messages in order, each exchange in the client's turn.

import { randomInt, timingSafeEqual } from 'node:crypto';
import { setImmediate as nextRound } from 'node:timers/promises';
import { QueryError } from './engine.mjs';
import { log } from './log.mjs';
import * as protocol from './protocol.mjs';
import { ABANDON, Session } from './session.mjs';
import { copyFromStdin, foreignEncoding, isUtf8, sessionFeature } from './sql.mjs';
import { readStartup } from './startup.mjs';
import { TurnRefused } from './turns.mjs';

const MAX_COPY_BYTES = 1 << 30;
const LAST_CLIENT_ID = 0x7ffffffe;

/** Ends the connection with a FATAL error. */
class Refused extends Error {
  constructor(code, text, hint) {
    super(text);
    this.code = code;
    this.hint = hint;
  }
}

export class Client {
  id = randomInt(1, LAST_CLIENT_ID);
  secret = randomInt(1, LAST_CLIENT_ID);
  lastActive = Date.now();
  isControl = false;
  #socket;
  #server;
  #reader;
  #session = null;
  #status = 'I';
  #exchangeOpen = false; // messages were submitted, and no Sync has followed yet
  #skipToSync = false;

  constructor(socket, server, { password = null } = {}) {
    this.#socket = socket;
    this.#server = server;
    this.password = password;
    this.#reader = new protocol.MessageReader(socket);
    socket.on('data', () => (this.lastActive = Date.now()));
    socket.on('error', () => {}); // 'close' follows, and is handled
    socket.on('close', () => server.turns.refuse(this, new TurnRefused(null, 'the client is gone')));
  }

  get label() {
    const name = this.#session?.settings.get('application_name');
    return name ? `client ${this.id} (${name})` : `client ${this.id}`;
  }

  /** Serves the connection until it ends. */
  async serve() {
    try {
      if (await this.#start()) await this.#serveMessages();
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#leave();
      this.#socket.end();
    }
  }

  /** Disconnects the client with an error that says why. */
  dismiss() {
    this.#leave();
    const reason = 'terminating connection due to administrator command';
    if (this.#session) this.#socket.write(protocol.errorResponse('FATAL', '57P01', reason));
    this.#socket.end();
  }

  async #start() {
    const startup = await readStartup(this.#reader, this.#socket, this.#server);
    if (startup === null) return false;
    if (startup.control !== undefined && this.password === null) {
      this.isControl = true;
      this.#socket.write(JSON.stringify(await this.#server.control(startup.control)));
      return false;
    }
    if (this.password !== null && !(await this.#authenticate())) return false;
    this.#checkIdentity(startup);
    startup.settings.delete('client_encoding'); // it is UTF8, however it is spelled
    this.#session = new Session(startup.settings);
    const { sessions, turns } = this.#server;
    let reported = new Map([...sessions.defaultParameters, ...startup.settings]);
    if (startup.needsEngine) {
      await turns.acquire(this);
      try {
        sessions.enter(this.#session);
        reported = sessions.reportedParameters();
      } finally {
        turns.release(this);
      }
    }
    for (const name of sessions.defaultParameters.keys()) this.#session.reported.set(name, reported.get(name));
    const parameters = [...sessions.fixedParameters, ...this.#session.reported];
    await this.#send([
      protocol.message('R', 0),
      ...parameters.map(([name, value]) => protocol.parameterStatus(name, value)),
      protocol.message('K', this.id, this.secret),
      protocol.readyForQuery('I'),
    ]);
    return true;
  }

  async #authenticate() {
    this.#socket.write(protocol.message('R', 3));
    const answer = await this.#reader.next();
    if (answer === null) return false;
    const given = Buffer.from(answer.type === 'p' ? protocol.stringAt(answer.data, 5) : '');
    const right = Buffer.from(this.password);
    if (given.length === right.length && timingSafeEqual(given, right)) return true;
    const hint = '`python -m embedded_timescale psql-url` prints a URL with the password.';
    throw new Refused('28P01', 'password authentication failed', hint);
  }

  #checkIdentity({ user, database, settings }) {
    const encoding = settings.get('client_encoding') ?? 'UTF8';
    if (!isUtf8(encoding)) {
      throw new Refused('0A000', `embedded database: the client encoding can only be UTF8, not ${encoding}`);
    }
    if (user !== 'postgres') {
      throw new Refused('28000', `role "${user}" cannot log in: the embedded database has the user "postgres" only`);
    }
    if (database !== 'postgres') {
      throw new Refused('3D000', `database "${database}" does not exist: the embedded database is "postgres"`);
    }
  }

  async #serveMessages() {
    let batch = [];
    for (;;) {
      const next = await this.#reader.next();
      if (next === null || next.type === 'X') return;
      const { type, data } = next;
      if (this.#skipToSync) {
        if (type !== 'S') continue;
        this.#skipToSync = false;
        await this.#send([protocol.readyForQuery('I')]);
      } else if (type === 'Q') {
        const sql = protocol.stringAt(data, 5);
        const copy = copyFromStdin(sql);
        const reason = copy.count > 1 ? 'there is more than one COPY FROM STDIN in this query' : refusal(sql);
        if (copy.count > 0 && reason === null) await this.#copyIn(batch, data, copy);
        else await this.#exchange([...batch, reason === null ? data : protocol.query(raising(reason))]);
        batch = [];
      } else if (type === 'H' && batch.length === 0) {
        continue; // nothing to flush: everything has been answered, and libpq flushes after a Sync too
      } else if ('SHF'.includes(type)) {
        await this.#exchange([...batch, data]);
        batch = [];
      } else if (type === 'P') {
        batch.push(checkedParse(data));
      } else if ('BDEC'.includes(type)) {
        batch.push(data);
      } else if (!'dcf'.includes(type)) { // the rest of a failed COPY is ignored, as by PostgreSQL
        throw new protocol.ProtocolViolation(`invalid frontend message type ${JSON.stringify(type)}`);
      }
    }
  }

  // The engine needs the data of a COPY together with the statement, so the bridge collects it first.
  async #copyIn(before, statement, { binary, columns }) {
    await this.#send([protocol.copyInResponse(binary, columns)]);
    const collected = [];
    let size = 0;
    for (;;) {
      const next = await this.#reader.next();
      if (next === null || next.type === 'X') throw new TurnRefused(null, 'the client is gone');
      if (next.type === 'd') {
        size += next.data.length;
        if (size <= MAX_COPY_BYTES) collected.push(next.data);
        else collected.length = 0;
      } else if (next.type === 'c' || next.type === 'f') {
        let end = next.type === 'c' ? [...collected, next.data] : [next.data];
        if (size > MAX_COPY_BYTES) {
          end = [protocol.message('f', 'more than 1 GiB in one COPY: the embedded database needs it in parts')];
        }
        await this.#exchange([...before, statement, ...end]);
        return;
      } else if (!'HS'.includes(next.type)) {
        throw new protocol.ProtocolViolation(`unexpected message type ${JSON.stringify(next.type)} during COPY FROM STDIN`);
      }
    }
  }

  async #exchange(messages) {
    const { turns, sessions } = this.#server;
    try {
      await turns.acquire(this);
    } catch (refusal) {
      if (refusal.code === null) throw refusal;
      this.#skipToSync = messages.at(-1)[0] === 0x48; // Flush
      const error = protocol.errorResponse('ERROR', refusal.code, refusal.message);
      await this.#send(this.#skipToSync ? [error] : [error, protocol.readyForQuery('I')]);
      return;
    }
    const { output, status } = sessions.run(this.#session, messages);
    this.lastActive = Date.now();
    this.#exchangeOpen = status === null;
    this.#status = status ?? this.#status;
    if (this.#status === 'I' && !this.#exchangeOpen) turns.release(this);
    await this.#send(output);
    if (this.#reader.hasBufferedBytes) await nextRound(); // or a client that pipelines would keep the others out
  }

  async #send(buffers) {
    this.#socket.cork();
    let flowing = true;
    for (const buffer of buffers) flowing = this.#socket.write(buffer);
    this.#socket.uncork();
    if (!flowing && this.#socket.writable) await this.#drained();
  }

  #drained() {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off('drain', done).off('close', done);
        resolve();
      };
      this.#socket.on('drain', done).on('close', done);
    });
  }

  async #fail(error) {
    if (error instanceof TurnRefused && error.code === null) return;
    if (error instanceof protocol.ProtocolViolation) error.code = '08P01';
    const forTheClient = [Refused, TurnRefused, QueryError, protocol.ProtocolViolation];
    if (!forTheClient.some((kind) => error instanceof kind)) throw error;
    if (this.#socket.writable) await this.#send([protocol.errorResponse('FATAL', error.code, error.message, error.hint)]);
  }

  #leave() {
    const { turns, sessions } = this.#server;
    turns.refuse(this, new TurnRefused(null, 'the client is gone'));
    if (this.#session === null) return;
    if (turns.owner === this && (this.#status !== 'I' || this.#exchangeOpen)) {
      sessions.run(this.#session, ABANDON);
      log(`${this.label} left an open transaction, which was rolled back`);
    }
    this.#status = 'I';
    this.#exchangeOpen = false;
    sessions.drop(this.#session);
    turns.release(this);
  }
}

// The backend itself raises the error, so that the state of the client's transaction is right.
const raising = (text) =>
  `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'embedded database: ${text}'; END $$`;

function refusal(sql) {
  const encoding = foreignEncoding(sql);
  return encoding === null ? sessionFeature(sql) : `the client encoding can only be UTF8, not ${encoding}`;
}

function checkedParse(parse) {
  const name = protocol.stringAt(parse, 5);
  const sql = protocol.stringAt(parse, 6 + name.length);
  const reason = copyFromStdin(sql).count > 0 ? 'COPY FROM STDIN works in the simple query protocol only' : refusal(sql);
  return reason === null ? parse : protocol.message('P', name, raising(reason), Buffer.from([0, 0]));
}
