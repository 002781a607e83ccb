// What the bridge must know about a statement, found without a parser: quoted parts are blanked out first.

const QUOTE = /'|"|--|\/\*|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$/g;

/** `sql` with literals, quoted names, comments and dollar-quoted bodies each replaced by a blank. */
export function blankQuoted(sql) {
  const pieces = [];
  let from = 0;
  QUOTE.lastIndex = 0;
  for (let match = QUOTE.exec(sql); match; match = QUOTE.exec(sql)) {
    pieces.push(sql.slice(from, match.index));
    from = endOfQuoted(sql, match[0], match.index);
    QUOTE.lastIndex = from;
  }
  pieces.push(sql.slice(from));
  return pieces.join(' ');
}

function endOfQuoted(sql, opener, at) {
  const after = at + opener.length;
  if (opener === '/*') return endOfBlockComment(sql, after);
  if (opener === "'" && /(?:^|[^\w$])[eE]$/.test(sql.slice(Math.max(0, at - 2), at))) return endOfEscapeString(sql, after);
  // A doubled quote counts as two adjacent literals here; the result is the same.
  const closer = opener === '--' ? '\n' : opener;
  const end = sql.indexOf(closer, after);
  return end < 0 ? sql.length : end + closer.length;
}

function endOfEscapeString(sql, at) {
  for (; at < sql.length; at++) {
    if (sql[at] === '\\') at++;
    else if (sql[at] === "'") return at + 1;
  }
  return sql.length;
}

function endOfBlockComment(sql, at) {
  const edge = /\/\*|\*\//g; // block comments nest
  edge.lastIndex = at;
  for (let depth = 1, match = edge.exec(sql); match; match = edge.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}

/** The number of `COPY ... FROM STDIN` statements in `sql`, and format and columns of the last one. */
export function copyFromStdin(sql) {
  const found = { count: 0, binary: false, columns: 0 };
  if (!/\bstdin\b/i.test(sql)) return found;
  for (const statement of blankQuoted(sql).split(';')) {
    const copy = /^\s*copy\s([\s\S]*?)\bfrom\s+stdin\b([\s\S]*)$/i.exec(statement);
    if (!copy) continue;
    found.count += 1;
    const list = /\(([^()]*)\)\s*$/.exec(copy[1]);
    found.columns = list ? list[1].split(',').length : 0;
    // The format may be a literal, which is blanked out: then the original statement is searched.
    found.binary = /\bbinary\b/i.test(copy[2]) || /\bformat\s*['"]binary['"]/i.test(sql);
  }
  return found;
}

const SESSION_WORDS = /\b(?:set|reset|prepare|deallocate|discard|load|set_config)\b/i;
const SESSION_STATEMENT =
  /^\s*(?:set\b(?!\s+(?:local|transaction|constraints)\b)|reset\b|prepare\b|deallocate\b|discard\b|load\b)/i;

/** Whether `sql` may change settings or prepared statements of its session; errs towards yes. */
export function touchesSession(sql) {
  if (!SESSION_WORDS.test(sql)) return false;
  if (/\bset_config\b/i.test(sql)) return true;
  const blanked = blankQuoted(sql);
  if (/^\s*(?:do|create)\b/i.test(blanked)) return true; // the SET may be inside the body
  return blanked.split(';').some((statement) => SESSION_STATEMENT.test(statement));
}

/** Names, in lower case, of the settings that `sql` resets; `all` for all of them. */
export function settingsReset(sql) {
  const names = [];
  for (const statement of blankQuoted(sql).split(';')) {
    const match =
      /^\s*(?:reset|discard)\s+(time\s+zone|\w+)/i.exec(statement) ??
      /^\s*set\s+(?:session\s+|local\s+)?(time\s+zone|\w+)\s*(?:=|\bto\b)?\s*default\b/i.exec(statement);
    if (match) names.push(match[1].toLowerCase().replace(/time\s+zone/, 'timezone'));
  }
  return names;
}

/** Name of the prepared statement that `sql` deallocates; `all` for all of them, null for none. */
export function deallocated(sql) {
  if (/(?:^|;)\s*(?:deallocate\s+(?:prepare\s+)?|discard\s+)all\b/i.test(sql)) return 'all';
  const [, quoted, plain] = /(?:^|;)\s*deallocate\s+(?:prepare\s+)?(?:"([^"]+)"|(\w+))/i.exec(sql) ?? [];
  return quoted ?? plain?.toLowerCase() ?? null;
}

/** Names of user-defined settings (`app.user`) in `sql`: pg_settings does not list those. */
export function customSettings(sql) {
  return [...sql.matchAll(/\b(?:set\s+(?:session\s+)?|set_config\s*\(\s*')([a-z_]\w*\.[a-z_]\w*)/gi)].map((m) => m[1]);
}

// PostgreSQL compares letters and digits only, and asyncpg sends the name in quotes.
export const isUtf8 = (encoding) => /^(?:utf8|unicode)$/i.test(encoding.replace(/[^a-z0-9]/gi, ''));

/** The encoding other than UTF-8 that `sql` requests, or null: the engine lacks conversions, and crashes. */
export function foreignEncoding(sql) {
  if (!/\b(?:client_encoding|names)\b/i.test(sql)) return null;
  const setsOne = /(?:^|;)\s*set\s+(?:(?:session|local)\s+)?(?:client_encoding|names)\b|\bset_config\b/i;
  if (!setsOne.test(blankQuoted(sql))) return null;
  const asked = sql.matchAll(/\b(?:client_encoding\s*(?:'\s*,|=|\bto\b)|set\s+names)\s*['"]?([\w-]+)/gi);
  return [...asked].map((match) => match[1]).find((name) => !isUtf8(name) && !/^default$/i.test(name)) ?? null;
}

const UNITS = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration as SHOW writes it, such as `1500ms`, `2min` or `0`. */
export function milliseconds(shown) {
  const [, number, unit] = /^(\d+)([a-z]*)$/.exec(shown) ?? [];
  return Number(number ?? 0) * (UNITS[unit] ?? 1);
}

/** Why `sql` cannot work with one session for all clients, or null: it would be accepted, and do nothing. */
export function sessionFeature(sql) {
  if (!/\blisten\b|advisory_lock/i.test(sql)) return null;
  const blanked = blankQuoted(sql);
  const searched = /^\s*do\b/i.test(blanked) ? sql : blanked; // the call may be inside the body
  if (/\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(/i.test(searched)) {
    return 'a session advisory lock would keep nobody out, since all clients share one session; use pg_advisory_xact_lock';
  }
  return /(?:^|;)\s*listen\b/i.test(blanked) ? 'LISTEN would hear nothing, since all clients share one session; poll' : null;
}

export const quoteLiteral = (value) => `'${value.replaceAll("'", "''")}'`;
