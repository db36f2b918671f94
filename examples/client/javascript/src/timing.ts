/** A delay that grows with `tries` up to `max`, with half of it random so that many clients do not return together. */
export function backoff(tries: number, first: number, max: number): number {
  const full = Math.min(max, first * 2 ** Math.min(tries, 30));
  return full / 2 + Math.random() * (full / 2);
}

/** Waits; ends early with a rejection when `signal` aborts. Leaves no timer behind. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const done = () => {
      signal.removeEventListener('abort', abort);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** `promise`, but rejected as soon as `signal` aborts. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    // Attached in any case: nobody else handles its rejection.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** A random id; `crypto.randomUUID` exists only on pages that were loaded securely. */
export function newId(): string {
  const own = globalThis.crypto as Crypto | undefined;
  if (own?.randomUUID) return own.randomUUID();
  const bytes = own ? own.getRandomValues(new Uint8Array(16)) : Uint8Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
