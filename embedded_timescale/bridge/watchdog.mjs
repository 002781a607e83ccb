// Ends statements that run for too long. The backend runs in the main thread, which sees nothing meanwhile, so this is
// a thread of its own. It interrupts the main thread through the inspector, which V8 lets in at the next loop of the
// WebAssembly code, and there the flags are set that a signal handler of PostgreSQL would set.

import inspector from 'node:inspector';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { log } from './log.mjs';

const LOOK_MS = 50;
const GRACE_MS = 10_000; // of a statement that does not look at its interrupts, such as one that sleeps
const [SERIAL, RUNNING, LIMIT_MS] = [0, 1, 2];
const HANDLER = 'interruptStatement';

/** In the main thread: what runs, and for how long it may. */
export class Watchdog {
  interrupted = false; // whether the last statement was
  #state = new Int32Array(new SharedArrayBuffer(12));
  #maxMs;
  #engine;

  /** `engine` is null if it cannot be interrupted. No statement may take longer than `maxSeconds`, 0 for no limit. */
  constructor(engine, maxSeconds) {
    this.#engine = engine;
    this.#maxMs = maxSeconds * 1000;
    globalThis[HANDLER] = (serial) => this.#interrupt(serial);
    const worker = new Worker(new URL(import.meta.url), { workerData: { state: this.#state } });
    // It needs the main thread to start.
    this.ready = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    this.ready.then(() => worker.unref());
  }

  /** Runs `work`, and interrupts it after `timeoutMs`, 0 for the longest time that any statement may take. */
  run(work, timeoutMs) {
    const limits = [timeoutMs, this.#maxMs].filter((limit) => limit > 0);
    this.interrupted = false;
    Atomics.add(this.#state, SERIAL, 1);
    Atomics.store(this.#state, LIMIT_MS, limits.length > 0 ? Math.min(...limits, 0x7fffffff) : 0);
    Atomics.store(this.#state, RUNNING, 1);
    try {
      return work();
    } finally {
      Atomics.store(this.#state, RUNNING, 0);
      if (this.interrupted) this.#engine?.forgetInterrupt();
    }
  }

  #interrupt(serial) {
    if (Atomics.load(this.#state, RUNNING) === 0 || Atomics.load(this.#state, SERIAL) !== serial) return;
    this.interrupted = true;
    this.#engine?.interrupt();
  }
}

function watch(state) {
  let serial = 0;
  let since = 0;
  let asked = false;
  setInterval(() => {
    const now = performance.now();
    const current = Atomics.load(state, SERIAL);
    if (Atomics.load(state, RUNNING) === 0) {
      since = 0;
      return;
    }
    if (since === 0 || current !== serial) {
      [serial, since, asked] = [current, now, false];
      return;
    }
    const limit = Atomics.load(state, LIMIT_MS);
    if (limit === 0 || now - since < limit) return;
    if (!asked) {
      asked = true;
      const session = new inspector.Session();
      session.connectToMainThread();
      // While a session is connected, the process would not end; the answer comes once the main thread has run it.
      session.post('Runtime.evaluate', { expression: `${HANDLER}(${serial})` }, () => session.disconnect());
    } else if (now - since > limit + GRACE_MS) {
      log(`a statement has run for ${((now - since) / 1000).toFixed(0)} s and cannot be interrupted: the server ends`);
      process.kill(process.pid, 'SIGKILL');
    }
  }, LOOK_MS);
}

if (!isMainThread) {
  watch(workerData.state);
  parentPort.postMessage('ready');
}
