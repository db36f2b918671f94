import { ChatError } from './errors';
import { type AckFrame, type EventFrame, STOP_CODES, TOO_MANY, UNAUTHENTICATED } from './protocol';
import { backoff } from './timing';
import { claims, type TokenSource } from './tokens';

/** How the connection is. `stopped` is final: the service forbade to come back, and `code` says why. */
export type ConnectionState =
  | { status: 'disconnected' }
  | { status: 'connecting' }
  | { status: 'connected' }
  | { status: 'waiting'; retryAt: number }
  | { status: 'stopped'; code: number; reason: string };

export type WebSocketLike = Pick<WebSocket, 'send' | 'close' | 'readyState' | 'onopen' | 'onmessage' | 'onerror' | 'onclose'>;
export type WebSocketFactory = (url: string, protocols: string[]) => WebSocketLike;

/** Times of the watchdog, in milliseconds. A dead connection is found within `pingAfter + pingTimeout`. */
export interface Watchdog {
  /** Silence after which a `ping` is sent. */
  pingAfter: number;
  /** Time within which anything must arrive after it. */
  pingTimeout: number;
  /** The same for a ping that the platform asked for: the page became visible, the network came back. */
  probeTimeout: number;
}

export const WATCHDOG: Watchdog = { pingAfter: 10_000, pingTimeout: 8_000, probeTimeout: 4_000 };

interface Hooks {
  onFrame(frame: EventFrame): void;
  onAck(frame: AckFrame): void;
  onState(state: ConnectionState): void;
  /** The cursor to resume from, if any. */
  cursor(): string | undefined;
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A connection that lived this long counts as good: the next failure starts with a short delay again. */
const STABLE_MS = 10_000;
/** A refresh is asked for when this part of the token's remaining life is over. */
const REFRESH_AT = 0.8;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One socket at a time: opens it, watches it, and opens the next one when it is lost. */
export class Connection {
  private socket: WebSocketLike | undefined;
  private state: ConnectionState = { status: 'disconnected' };
  private isReady = false;
  private tries = 0;
  private rejections = 0;
  private minimumDelay: number | undefined;
  private readySince = 0;
  private pingDue: number | undefined;
  private readonly timers = new Map<'retry' | 'ping' | 'dead' | 'refresh', ReturnType<typeof setTimeout>>();
  private readonly ownEvents: [EventTarget, string][] = [];

  constructor(
    private readonly url: string,
    private readonly tokens: TokenSource,
    private readonly factory: WebSocketFactory,
    private readonly hooks: Hooks,
    private readonly watchdog: Watchdog = WATCHDOG,
  ) {}

  get current(): ConnectionState {
    return this.state;
  }

  start(): void {
    if (this.state.status !== 'disconnected') return;
    this.listenToPlatform();
    void this.open();
  }

  /** Ends the socket and every timer. */
  stop(): void {
    for (const [target, name] of this.ownEvents.splice(0)) target.removeEventListener(name, this.probe);
    this.clearTimers();
    this.drop(1000);
    this.setState({ status: 'disconnected' });
  }

  /** Tries at once instead of waiting for the next try. */
  retryNow(): void {
    if (this.state.status === 'waiting') void this.open();
  }

  /** Sends a text if the connection is ready, and says whether it did. */
  send(text: string): boolean {
    if (!this.isReady || !this.socket || this.socket.readyState !== 1) return false;
    this.socket.send(text);
    return true;
  }

  private async open(): Promise<void> {
    this.clearTimers();
    this.setState({ status: 'connecting' });
    let token: string;
    try {
      token = await this.tokens.get();
    } catch (error) {
      if (error instanceof ChatError && error.code === 'USER_CHANGED') this.setState({ status: 'stopped', code: UNAUTHENTICATED, reason: error.message });
      return;
    }
    if (this.state.status !== 'connecting') return;
    const cursor = this.hooks.cursor();
    const url = cursor === undefined ? this.url : `${this.url}?resume=${encodeURIComponent(cursor)}`;
    let socket: WebSocketLike;
    try {
      socket = this.factory(url, ['chat.v1', `bearer.${token}`]);
    } catch {
      return this.lost(1006, '');
    }
    this.socket = socket;
    // Frames and the close event of an abandoned socket are ignored.
    const isCurrent = () => this.socket === socket;
    socket.onmessage = ({ data }) => {
      if (isCurrent() && typeof data === 'string') this.take(data, token);
    };
    socket.onerror = () => isCurrent() && this.lost(1006, '');
    socket.onclose = ({ code, reason }) => {
      if (!isCurrent()) return;
      if (code === UNAUTHENTICATED) this.tokens.reject(token);
      this.lost(code, reason);
    };
    this.expectLife(this.watchdog.pingAfter + this.watchdog.pingTimeout);
  }

  private take(text: string, token: string): void {
    let frame: EventFrame | AckFrame;
    try {
      frame = JSON.parse(text) as EventFrame | AckFrame;
    } catch {
      return;
    }
    this.heard();
    if (frame.event === 'ack') return this.hooks.onAck(frame);
    if (frame.event === 'reconnect') this.minimumDelay = frame.data.retryAfterMs;
    if (frame.event === 'connected') this.ready(frame.data.timestamp, token);
    this.hooks.onFrame(frame);
    if (frame.event === 'connected') this.setState({ status: 'connected' });
  }

