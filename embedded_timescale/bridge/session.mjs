// Many sessions over one backend: settings and prepared statements of a client are restored when its turn comes.

import { engineFailed, QueryError } from './engine.mjs';
import { log } from './log.mjs';
import { errorFields, errorResponse, message, messagesIn, parameterStatus, stringAt } from './protocol.mjs';
import { customSettings, deallocated, milliseconds, quoteLiteral, settingsReset, touchesSession } from './sql.mjs';

// Settings that a session starts with. The backend reads no configuration file and no ALTER ROLE, and the start-up of
// pglite leaves single-user settings behind (debug output, no sequential scans, a search path without public).
const BASELINE = [
  ['session_authorization', 'postgres'], // DISCARD ALL keeps it; first, since some others need a superuser
  ['role', 'none'],
  ['allow_system_table_mods', 'off'],
  ['client_min_messages', 'warning'], // or a COPY returns thousands of debug notices
  ['enable_seqscan', 'on'],
  ['exit_on_error', 'off'],
  ['jit', 'off'], // neither jit nor parallel workers exist in WebAssembly
  ['log_min_messages', 'fatal'],
  ['max_parallel_workers_per_gather', '0'],
  ['search_path', '"$user", public'],
  ['TimeZone', 'UTC'],
];

// Settings that PostgreSQL reports to its clients and that a session can change.
const REPORTED = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'default_transaction_read_only',
  'IntervalStyle',
  'standard_conforming_strings',
  'TimeZone',
];
const REPORTED_FIXED = [
  'in_hot_standby',
  'integer_datetimes',
  'is_superuser',
  'scram_iterations',
  'server_encoding',
  'server_version',
  'session_authorization',
];

const [QUERY, PARSE, BIND, DESCRIBE, CLOSE, SYNC, CALL] = Array.from('QPBDCSF', (type) => type.charCodeAt(0));
const [PARSED, CLOSED, COPY_IN, ERROR, NOTICE, READY, STATUS] = Array.from('13GENZS', (type) => type.charCodeAt(0));
const STATEMENT = 'S'.charCodeAt(0);

const TIMEOUT_HINT =
  'Its limit is statement_timeout, or TICKS_EMBEDDED_STATEMENT_SECONDS of the embedded database, where all wait meanwhile.';

const isBaseline = (name, value) => BASELINE.some(([key, standard]) => key === name && standard === value);

const mentionsTimeout = (messages) =>
  messages.some((each) => (each[0] === QUERY || each[0] === PARSE) && RESETS_TIMEOUT.test(each.latin1Slice()));
const RESETS_TIMEOUT = /statement_timeout|\b(?:reset|discard)\s+all\b/i;

/** The state of one client's session. */
export class Session {
  settings; // name -> value, as of the last switch to another client
  prepared = new Map(); // name -> { parse: the Parse message, live: whether the backend has it }
  sqlPrepared = []; // texts of PREPARE statements
  custom = new Set(['session_authorization', 'role']); // settings that pg_settings does not list
  dirty = false; // settings or prepared statements may differ from what is stored here
  unreported = false; // a reported setting may have changed
  reported = new Map();
  timeoutMs = 0; // its statement_timeout, which the backend has no timer for
  timeoutUnknown; // whether that may have changed
  status = 'I'; // of its transaction

  constructor(startup) {
    this.startup = startup;
    this.timeoutUnknown = startup.has('statement_timeout');
    this.settings = new Map(startup);
  }
}

export class Sessions {
  #engine;
  #watchdog;
  #current = null;

  constructor(engine, watchdog) {
    this.#engine = engine;
    this.#watchdog = watchdog;
    this.#reset(new Map());
    this.fixedParameters = this.#show(REPORTED_FIXED);
    this.defaultParameters = this.#show(REPORTED);
  }

