import { ChatError, disconnected } from './errors';
import type { SocketCommands } from './generated/socket';
import type { AckFrame, Answer } from './protocol';
import { backoff } from './timing';

interface Pending {
  text: string;
  isSent: boolean;
  isRepeatable: boolean;
  tries: number;
  resolve(data: never): void;
  reject(error: ChatError): void;
  timer: ReturnType<typeof setTimeout>;
  retry?: ReturnType<typeof setTimeout>;
}

export interface CommandOptions {
  /** After which time without an answer the call fails with `TIMEOUT`, in milliseconds. */
  timeoutMs?: number;
  /** Whether the command may be sent again after its outcome became unknown. True for everything but a send without `clientMessageId`. */
  isRepeatable?: boolean;
}

const TIMEOUT_MS = 30_000;

/** Commands under way: matches answers, repeats what the service asks to repeat, and sends again after a reconnect. */
export class Commands {
  private readonly pending = new Map<string, Pending>();
  private lastId = 0;

  constructor(private readonly send: (text: string) => boolean) {}

  request<K extends keyof SocketCommands>(event: K, data: SocketCommands[K], options: CommandOptions = {}): Promise<Answer<K>> {
    const id = String(++this.lastId);
    return new Promise<Answer<K>>((resolve, reject) => {
      const timer = setTimeout(() => this.fail(id, new ChatError('TIMEOUT', `${event} was not answered in time.`)), options.timeoutMs ?? TIMEOUT_MS);
      const pending: Pending = {
        text: JSON.stringify({ id, event, data }),
        isSent: false,
        isRepeatable: options.isRepeatable ?? true,
        tries: 0,
        resolve: resolve as (data: never) => void,
        reject,
        timer,
      };
      this.pending.set(id, pending);
      this.transmit(pending);
    });
  }

  /** The connection is ready: what has no answer is sent, in the order in which it was asked for. */
  onConnected(): void {
    for (const pending of this.pending.values()) this.transmit(pending);
  }

  /** The connection is lost: what must not be repeated has an unknown outcome. */
  onLost(): void {
    for (const [id, pending] of this.pending) {
      if (pending.isSent && !pending.isRepeatable) this.fail(id, new ChatError('NETWORK', 'The connection was lost before the answer came.'));
      pending.isSent = false;
    }
  }

  onAck({ id, data }: AckFrame): void {
    const pending = this.pending.get(String(id));
    if (!pending) return;
    if (data.success) {
      this.forget(String(id), pending);
      return pending.resolve(data as never);
    }
    const { code = 'INTERNAL_ERROR', message = '', details, retryAfterMs } = data.error ?? {};
    const isRetried = code === 'RATE_LIMITED' || (code === 'UNAVAILABLE' && pending.isRepeatable);
    if (!isRetried) {
      return this.fail(String(id), new ChatError(code, message, details ? { details } : {}));
    }
    pending.isSent = false;
    pending.retry = setTimeout(() => this.transmit(pending), Math.max(retryAfterMs ?? 0, backoff(pending.tries++, 500, 10_000)));
  }

  /** Ends every call. */
  end(error: ChatError = disconnected()): void {
    for (const id of [...this.pending.keys()]) this.fail(id, error);
  }

  private transmit(pending: Pending): void {
    clearTimeout(pending.retry);
    if (!pending.isSent) pending.isSent = this.send(pending.text);
  }

  private fail(id: string, error: ChatError): void {
    const pending = this.pending.get(id);
    if (!pending) return;
    this.forget(id, pending);
    pending.reject(error);
  }

  private forget(id: string, pending: Pending): void {
    clearTimeout(pending.timer);
    clearTimeout(pending.retry);
    this.pending.delete(id);
  }
}
