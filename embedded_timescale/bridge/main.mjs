// Run by Node.js: `main.mjs create ...` creates a cluster, `main.mjs serve ...` serves one until it is idle or stopped.

import { closeSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Engine, engineFailed } from './engine.mjs';
import { log } from './log.mjs';
import { Server } from './server.mjs';

async function create({ engine, data }) {
  // The session that runs initdb stays in bootstrap mode (debug output, template1), hence the second one.
  const first = await Engine.open(engine, data);
  await first.close();
  const second = await Engine.open(engine, data);
  second.query('CREATE EXTENSION timescaledb');
  second.query('CHECKPOINT');
  await second.close();
}

async function serve(options) {
  const engine = await Engine.open(options.engine, options.data);
  engine.query("LOAD 'timescaledb'"); // or an INSERT would write to the root table of a hypertable
  engine.query('CREATE EXTENSION IF NOT EXISTS timescaledb');
  const server = new Server(engine, {
    socket: options.socket,
    info: options.info,
    passwordFile: options.password,
    idleSeconds: Number(options.idle),
    maxWaitSeconds: Number(options['max-wait']),
    maxStatementSeconds: Number(options['max-statement']),
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.stop(signal));
  process.on('SIGHUP', () => {}); // it outlives the terminal that it was started from
  await server.start();
  log(`serving ${options.data}, TimescaleDB ${server.version}, process ${process.pid}`);
}

const string = { type: 'string' };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: string, data: string, socket: string, info: string, password: string,
    idle: string, 'max-wait': string, 'max-statement': string, 'ready-fd': string,
  },
});

process.on('uncaughtException', engineFailed);
process.on('unhandledRejection', engineFailed);

const ready = (answer) => {
  try {
    writeSync(Number(values['ready-fd']), `${JSON.stringify(answer)}\n`);
    closeSync(Number(values['ready-fd']));
  } catch (error) {
    log(`the process that started this server is gone: ${error.message}`); // other clients may still come
  }
};

try {
  await (positionals[0] === 'create' ? create : serve)(values);
} catch (error) {
  ready({ error: error.message });
  engineFailed(error);
}
ready({});
if (positionals[0] === 'create') process.exit(0);
