// PostgreSQL's frontend/backend protocol, version 3: splits a stream into messages, and builds those the bridge sends.

const MAX_MESSAGE_BYTES = 1 << 30; // the limit of PostgreSQL
const PAUSE_ABOVE_BYTES = 8 << 20;
const FRONTEND_TYPES = 'QPBDECSHFXdcfp';

export const PROTOCOL_3_0 = 196608;
export const SSL_REQUEST = 80877103;
export const GSSENC_REQUEST = 80877104;
export const CANCEL_REQUEST = 80877102;

export class ProtocolViolation extends Error {}

/** Reads whole frontend messages from a socket, however the bytes were split on the way. */
export class MessageReader {
  #socket;
  #chunks = [];
  #size = 0;
  #wanted = 0;
  #ended = false;
  #wake = null;

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      if (this.#size >= this.#wanted) this.#notify();
      if (this.#size > Math.max(PAUSE_ABOVE_BYTES, this.#wanted)) socket.pause();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#notify();
    });
  }

  get hasBufferedBytes() {
    return this.#size > 0;
  }

  /** The next packet of the startup phase without its length; null if the client is gone. */
  async nextStartup() {
    if (!(await this.#need(4))) return null;
    const length = this.#peek(4).readInt32BE(0);
    if (length < 8 || length > 10000) throw new ProtocolViolation(`invalid length of startup packet: ${length}`);
    if (!(await this.#need(length))) return null;
    return this.#take(length).subarray(4);
  }

  /** The next message `{ type, data }`; `data` includes the header. null if the client is gone. */
  async next() {
    if (!(await this.#need(5))) return null;
    const header = this.#peek(5);
    const length = header.readInt32BE(1);
    const type = String.fromCharCode(header[0]);
    if (!FRONTEND_TYPES.includes(type)) throw new ProtocolViolation(`invalid frontend message type ${header[0]}`);
    if (length < 4 || length > MAX_MESSAGE_BYTES) throw new ProtocolViolation(`invalid length of "${type}": ${length}`);
    if (!(await this.#need(length + 1))) return null;
    return { type, data: this.#take(length + 1) };
  }

  async #need(bytes) {
    this.#wanted = bytes;
    while (this.#size < bytes) {
      if (this.#ended) return false;
      this.#socket.resume();
      await new Promise((resolve) => (this.#wake = resolve));
    }
    this.#wanted = 0;
    return true;
  }

  #notify() {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  #peek(bytes) {
    if (this.#chunks[0].length < bytes) {
      // Only the bytes asked for are joined: joining all is quadratic for a client that pipelines.
      let covered = 0;
      let count = 0;
      while (covered < bytes) covered += this.#chunks[count++].length;
      this.#chunks.splice(0, count, Buffer.concat(this.#chunks.slice(0, count), covered));
    }
    return this.#chunks[0].subarray(0, bytes);
  }

  #take(bytes) {
    const taken = this.#peek(bytes);
    const first = this.#chunks[0];
    if (first.length === bytes) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    this.#size -= bytes;
    return taken;
  }
}

/** One message: type, and parts that are Buffers, strings (zero-terminated UTF-8), or numbers (32 bits). */
export function message(type, ...parts) {
  const body = Buffer.concat(parts.map(encodePart));
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

function encodePart(part) {
  if (Buffer.isBuffer(part)) return part;
  if (typeof part === 'string') return Buffer.from(`${part}\0`);
  const number = Buffer.alloc(4);
  number.writeInt32BE(part, 0);
  return number;
}

export const query = (sql) => message('Q', sql);
export const SYNC = message('S');
export const COPY_DONE = message('c');
export const readyForQuery = (status) => message('Z', Buffer.from(status));
export const parameterStatus = (name, value) => message('S', name, value);

export function errorResponse(severity, code, text, hint) {
  const fields = [`S${severity}`, `V${severity}`, `C${code}`, `M${text}`];
  if (hint) fields.push(`H${hint}`);
  return message('E', ...fields, Buffer.from([0]));
}

/** CopyInResponse for `columns` columns, all of them text or all binary. */
export function copyInResponse(binary, columns) {
  const body = Buffer.alloc(3 + 2 * columns);
  body.writeInt8(binary ? 1 : 0, 0);
  body.writeInt16BE(columns, 1);
  for (let i = 0; i < columns; i++) body.writeInt16BE(binary ? 1 : 0, 3 + 2 * i);
  return message('G', body);
}

/** Yields `[type, start, end]` of every message of a buffer of whole messages. */
export function* messagesIn(buffer) {
  let start = 0;
  while (start < buffer.length) {
    const end = start + 1 + buffer.readInt32BE(start + 1);
    yield [buffer[start], start, end];
    start = end;
  }
}

/** The zero-terminated string at `offset`, as latin1: what the bridge looks for is ASCII, and latin1 is the fastest. */
export function stringAt(buffer, offset) {
  return buffer.latin1Slice(offset, buffer.indexOf(0, offset));
}

/** Fields of an ErrorResponse or NoticeResponse body, by their one-letter code. */
export function errorFields(buffer, start, end) {
  const fields = {};
  for (let at = start + 5; at < end && buffer[at] !== 0; ) {
    const stop = buffer.indexOf(0, at);
    fields[String.fromCharCode(buffer[at])] = buffer.utf8Slice(at + 1, stop);
    at = stop + 1;
  }
  return fields;
}

/** Columns of a DataRow as text, null for NULL. */
export function dataRow(buffer, start) {
  const columns = [];
  let at = start + 7;
  for (let left = buffer.readInt16BE(start + 5); left > 0; left--) {
    const length = buffer.readInt32BE(at);
    at += 4;
    columns.push(length < 0 ? null : buffer.utf8Slice(at, at + length));
    if (length > 0) at += length;
  }
  return columns;
}