  private ready(serverTime: string, token: string): void {
    this.isReady = true;
    this.rejections = 0;
    this.readySince = Date.now();
    this.planRefresh(token, serverTime);
  }

  private heard(): void {
    this.clearTimer('dead');
    this.pingDue = undefined;
    if (this.isReady) this.setTimer('ping', this.watchdog.pingAfter, () => this.ping(this.watchdog.pingTimeout));
    else this.expectLife(this.watchdog.pingAfter + this.watchdog.pingTimeout);
  }

  private ping(timeout: number): void {
    this.clearTimer('ping');
    if (this.socket?.readyState === 1) this.socket.send('{"id":"ping","event":"ping"}');
    this.expectLife(timeout);
  }

  /** Gives the connection up unless something arrives in time. */
  private expectLife(timeout: number): void {
    this.pingDue = Date.now() + timeout;
    this.setTimer('dead', timeout, () => {
      const late = Date.now() - (this.pingDue ?? Date.now());
      // The machine slept, or the page was frozen: what arrived meanwhile is handled after this timer, so ask once more.
      if (late > 2_000 && this.isReady) return this.ping(this.watchdog.probeTimeout);
      this.lost(1006, 'nothing was heard in time');
    });
  }

  /** The page is visible again or the network came back: do not wait for timers that may be minutes late. */
  private readonly probe = (): void => {
    const doc = globalThis.document;
    if (doc && doc.visibilityState === 'hidden') return;
    if (this.state.status === 'waiting') void this.open();
    else if (this.isReady && !this.timers.has('dead')) this.ping(this.watchdog.probeTimeout);
  };

  private listenToPlatform(): void {
    const listen = (target: EventTarget | undefined, name: string) => {
      if (!target || typeof target.addEventListener !== 'function') return;
      target.addEventListener(name, this.probe);
      this.ownEvents.push([target, name]);
    };
    listen(globalThis.document, 'visibilitychange');
    listen(globalThis.window, 'online');
    listen(globalThis.window, 'pageshow');
  }

  private lost(code: number, reason: string): void {
    const wasStable = this.isReady && Date.now() - this.readySince >= STABLE_MS;
    this.drop(code);
    this.clearTimers();
    if (STOP_CODES.has(code)) return this.setState({ status: 'stopped', code, reason });
    if (wasStable) this.tries = 0;
    let delay = this.minimumDelay ?? backoff(this.tries++, FIRST_DELAY_MS, MAX_DELAY_MS);
    this.minimumDelay = undefined;
    // One refused token is replaced at once; a second one in a row means that the provider has no better one.
    if (code === UNAUTHENTICATED && this.rejections++ === 0) delay = 0;
    if (code === TOO_MANY) delay = Math.max(delay, backoff(this.tries, 4_000, 120_000));
    this.setState({ status: 'waiting', retryAt: Date.now() + delay });
    this.setTimer('retry', delay, () => void this.open());
  }

  /** Lets go of the socket at once. Its own `close` event may come minutes later, or never. */
  private drop(code: number): void {
    const socket = this.socket;
    this.socket = undefined;
    this.isReady = false;
    if (!socket) return;
    socket.onmessage = socket.onclose = socket.onopen = null;
    socket.onerror = () => undefined;
    try {
      socket.close(code === 1000 ? 1000 : 4000);
    } catch {
      // It never opened.
    }
  }

  /** Renews the token before it ends. Its life is measured by the service's clock: the device's may be wrong. */
  private planRefresh(token: string, serverTime: string): void {
    const expiry = expiryOf(token);
    const left = expiry === undefined ? NaN : expiry - Date.parse(serverTime);
    if (!(left > 0) || left > MAX_TIMER_MS) return;
    const socket = this.socket;
    this.setTimer('refresh', left * REFRESH_AT, async () => {
      try {
        const fresh = await this.tokens.renew();
        // The same token again: its end closes the socket, and the provider is asked then.
        if (fresh === token || this.socket !== socket) return;
        this.send(JSON.stringify({ id: 'refresh', event: 'token:refresh', data: { token: fresh } }));
        this.planRefresh(fresh, new Date(Date.parse(serverTime) + left * REFRESH_AT).toISOString());
      } catch {
        // Disconnected meanwhile.
      }
    });
  }

  private setState(state: ConnectionState): void {
    if (this.state.status === state.status && state.status !== 'waiting') return;
    this.state = state;
    this.hooks.onState(state);
  }

  private setTimer(name: 'retry' | 'ping' | 'dead' | 'refresh', ms: number, run: () => void): void {
    this.clearTimer(name);
    this.timers.set(
      name,
      setTimeout(() => {
        this.timers.delete(name);
        run();
      }, ms),
    );
  }

  private clearTimer(name: 'retry' | 'ping' | 'dead' | 'refresh'): void {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }

  private clearTimers(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
  }
}
function expiryOf(token: string): number | undefined {
  const { exp } = claims(token);
  return typeof exp === 'number' ? exp * 1000 : undefined;
}

/** The factory of the platform's own WebSocket. */
export const platformWebSocket: WebSocketFactory = (url, protocols) => new WebSocket(url, protocols);
