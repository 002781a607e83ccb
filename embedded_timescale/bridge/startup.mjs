// The start of a connection: encryption requests, cancel requests, and the parameters of the startup packet.

import * as protocol from './protocol.mjs';
import { TurnRefused } from './turns.mjs';

const NOT_SETTINGS = new Set(['user', 'database', 'options', 'replication']);
const CONTROL = '_ticks_control';

/**
 * Reads up to and including the startup packet; null if the connection ends without one.
 * Returns `{ user, database, settings, needsEngine, control }`.
 */
export async function readStartup(reader, socket, server) {
  for (;;) {
    const packet = await reader.nextStartup();
    if (packet === null) return null;
    const code = packet.readInt32BE(0);
    if (code === protocol.SSL_REQUEST || code === protocol.GSSENC_REQUEST) {
      socket.write('N');
    } else if (code === protocol.CANCEL_REQUEST) {
      cancel(server, packet.readInt32BE(4), packet.readInt32BE(8));
      return null;
    } else if (code >>> 16 === 3) {
      return describe(readPairs(packet), code, socket);
    } else {
      throw new protocol.ProtocolViolation(`unsupported frontend protocol ${code >>> 16}.${code & 0xffff}`);
    }
  }
}

// A running statement blocks the whole process, so only a client that waits for its turn can be cancelled.
function cancel(server, id, secret) {
  const client = server.clients.get(id);
  if (client?.secret === secret) {
    server.turns.refuse(client, new TurnRefused('57014', 'canceling statement due to user request'));
  }
}

function readPairs(packet) {
  const fields = packet.utf8Slice(4).split('\0');
  const pairs = new Map();
  for (let i = 0; i + 1 < fields.length && fields[i] !== ''; i += 2) pairs.set(fields[i], fields[i + 1]);
  return pairs;
}

function describe(pairs, version, socket) {
  const unsupported = [...pairs.keys()].filter((name) => name.startsWith('_pq_.'));
  if (version !== protocol.PROTOCOL_3_0 || unsupported.length > 0) {
    socket.write(protocol.message('v', protocol.PROTOCOL_3_0, unsupported.length, ...unsupported));
  }
  const settings = new Map();
  for (const [name, value] of pairs) {
    if (!NOT_SETTINGS.has(name) && name !== CONTROL && !name.startsWith('_pq_.')) settings.set(name, value);
  }
  for (const [name, value] of readOptions(pairs.get('options') ?? '')) settings.set(name, value);
  const user = pairs.get('user');
  return {
    user,
    database: pairs.get('database') ?? user,
    settings,
    needsEngine: [...settings.keys()].some((name) => name !== 'application_name' && name !== 'client_encoding'),
    control: pairs.get(CONTROL),
  };
}

/** Settings of an `options` parameter: `-c name=value`, `-cname=value` or `--name=value`; a backslash escapes a blank. */
function* readOptions(options) {
  const words = (options.match(/(?:\\[\s\S]|[^\s\\])+/g) ?? []).map((word) => word.replace(/\\([\s\S])/g, '$1'));
  while (words.length > 0) {
    const word = words.shift();
    const text = word === '-c' ? (words.shift() ?? '') : /^(?:-c|--)(.+)$/s.exec(word)?.[1];
    const [, name, value] = /^([^=]+)=([\s\S]*)$/.exec(text ?? '') ?? [];
    if (name === undefined) throw new protocol.ProtocolViolation(`invalid option in the startup packet: ${word}`);
    yield [name.replaceAll('-', '_'), value];
  }
}
