import { ChatError } from './errors';
import { abortable, backoff, sleep } from './timing';

/** Gives a token of the user; called when there is none, or when the last one was refused or is about to end. */
export type TokenProvider = () => string | Promise<string>;

const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;

/**
 * The one place that asks the provider. Everybody who needs a token while the provider works waits for the same call; a provider that
 * fails is asked again with growing delays, until the client is disconnected.
 */
export class TokenSource {
  private token: string | undefined;
  private waiting: Promise<string> | undefined;
  private user: string | undefined;

  constructor(
    private readonly provide: TokenProvider,
    private readonly signal: AbortSignal,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** The user of the tokens, known after the first one. */
  get userId(): string | undefined {
    return this.user;
  }

  /** The current token, or the next one of the provider. */
  get(): Promise<string> {
    if (this.token !== undefined) return Promise.resolve(this.token);
    this.waiting ??= this.fetch().finally(() => (this.waiting = undefined));
    return this.waiting;
  }

  /** Forgets `token` after the service refused it. A newer token stays. */
  reject(token: string): void {
    if (this.token === token) this.token = undefined;
  }

  /** Asks for a token although there is one: before that one ends. The old one stays in use until the new one is there. */
  async renew(): Promise<string> {
    if (!this.waiting) {
      this.waiting = this.fetch().finally(() => (this.waiting = undefined));
    }
    return this.waiting;
  }

  private async fetch(): Promise<string> {
    for (let tries = 0; ; tries++) {
      try {
        const token = await abortable(Promise.resolve().then(this.provide), this.signal);
        if (typeof token !== 'string' || token === '') throw new ChatError('UNAUTHORIZED', 'The token provider gave no token.');
        this.checkUser(token);
        return (this.token = token);
      } catch (error) {
        if (this.signal.aborted || (error instanceof ChatError && error.code === 'USER_CHANGED')) throw error;
        this.onFailure(error);
        await sleep(backoff(tries, FIRST_DELAY_MS, MAX_DELAY_MS), this.signal);
      }
    }
  }

  /** One client serves one user: a token of another one would mix two users' data. */
  private checkUser(token: string): void {
    const subject = claims(token).sub;
    if (typeof subject !== 'string') return;
    this.user ??= subject;
    if (this.user !== subject) {
      throw new ChatError('USER_CHANGED', 'The token provider gave a token of another user. Make a new client for another user.');
    }
  }
}

/** The claims of a JWT, unverified: the service verifies. Empty for a text that is no JWT. */
export function claims(token: string): { sub?: unknown; exp?: unknown } {
  try {
    const payload = token.split('.')[1] ?? '';
    const bytes = atob(payload.replace(/-/g, '+').replace(/_/g, '/'));
    const text = decodeURIComponent([...bytes].map((c) => '%' + c.charCodeAt(0).toString(16).padStart(2, '0')).join(''));
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
