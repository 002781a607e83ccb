// Who may use the one backend: first come, first served, and kept for as long as a transaction or an exchange is open.

/** Why a waiting client does not get its turn. `code` is the SQLSTATE for the client, null when the client is gone. */
export class TurnRefused extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

export class Turns {
  owner = null;
  #waiting = []; // { client, since, resolve, reject }

  constructor(maxWaitSeconds) {
    if (maxWaitSeconds > 0) setInterval(() => this.#refuseOverdue(maxWaitSeconds * 1000), 250).unref();
  }

  get waitingCount() {
    return this.#waiting.length;
  }

  async acquire(client) {
    if (this.owner === client) return;
    if (this.owner === null) {
      this.owner = client;
      return;
    }
    await new Promise((resolve, reject) => this.#waiting.push({ client, since: Date.now(), resolve, reject }));
  }

  release(client) {
    if (this.owner !== client) return;
    const next = this.#waiting.shift();
    this.owner = next?.client ?? null;
    next?.resolve();
  }

  /** Takes a waiting client out of the queue; false when it was not waiting. */
  refuse(client, refusal) {
    const at = this.#waiting.findIndex((entry) => entry.client === client);
    if (at < 0) return false;
    this.#waiting.splice(at, 1)[0].reject(refusal);
    return true;
  }

  /** Gives nobody a turn any more. */
  close() {
    this.owner = { label: 'the shutdown', lastActive: Infinity };
  }

  // A process that waits on one connection for a transaction of its own other connection would hang for ever.
  #refuseOverdue(limit) {
    const now = Date.now();
    const holder = this.owner;
    if (!holder || now - holder.lastActive < limit) return;
    for (const { client } of this.#waiting.filter((entry) => now - entry.since >= limit)) {
      const text =
        `waited ${limit / 1000} s for the embedded database: ${holder.label} is idle in a transaction, ` +
        'and there is one session for all clients';
      this.refuse(client, new TurnRefused('55P03', text));
    }
  }
}