  /** Makes `session` the current one. Throws QueryError if one of its settings is refused. */
  enter(session) {
    if (this.#current === session) return;
    if (this.#current) this.#save(this.#current);
    this.#current = null;
    this.#reset(session.settings);
    for (const statement of session.sqlPrepared) this.#engine.query(statement);
    this.#current = session;
  }

  /** The reported settings of the current session. */
  reportedParameters() {
    return this.#show(REPORTED);
  }

  /** Forgets the session of a client that is gone; it is reset before the next turn. */
  drop(session) {
    if (this.#current === session) this.#current = null;
  }

  /** Writes all data to its files, so that the next start has no WAL to replay. */
  checkpoint() {
    try {
      this.internal('CHECKPOINT');
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      this.enter(new Session(new Map())); // the role of the current session may not
      this.internal('CHECKPOINT');
    }
  }

  /** Runs SQL of the bridge itself in the current session. */
  internal(sql) {
    const unnamed = this.#current?.prepared.get('');
    if (unnamed) unnamed.live = false; // a simple query destroys the unnamed statement
    return this.#engine.query(sql);
  }

  /**
   * Runs whole frontend messages in `session`.
   * Returns `{ output, status }`: buffers for the client, and the transaction status, null without a Sync or query.
   */
  run(session, messages) {
    try {
      this.enter(session);
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      // A setting may have become invalid in the meantime (its role was dropped): the client works without its settings.
      log(`settings of a client could not be restored: ${error.message}`);
      this.#reset(new Map());
      this.#current = session;
    }
    this.#readTimeout(session);
    const batch = this.#expand(session, messages);
    const answer = this.#watchdog.run(() => this.#engine.exec(batch.messages), session.timeoutMs);
    const { kept, status, readyCount } = this.#digest(session, batch, answer);
    if (readyCount !== batch.readyExpected) {
      engineFailed(new Error(`${readyCount} answers to ${batch.readyExpected} requests`));
    }
    // SET LOCAL ends with its transaction.
    session.timeoutUnknown ||= mentionsTimeout(messages) || (session.timeoutMs > 0 && session.status !== status);
    session.status = status;
    if (status !== null && status !== 'E') this.#afterStatement(session, batch, status, kept);
    return { output: kept, status };
  }

  #readTimeout(session) {
    // Within an exchange, or a failed transaction, the backend answers no question.
    if (!session.timeoutUnknown || !'IT'.includes(session.status ?? '-')) return;
    session.timeoutMs = milliseconds(this.#show(['statement_timeout']).get('statement_timeout'));
    session.timeoutUnknown = false;
  }

  // The messages of a client; before the first use of a prepared statement that the backend has lost, its Parse.
  #expand(session, messages) {
    const batch = { messages: [], parses: [], closes: [], readyExpected: 0, resets: [], deallocatesAll: false };
    const announced = new Set();
    const ensure = (name) => {
      const known = session.prepared.get(name);
      if (!known || known.live || announced.has(name)) return;
      announced.add(name);
      batch.messages.push(known.parse);
      batch.parses.push({ name, parse: known.parse, injected: true });
    };
    const ensureAlso = (name) => name !== null && ensure(name);
    for (const data of messages) {
      const type = data[0];
      if (type === QUERY || type === SYNC || type === CALL) batch.readyExpected += 1;
      if (type === QUERY) {
        ensureAlso(this.#note(session, batch, stringAt(data, 5)));
        session.prepared.delete('');
      } else if (type === PARSE) {
        const name = stringAt(data, 5);
        ensureAlso(this.#note(session, batch, stringAt(data, 6 + name.length)));
        if (name !== '') ensure(name); // a name that is used twice is refused, as by PostgreSQL
        announced.add(name);
        batch.parses.push({ name, parse: data, injected: false });
      } else if (type === BIND) {
        ensure(stringAt(data, 6 + stringAt(data, 5).length));
      } else if (type === DESCRIBE && data[5] === STATEMENT) {
        ensure(stringAt(data, 6));
      } else if (type === CLOSE) {
        batch.closes.push(data[5] === STATEMENT ? stringAt(data, 6) : null);
      }
      batch.messages.push(data);
    }
    return batch;
  }

  // Returns the name of a prepared statement that `sql` needs the backend to have, or null.
  #note(session, batch, sql) {
    if (!touchesSession(sql)) return null;
    session.dirty = true;
    session.unreported = true;
    batch.resets.push(...settingsReset(sql));
    for (const name of customSettings(sql)) session.custom.add(name);
    const ended = deallocated(sql);
    batch.deallocatesAll ||= ended === 'all';
    return ended;
  }

  #digest(session, batch, answer) {
    const kept = [];
    let from = 0;
    let parsed = 0;
    let closed = 0;
    let readyCount = 0;
    let status = null;
    let failed = false;
    for (const [type, start, end] of messagesIn(answer)) {
      let keep = true;
      if (type === PARSED) {
        const { name, parse, injected } = batch.parses[parsed++];
        session.prepared.set(name, { parse, live: true });
        keep = !injected;
      } else if (type === CLOSED) {
        const name = batch.closes[closed++];
        if (name !== null) session.prepared.delete(name);
      } else if (type === COPY_IN || type === STATUS) {
        keep = false; // CopyInResponse was sent before; parameters are reported by #afterStatement
      } else if (type === NOTICE) {
        keep = !errorFields(answer, start, end).M?.startsWith('# 1743: aborting transaction');
      } else if (type === ERROR) {
        failed = true;
        if (this.#watchdog.interrupted && errorFields(answer, start, end).C === '57014') {
          if (start > from) kept.push(answer.subarray(from, start));
          kept.push(errorResponse('ERROR', '57014', 'canceling statement due to statement timeout', TIMEOUT_HINT));
          from = end;
        }
      } else if (type === READY) {
        readyCount += 1;
        status = String.fromCharCode(answer[start + 5]);
      }
      if (!keep) {
        if (start > from) kept.push(answer.subarray(from, start));
        from = end;
      }
    }
    if (batch.deallocatesAll && !failed) session.prepared.clear();
    if (from < answer.length) kept.push(answer.subarray(from));
    return { kept, status, readyCount };
  }

  #afterStatement(session, batch, status, kept) {
    this.#restoreDefaults(session, batch.resets);
    if (!session.unreported) return;
    const changes = [];
    for (const [name, value] of this.reportedParameters()) {
      if (session.reported.get(name) !== value) changes.push(parameterStatus(name, value));
      session.reported.set(name, value);
    }
    if (status === 'I') session.unreported = false; // inside a transaction a ROLLBACK can still undo it
    if (changes.length === 0) return;
    const last = kept.pop();
    const readyAt = last.length - 6; // ReadyForQuery has six bytes and comes last
    kept.push(last.subarray(0, readyAt), ...changes, last.subarray(readyAt));
  }

  #save(session) {
    if (session.dirty) {
      session.settings = new Map(this.#engine.query("SELECT name, setting FROM pg_settings WHERE source = 'session'"));
      for (const name of session.custom) {
        const [[value]] = this.#engine.query(`SELECT current_setting(${quoteLiteral(name)}, true)`);
        if (value !== null && !isBaseline(name, value)) session.settings.set(name, value);
      }
      const prepared = this.#engine.query('SELECT name, statement, from_sql FROM pg_prepared_statements');
      session.sqlPrepared = prepared.filter(([, , fromSql]) => fromSql === 't').map(([, statement]) => statement);
      const present = new Set(prepared.map(([name]) => name));
      for (const [name, { live }] of session.prepared) {
        if (live && name !== '' && !present.has(name)) session.prepared.delete(name);
      }
      session.dirty = false;
    }
    for (const entry of session.prepared.values()) entry.live = false;
  }

  // For the backend the default of a setting is what pglite left behind; for the client it is the baseline, or the value
  // in its startup packet.
  #restoreDefaults(session, names) {
    if (names.length === 0) return;
    const defaults = [...BASELINE, ...session.startup];
    const due = defaults.filter(([name]) => names.includes('all') || names.includes(name.toLowerCase()));
    if (due.length > 0) this.#apply(due);
  }

  #reset(settings) {
    this.#engine.query('DISCARD ALL');
    this.#apply([...BASELINE, ...settings]);
  }

  #apply(settings) {
    const calls = settings.map(([name, value]) => `set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`);
    this.internal(`SELECT ${calls.join(', ')}`);
  }

  // SHOW needs no snapshot: after a SELECT in the client's transaction, SET TRANSACTION would fail.
  #show(names) {
    return new Map(names.map((name) => [name, this.internal(`SHOW ${name}`)[0][0]]));
  }
}

/** Messages that end the exchange and the transaction of a client that is gone. */
export const ABANDON = [message('S'), message('Q', 'ROLLBACK')];
