// Turns at the one backend: first come, first served; a turn lasts while a transaction or an exchange is open.

/** Why a waiting client gets no turn. `code` is the SQLSTATE for the client, null if the client is gone. */
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

  isWaiting(client) {
    return this.#waiting.some((entry) => entry.client === client);
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

  /** Removes a waiting client from the queue; false if it was not waiting. */
  refuse(client, refusal) {
    const at = this.#waiting.findIndex((entry) => entry.client === client);
    if (at < 0) return false;
    this.#waiting.splice(at, 1)[0].reject(refusal);
    return true;
  }

  /** Gives no more turns. */
  close() {
    this.owner = { label: 'the shutdown', lastActive: Infinity };
  }

  // A process whose second connection waits for a transaction of its first one would hang for ever.
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
