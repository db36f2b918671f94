// The client of the Chat Service as one file: built from src/ by `npm run build`. Do not edit.
// src/errors.ts
var ChatError = class extends Error {
  constructor(code, message, more = {}) {
    super(message);
    this.name = "ChatError";
    this.code = code;
    this.status = more.status;
    this.details = more.details ?? [];
    this.retryAfterMs = more.retryAfterMs;
    if (more.cause !== void 0) this.cause = more.cause;
  }
  get isFinal() {
    return !TRANSIENT.has(this.code);
  }
};
var TRANSIENT = /* @__PURE__ */ new Set(["UNAVAILABLE", "RATE_LIMITED", "TIMEOUT", "NETWORK", "DISCONNECTED", "STOPPED", "INTERNAL_ERROR", "UNAUTHORIZED"]);
var disconnected = () => new ChatError("DISCONNECTED", "The client was disconnected.");

// src/timing.ts
function backoff(tries, first, max) {
  const full = Math.min(max, first * 2 ** Math.min(tries, 30));
  return full / 2 + Math.random() * (full / 2);
}
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const done = () => {
      signal.removeEventListener("abort", abort);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
  });
}
function abortable(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
function newId() {
  const own = globalThis.crypto;
  if (own?.randomUUID) return own.randomUUID();
  const bytes = own ? own.getRandomValues(new Uint8Array(16)) : Uint8Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// src/commands.ts
var TIMEOUT_MS = 3e4;
var Commands = class {
  constructor(send) {
    this.send = send;
    this.pending = /* @__PURE__ */ new Map();
    this.lastId = 0;
  }
  request(event, data, options = {}) {
    const id = String(++this.lastId);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.fail(id, new ChatError("TIMEOUT", `${event} was not answered in time.`)), options.timeoutMs ?? TIMEOUT_MS);
      const pending = {
        text: JSON.stringify({ id, event, data }),
        isSent: false,
        isRepeatable: options.isRepeatable ?? true,
        tries: 0,
        resolve,
        reject,
        timer
      };
      this.pending.set(id, pending);
      this.transmit(pending);
    });
  }
  /** The connection is ready: what has no answer is sent, in the order in which it was asked for. */
  onConnected() {
    for (const pending of this.pending.values()) this.transmit(pending);
  }
  /** The connection is lost: what must not be repeated has an unknown outcome. */
  onLost() {
    for (const [id, pending] of this.pending) {
      if (pending.isSent && !pending.isRepeatable) this.fail(id, new ChatError("NETWORK", "The connection was lost before the answer came."));
      pending.isSent = false;
    }
  }
  onAck({ id, data }) {
    const pending = this.pending.get(String(id));
    if (!pending) return;
    if (data.success) {
      this.forget(String(id), pending);
      return pending.resolve(data);
    }
    const { code = "INTERNAL_ERROR", message = "", details, retryAfterMs } = data.error ?? {};
    const isRetried = code === "RATE_LIMITED" || code === "UNAVAILABLE" && pending.isRepeatable;
    if (!isRetried) {
      return this.fail(String(id), new ChatError(code, message, details ? { details } : {}));
    }
    pending.isSent = false;
    pending.retry = setTimeout(() => this.transmit(pending), Math.max(retryAfterMs ?? 0, backoff(pending.tries++, 500, 1e4)));
  }
  /** Ends every call. */
  end(error = disconnected()) {
    for (const id of [...this.pending.keys()]) this.fail(id, error);
  }
  transmit(pending) {
    clearTimeout(pending.retry);
    if (!pending.isSent) pending.isSent = this.send(pending.text);
  }
  fail(id, error) {
    const pending = this.pending.get(id);
    if (!pending) return;
    this.forget(id, pending);
    pending.reject(error);
  }
  forget(id, pending) {
    clearTimeout(pending.timer);
    clearTimeout(pending.retry);
    this.pending.delete(id);
  }
};

// src/protocol.ts
var STOP_CODES = /* @__PURE__ */ new Set([1002, 1007, 1009, 4400, 4403]);
var UNAUTHENTICATED = 4401;
var TOO_MANY = 4429;

// src/tokens.ts
var FIRST_DELAY_MS = 1e3;
var MAX_DELAY_MS = 3e4;
var TokenSource = class {
  constructor(provide, signal, onFailure) {
    this.provide = provide;
    this.signal = signal;
    this.onFailure = onFailure;
  }
  /** The user of the tokens, known after the first one. */
  get userId() {
    return this.user;
  }
  /** The current token, or the next one of the provider. */
  get() {
    if (this.token !== void 0) return Promise.resolve(this.token);
    this.waiting ?? (this.waiting = this.fetch().finally(() => this.waiting = void 0));
    return this.waiting;
  }
  /** Forgets `token` after the service refused it. A newer token stays. */
  reject(token) {
    if (this.token === token) this.token = void 0;
  }
  /** Asks for a token although there is one: before that one ends. The old one stays in use until the new one is there. */
  async renew() {
    if (!this.waiting) {
      this.waiting = this.fetch().finally(() => this.waiting = void 0);
    }
    return this.waiting;
  }
  async fetch() {
    for (let tries = 0; ; tries++) {
      try {
        const token = await abortable(Promise.resolve().then(this.provide), this.signal);
        if (typeof token !== "string" || token === "") throw new ChatError("UNAUTHORIZED", "The token provider gave no token.");
        this.checkUser(token);
        return this.token = token;
      } catch (error) {
        if (this.signal.aborted || error instanceof ChatError && error.code === "USER_CHANGED") throw error;
        this.onFailure(error);
        await sleep(backoff(tries, FIRST_DELAY_MS, MAX_DELAY_MS), this.signal);
      }
    }
  }
  /** One client serves one user: a token of another one would mix two users' data. */
  checkUser(token) {
    const subject = claims(token).sub;
    if (typeof subject !== "string") return;
    this.user ?? (this.user = subject);
    if (this.user !== subject) {
      throw new ChatError("USER_CHANGED", "The token provider gave a token of another user. Make a new client for another user.");
    }
  }
};
function claims(token) {
  try {
    const payload = token.split(".")[1] ?? "";
    const bytes = atob(payload.replace(/-/g, "+").replace(/_/g, "/"));
    const text = decodeURIComponent([...bytes].map((c) => "%" + c.charCodeAt(0).toString(16).padStart(2, "0")).join(""));
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

// src/connection.ts
var WATCHDOG = { pingAfter: 1e4, pingTimeout: 8e3, probeTimeout: 4e3 };
var FIRST_DELAY_MS2 = 500;
var MAX_DELAY_MS2 = 3e4;
var STABLE_MS = 1e4;
var REFRESH_AT = 0.8;
var MAX_TIMER_MS = 2 ** 31 - 1;
var Connection = class {
  constructor(url, tokens, factory, hooks, watchdog = WATCHDOG) {
    this.url = url;
    this.tokens = tokens;
    this.factory = factory;
    this.hooks = hooks;
    this.watchdog = watchdog;
    this.state = { status: "disconnected" };
    this.isReady = false;
    this.tries = 0;
    this.rejections = 0;
    this.readySince = 0;
    this.timers = /* @__PURE__ */ new Map();
    this.ownEvents = [];
    /** The page is visible again or the network came back: do not wait for timers that may be minutes late. */
    this.probe = () => {
      const doc = globalThis.document;
      if (doc && doc.visibilityState === "hidden") return;
      if (this.state.status === "waiting") void this.open();
      else if (this.isReady && !this.timers.has("dead")) this.ping(this.watchdog.probeTimeout);
    };
  }
  get current() {
    return this.state;
  }
  start() {
    if (this.state.status !== "disconnected") return;
    this.listenToPlatform();
    void this.open();
  }
  /** Ends the socket and every timer. */
  stop() {
    for (const [target, name] of this.ownEvents.splice(0)) target.removeEventListener(name, this.probe);
    this.clearTimers();
    this.drop(1e3);
    this.setState({ status: "disconnected" });
  }
  /** Tries at once instead of waiting for the next try. */
  retryNow() {
    if (this.state.status === "waiting") void this.open();
  }
  /** Sends a text if the connection is ready, and says whether it did. */
  send(text) {
    if (!this.isReady || !this.socket || this.socket.readyState !== 1) return false;
    this.socket.send(text);
    return true;
  }
  async open() {
    this.clearTimers();
    this.setState({ status: "connecting" });
    let token;
    try {
      token = await this.tokens.get();
    } catch (error) {
      if (error instanceof ChatError && error.code === "USER_CHANGED") this.setState({ status: "stopped", code: UNAUTHENTICATED, reason: error.message });
      return;
    }
    if (this.state.status !== "connecting") return;
    const cursor = this.hooks.cursor();
    const url = cursor === void 0 ? this.url : `${this.url}?resume=${encodeURIComponent(cursor)}`;
    let socket;
    try {
      socket = this.factory(url, ["chat.v1", `bearer.${token}`]);
    } catch {
      return this.lost(1006, "");
    }
    this.socket = socket;
    const isCurrent = () => this.socket === socket;
    socket.onmessage = ({ data }) => {
      if (isCurrent() && typeof data === "string") this.take(data, token);
    };
    socket.onerror = () => isCurrent() && this.lost(1006, "");
    socket.onclose = ({ code, reason }) => {
      if (!isCurrent()) return;
      if (code === UNAUTHENTICATED) this.tokens.reject(token);
      this.lost(code, reason);
    };
    this.expectLife(this.watchdog.pingAfter + this.watchdog.pingTimeout);
  }
  take(text, token) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    this.heard();
    if (frame.event === "ack") return this.hooks.onAck(frame);
    if (frame.event === "reconnect") this.minimumDelay = frame.data.retryAfterMs;
    if (frame.event === "connected") this.ready(frame.data.timestamp, token);
    this.hooks.onFrame(frame);
    if (frame.event === "connected") this.setState({ status: "connected" });
  }
  ready(serverTime, token) {
    this.isReady = true;
    this.rejections = 0;
    this.readySince = Date.now();
    this.planRefresh(token, serverTime);
  }
  heard() {
    this.clearTimer("dead");
    this.pingDue = void 0;
    if (this.isReady) this.setTimer("ping", this.watchdog.pingAfter, () => this.ping(this.watchdog.pingTimeout));
    else this.expectLife(this.watchdog.pingAfter + this.watchdog.pingTimeout);
  }
  ping(timeout) {
    this.clearTimer("ping");
    if (this.socket?.readyState === 1) this.socket.send('{"id":"ping","event":"ping"}');
    this.expectLife(timeout);
  }
  /** Gives the connection up unless something arrives in time. */
  expectLife(timeout) {
    this.pingDue = Date.now() + timeout;
    this.setTimer("dead", timeout, () => {
      const late = Date.now() - (this.pingDue ?? Date.now());
      if (late > 2e3 && this.isReady) return this.ping(this.watchdog.probeTimeout);
      this.lost(1006, "nothing was heard in time");
    });
  }
  listenToPlatform() {
    const listen = (target, name) => {
      if (!target || typeof target.addEventListener !== "function") return;
      target.addEventListener(name, this.probe);
      this.ownEvents.push([target, name]);
    };
    listen(globalThis.document, "visibilitychange");
    listen(globalThis.window, "online");
    listen(globalThis.window, "pageshow");
  }
  lost(code, reason) {
    const wasStable = this.isReady && Date.now() - this.readySince >= STABLE_MS;
    this.drop(code);
    this.clearTimers();
    if (STOP_CODES.has(code)) return this.setState({ status: "stopped", code, reason });
    if (wasStable) this.tries = 0;
    let delay = this.minimumDelay ?? backoff(this.tries++, FIRST_DELAY_MS2, MAX_DELAY_MS2);
    this.minimumDelay = void 0;
    if (code === UNAUTHENTICATED && this.rejections++ === 0) delay = 0;
    if (code === TOO_MANY) delay = Math.max(delay, backoff(this.tries, 4e3, 12e4));
    this.setState({ status: "waiting", retryAt: Date.now() + delay });
    this.setTimer("retry", delay, () => void this.open());
  }
  /** Lets go of the socket at once. Its own `close` event may come minutes later, or never. */
  drop(code) {
    const socket = this.socket;
    this.socket = void 0;
    this.isReady = false;
    if (!socket) return;
    socket.onmessage = socket.onclose = socket.onopen = null;
    socket.onerror = () => void 0;
    try {
      socket.close(code === 1e3 ? 1e3 : 4e3);
    } catch {
    }
  }
  /** Renews the token before it ends. Its life is measured by the service's clock: the device's may be wrong. */
  planRefresh(token, serverTime) {
    const expiry = expiryOf(token);
    const left = expiry === void 0 ? NaN : expiry - Date.parse(serverTime);
    if (!(left > 0) || left > MAX_TIMER_MS) return;
    const socket = this.socket;
    this.setTimer("refresh", left * REFRESH_AT, async () => {
      try {
        const fresh = await this.tokens.renew();
        if (fresh === token || this.socket !== socket) return;
        this.send(JSON.stringify({ id: "refresh", event: "token:refresh", data: { token: fresh } }));
        this.planRefresh(fresh, new Date(Date.parse(serverTime) + left * REFRESH_AT).toISOString());
      } catch {
      }
    });
  }
  setState(state) {
    if (this.state.status === state.status && state.status !== "waiting") return;
    this.state = state;
    this.hooks.onState(state);
  }
  setTimer(name, ms, run) {
    this.clearTimer(name);
    this.timers.set(
      name,
      setTimeout(() => {
        this.timers.delete(name);
        run();
      }, ms)
    );
  }
  clearTimer(name) {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }
  clearTimers() {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
  }
};
function expiryOf(token) {
  const { exp } = claims(token);
  return typeof exp === "number" ? exp * 1e3 : void 0;
}
var platformWebSocket = (url, protocols) => new WebSocket(url, protocols);

// src/emitter.ts
var Emitter = class {
  constructor() {
    this.listeners = /* @__PURE__ */ new Map();
  }
  /** Calls `listener` at each `event`; returns the function that ends it. */
  on(event, listener) {
    let set = this.listeners.get(event);
    if (!set) this.listeners.set(event, set = /* @__PURE__ */ new Set());
    set.add(listener);
    return () => void set.delete(listener);
  }
  emit(event, value) {
    for (const listener of [...this.listeners.get(event) ?? []]) {
      try {
        listener(value);
      } catch (error) {
        report(error);
      }
    }
  }
  clear() {
    this.listeners.clear();
  }
};
function report(error) {
  if (typeof queueMicrotask === "function") {
    queueMicrotask(() => {
      throw error;
    });
  }
}

// src/receipts.ts
function raise(receipts, userId, field, seq) {
  const known = receipts.get(userId) ?? { readSeq: 0, deliveredSeq: 0 };
  if (seq <= known[field]) return receipts;
  const next = { ...known, [field]: seq };
  next.deliveredSeq = Math.max(next.deliveredSeq, next.readSeq);
  return new Map(receipts).set(userId, next);
}
var MAX_MEMBERS = 20;
async function readReceipts(rest, conversation, messages, me) {
  let receipts = /* @__PURE__ */ new Map();
  const own = messages.filter(({ senderId, isDeleted }) => senderId === me && !isDeleted);
  const others = conversation.participantIds.filter((id) => id !== me);
  if (own.length === 0 || !conversation.features.reads || conversation.participantCount > MAX_MEMBERS) return receipts;
  for (const [path, field] of [["read", "readSeq"], ["delivered", "deliveredSeq"]]) {
    let low = 0;
    let high = own.length - 1;
    for (let middle = high; low <= high; middle = low + high >> 1) {
      const message = own[middle];
      const page = await rest.call(`/api/messages/${message.id}/${path}`, { query: { limit: 100 } });
      for (const { userId } of page.receipts) receipts = raise(receipts, userId, field, message.seq);
      if (others.every((id) => (receipts.get(id)?.[field] ?? 0) >= message.seq)) low = middle + 1;
      else high = middle - 1;
    }
  }
  return receipts;
}

// src/timeline.ts
function merge(list, more) {
  if (more.length === 0) return list;
  const bySeq = new Map(list.map((message) => [message.seq, message]));
  let changed = false;
  for (const message of more) {
    const known = bySeq.get(message.seq);
    if (known && JSON.stringify(known) === JSON.stringify(message)) continue;
    bySeq.set(message.seq, message);
    changed = true;
  }
  return changed ? [...bySeq.values()].sort((a, b) => a.seq - b.seq) : list;
}
function change(list, id, edit) {
  const index = list.findIndex((message2) => message2.id === id);
  const message = list[index];
  if (!message) return list;
  const next = edit(message);
  if (next === message) return list;
  const copy = list.slice();
  copy[index] = next;
  return copy;
}
var without = (list, id) => list.some((message) => message.id === id) ? list.filter((message) => message.id !== id) : list;
function addNew(list, message) {
  const withReply = message.threadId ? change(list, message.threadId, (root) => ({ ...root, replyCount: root.replyCount + 1, lastReplyAt: message.createdAt })) : list;
  const last = withReply[withReply.length - 1];
  return !last || last.seq < message.seq ? [...withReply, message] : merge(withReply, [message]);
}
function edited(message, edit) {
  const next = { ...message, content: edit.content, isEdited: edit.isEdited, updatedAt: edit.updatedAt };
  if (edit.metadata !== void 0) next.metadata = edit.metadata;
  return next;
}
function tombstone(message, deletedAt) {
  const { metadata: _m, pinnedAt: _a, pinnedBy: _b, forwardedFrom: _f, ...rest } = message;
  return { ...rest, content: "", attachments: [], mentions: [], reactions: [], isDeleted: true, updatedAt: deletedAt };
}
var SHOWN_USERS = 20;
function reacted(message, data, isGiven, me) {
  const known = message.reactions.find(({ emoji }) => emoji === data.emoji);
  const summary = known ?? { emoji: data.emoji, count: 0, userIds: [], reactedByMe: false };
  const others = summary.userIds.filter((user) => user !== data.userId);
  const userIds = isGiven && others.length < SHOWN_USERS ? [...others, data.userId] : others;
  const next = {
    ...summary,
    count: data.totalCount,
    userIds: isGiven && summary.userIds.includes(data.userId) ? summary.userIds : userIds,
    reactedByMe: data.userId === me ? isGiven : summary.reactedByMe
  };
  const rest = message.reactions.filter(({ emoji }) => emoji !== data.emoji);
  const reactions = next.count > 0 ? [...rest, next] : rest;
  reactions.sort((a, b) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1));
  return { ...message, reactions };
}
function isCountable(message, me) {
  return message.senderId !== me && !message.isDeleted && message.type !== "system" && !message.silent;
}
function mentionsUser(message, me) {
  return message.mentions.some((user) => user === me || user === "@all");
}

// src/conversation.ts
var PAGE = 50;
var MAX_UNOPENED = 100;
var ACTIVE_MS = 45e3;
var REFRESH_MS = 300;
var DOUBTFUL_MS = 5e3;
var MAX_TIMER_MS2 = 2 ** 31 - 1;
var ConversationState = class {
  constructor(id, hooks) {
    this.id = id;
    this.hooks = hooks;
    /** Numbered events that came too early. */
    this.early = /* @__PURE__ */ new Map();
    /** Replies up to this number may be counted already in roots that were read by REST. */
    this.uncertainReplies = 0;
    /** Whether numbered events wait, because the history is being read. */
    this.isHolding = false;
    this.activity = /* @__PURE__ */ new Map();
    this.lastRead = "";
    /** Time at which the counts were last read, by the device's clock. */
    this.adoptedAt = 0;
    this.isNotifying = true;
    this.isDirty = false;
    this.snap = {
      id,
      conversation: void 0,
      isMember: true,
      messages: [],
      isLoaded: false,
      hasOlder: true,
      pending: [],
      readSeq: 0,
      unreadCount: 0,
      mentionCount: 0,
      active: [],
      receipts: /* @__PURE__ */ new Map()
    };
  }
  get snapshot() {
    return this.snap;
  }
  /** The newest number that is taken in. */
  get seq() {
    return this.position;
  }
  /** Takes in a conversation that a list showed. A position that is already further stays. */
  takeListed(conversation) {
    if (this.position !== void 0) return;
    if (!this.isOpen) this.adopt(conversation);
    else this.loadAgain();
  }
  /** Takes in an event of this conversation. */
  take(frame) {
    this.batch(() => {
      if (frame.seq === void 0) return this.applyUnnumbered(frame);
      const begins = frame.event === "conversation:new" || frame.event === "conversation:joined";
      if (begins && (this.position === void 0 || frame.seq > this.position)) this.begin(frame);
      else if (this.position === void 0 || frame.seq > this.position) this.early.set(frame.seq, frame);
      this.drain();
      if (this.position === void 0 && this.isOpen) this.loadAgain();
    });
  }
  /** Whether the history is shown or being read. Then the position is set together with the list, so that a message up to it is never absent. */
  get isOpen() {
    return this.snap.isLoaded || this.loading !== void 0;
  }
  loadAgain() {
    if (!this.loading) void this.load().catch(() => void 0);
  }
  /** Loads the newest part of the history. Repeated calls share the work. */
  load() {
    return this.loading ?? (this.loading = this.loadNewest().finally(() => {
      this.loading = void 0;
      this.isHolding = false;
      this.batch(() => this.drain());
    }));
  }
  /** Loads messages before the first loaded one. */
  async loadOlder(limit = PAGE) {
    if (!this.snap.isLoaded) return this.load();
    const first = this.snap.messages[0];
    if (!this.snap.hasOlder || !first) return;
    const path = `/api/conversations/${this.id}/messages`;
    const page = await this.hooks.rest.call(path, { query: { before: first.id, limit } });
    const after = await this.hooks.rest.call(`/api/conversations/${this.id}`).catch(() => void 0);
    this.batch(() => {
      if (this.snap.messages[0]?.id !== first.id) return;
      this.uncertainReplies = Math.max(this.uncertainReplies, after?.seq ?? 0);
      this.set({ messages: merge(this.snap.messages, page.messages), hasOlder: page.hasMore });
      this.planExpiry();
    });
  }
  /** The service cannot tell what was missed: everything is read again. The old state stays visible until then. */
  async reset() {
    this.early.clear();
    this.position = void 0;
    if (this.snap.isLoaded) await this.load();
    else await this.readAgain();
  }
  /** Reads again what a resume does not bring: the read position, drafts and counts that other devices changed. */
  resumed() {
    this.refreshSoon();
  }
  showPending(item, status) {
    this.batch(() => {
      if (this.snap.messages.some((message) => this.isMine(message, item.clientMessageId))) return;
      const others = this.snap.pending.filter((pending) => pending.item.clientMessageId !== item.clientMessageId);
      this.set({ pending: [...others, { item, status }].sort((a, b) => a.item.order - b.item.order) });
    });
  }
  /** The service stored the message. It stays among `pending` until its entry arrives, so that it never disappears in between. */
  confirm(item, message) {
    const isTaken = this.position !== void 0 && message.seq <= this.position;
    if (isTaken) return this.dropPending(item.clientMessageId);
    this.showPending(item, "sent");
    void sleep(5e3, this.hooks.signal).then(() => {
      if (this.position === void 0 || this.loading) return;
      return this.position < message.seq ? this.repair() : this.dropPending(item.clientMessageId);
    }).catch(() => void 0);
  }
  dropPending(clientMessageId) {
    this.batch(() => {
      if (!this.snap.pending.some(({ item }) => item.clientMessageId === clientMessageId)) return;
      this.set({ pending: this.snap.pending.filter(({ item }) => item.clientMessageId !== clientMessageId) });
    });
  }
  /** Frees every timer. */
  close() {
    clearTimeout(this.refreshTimer);
    clearTimeout(this.expiryTimer);
    for (const timer of this.activity.values()) clearTimeout(timer);
    this.activity.clear();
  }
  // --- numbered events ---------------------------------------------------------------------------------------------
  drain() {
    if (this.isHolding) return;
    if (this.position === void 0) {
      if (this.early.size > 0 && !this.isOpen) void this.readAgain().catch(() => void 0);
      return;
    }
    for (const seq of this.early.keys()) if (seq <= this.position) this.early.delete(seq);
    for (let next = this.early.get(this.position + 1); next; next = this.early.get(this.position + 1)) {
      this.early.delete(this.position + 1);
      this.position += 1;
      this.apply(next);
    }
    if (this.early.size > 0) void this.repair().catch(() => void 0);
  }
  /** Reads what is missing between the position and what came early. */
  repair() {
    return this.repairing ?? (this.repairing = this.readLog().finally(() => this.repairing = void 0));
  }
  async readLog() {
    await sleep(100, this.hooks.signal);
    for (let more = true; more && this.position !== void 0; ) {
      const before = this.position;
      const path = `/api/conversations/${this.id}/log`;
      const page = await this.hooks.rest.call(path, { query: { after: before, limit: 100 } });
      this.batch(() => {
        for (const entry of page.entries) {
          if (this.position !== void 0 && entry.seq > this.position) this.early.set(entry.seq, frameOf(entry, this.id));
        }
        this.drain();
      });
      more = page.hasMore && this.position !== void 0 && this.position > before;
    }
  }
  begin(frame) {
    const wasLoaded = this.snap.isLoaded;
    this.position = frame.seq;
    this.set({ conversation: { ...this.snap.conversation, ...frame.data }, isMember: true });
    if (frame.event === "conversation:joined") {
      if (wasLoaded) void this.load().catch(report);
      else this.refreshSoon();
    }
  }
  apply(frame) {
    const me = this.hooks.me();
    const { messages } = this.snap;
    switch (frame.event) {
      case "message:new":
        return this.applyNew(frame.data);
      case "message:updated":
        return this.setMessages(change(messages, frame.data.messageId, (message) => edited(message, frame.data)));
      case "message:deleted":
        return this.applyDeleted(frame.data.messageId, frame.data.deletedAt, frame.data.isExpired === true);
      case "message:restored":
        return void this.readMessage(frame.data.messageId).catch(() => void 0);
      case "message:pinned":
        return this.setMessages(
          change(messages, frame.data.messageId, (message) => ({ ...message, pinnedAt: frame.data.timestamp, pinnedBy: frame.data.userId }))
        );
      case "message:unpinned":
        return this.setMessages(change(messages, frame.data.messageId, ({ pinnedAt: _a, pinnedBy: _b, ...message }) => message));
      case "reaction:added":
      case "reaction:removed": {
        const isGiven = frame.event === "reaction:added";
        return this.setMessages(change(messages, frame.data.messageId, (message) => reacted(message, frame.data, isGiven, me)));
      }
      case "conversation:updated": {
        const before = this.snap.conversation?.historyVisibility;
        this.set({ conversation: { ...this.snap.conversation, ...frame.data } });
        if (before !== frame.data.historyVisibility && this.snap.isLoaded) void this.load().catch(report);
        return;
      }
      case "conversation:removed":
        return this.set({ isMember: false, active: [] });
      case "participant:updated":
        return this.applyMember(frame.data);
      case "participant:added":
      case "participant:removed":
        return this.refreshSoon();
    }
  }
  applyNew(message) {
    const pending = this.snap.pending.filter(({ item }) => !this.isMine(message, item.clientMessageId));
    let messages = this.snap.messages;
    if (message.threadId && message.seq <= this.uncertainReplies && messages.some(({ id }) => id === message.threadId)) {
      messages = merge(messages, [message]);
      void this.readMessage(message.threadId).catch(() => void 0);
    } else {
      messages = addNew(messages, message);
    }
    if (!this.snap.isLoaded && messages.length > MAX_UNOPENED) messages = messages.slice(-MAX_UNOPENED);
    const me = this.hooks.me();
    const counts = isCountable(message, me) && message.seq > this.snap.readSeq ? 1 : 0;
    const mentions = counts > 0 && mentionsUser(message, me) ? 1 : 0;
    const conversation = this.snap.conversation && { ...this.snap.conversation, lastMessage: message, lastActivityAt: message.createdAt };
    this.set({
      messages,
      pending: pending.length === this.snap.pending.length ? this.snap.pending : pending,
      conversation,
      unreadCount: this.snap.unreadCount + counts,
      mentionCount: this.snap.mentionCount + mentions,
      active: this.snap.active.filter(({ userId }) => userId !== message.senderId)
    });
    const isCounted = this.recount();
    const isDoubtful = !isCounted && Date.now() - this.adoptedAt < DOUBTFUL_MS;
    if (counts > 0 && (isDoubtful || message.mentions.includes("@here"))) this.refreshSoon();
    if (message.expiresAt) this.planExpiry();
  }
  applyDeleted(id, deletedAt, isExpired) {
    const message = this.snap.messages.find((known) => known.id === id);
    if (!message) {
      if (this.snap.unreadCount > 0) this.refreshSoon();
      return;
    }
    this.uncount(message);
    const { messages } = this.snap;
    this.setMessages(isExpired ? without(messages, id) : change(messages, id, (known) => tombstone(known, deletedAt)));
    this.recount();
    if (this.snap.conversation?.lastMessage?.id === id) this.refreshSoon();
    if (message.threadId && isExpired) void this.readMessage(message.threadId).catch(() => void 0);
  }
  uncount(message) {
    const me = this.hooks.me();
    if (!isCountable(message, me) || message.seq <= this.snap.readSeq) return;
    this.set({
      unreadCount: Math.max(0, this.snap.unreadCount - 1),
      mentionCount: Math.max(0, this.snap.mentionCount - (mentionsUser(message, me) ? 1 : 0))
    });
    if (message.mentions.includes("@here")) this.refreshSoon();
  }
  applyMember(data) {
    const { conversation } = this.snap;
    if (!conversation || data.userId !== this.hooks.me()) return;
    const next = { ...conversation };
    if (data.role) next.myRole = data.role;
    if (data.preferences) next.preferences = data.preferences;
    this.set({ conversation: next });
  }
  // --- events that are in no log -----------------------------------------------------------------------------------
  applyUnnumbered(frame) {
    switch (frame.event) {
      case "conversation:read":
        return this.applyRead(frame.data, frame.id ?? "");
      case "draft:updated": {
        if (!this.snap.conversation) return;
        const { draft: _, ...conversation } = this.snap.conversation;
        return this.set({ conversation: frame.data.draft === void 0 ? conversation : { ...conversation, draft: frame.data.draft } });
      }
      case "message:read":
        return this.applyReceipt(frame.data.userId, frame.data.messageId, "readSeq");
      case "message:delivered":
        return this.applyReceipt(frame.data.userId, frame.data.messageId, "deliveredSeq");
      case "user:typing":
      case "user:recording":
        return this.applyActivity(frame.data);
    }
  }
  applyRead(data, id) {
    if (id < this.lastRead) return;
    this.lastRead = id;
    this.set({ readSeq: data.readSeq, unreadCount: data.unreadCount, mentionCount: data.mentionCount });
    if (!this.recount()) this.refreshSoon();
  }
  applyReceipt(userId, messageId, field) {
    const seq = this.snap.messages.find((message) => message.id === messageId)?.seq;
    if (seq !== void 0) this.setReceipts(raise(this.snap.receipts, userId, field, seq));
  }
  setReceipts(receipts) {
    if (receipts !== this.snap.receipts) this.set({ receipts });
  }
  /** Events tell receipts only from now on; the earlier ones are read. */
  async loadReceipts(conversation) {
    const found = await readReceipts(this.hooks.rest, conversation, this.snap.messages, this.hooks.me());
    let receipts = this.snap.receipts;
    for (const [userId, { readSeq, deliveredSeq }] of found) {
      receipts = raise(raise(receipts, userId, "deliveredSeq", deliveredSeq), userId, "readSeq", readSeq);
    }
    this.setReceipts(receipts);
  }
  applyActivity(data) {
    const key = `${data.type} ${data.userId}`;
    const others = this.snap.active.filter(({ userId, type }) => userId !== data.userId || type !== data.type);
    clearTimeout(this.activity.get(key));
    this.activity.delete(key);
    if (data.isActive) {
      const end = () => this.take({ event: "user:typing", data: { ...data, isActive: false } });
      this.activity.set(key, setTimeout(end, ACTIVE_MS));
    }
    this.set({ active: data.isActive ? [...others, { userId: data.userId, type: data.type }] : others });
  }
  // --- counts ------------------------------------------------------------------------------------------------------
  /** Whether every message after `readSeq` is loaded, so that unread ones can be counted here. */
  covers(readSeq) {
    const first = this.snap.messages[0];
    return this.snap.isLoaded && (!this.snap.hasOlder || first !== void 0 && first.seq <= readSeq + 1);
  }
  /**
   * Counts the unread messages here, if all of them are loaded; returns false if they are not. A count of the service belongs to the moment of
   * its reading, which may be later than the number of the conversation beside it.
   */
  recount() {
    if (!this.covers(this.snap.readSeq)) return false;
    const me = this.hooks.me();
    const unread = this.snap.messages.filter((message) => message.seq > this.snap.readSeq && isCountable(message, me));
    const mentionCount = unread.filter((message) => mentionsUser(message, me)).length;
    const isKnown = !unread.some(({ mentions }) => mentions.includes("@here"));
    if (unread.length !== this.snap.unreadCount || isKnown && mentionCount !== this.snap.mentionCount) {
      this.set({ unreadCount: unread.length, mentionCount: isKnown ? mentionCount : this.snap.mentionCount });
    }
    return true;
  }
  /** Reads the conversation again in a moment, for what events do not carry. */
  refreshSoon() {
    if (this.refreshTimer !== void 0 || this.hooks.signal.aborted) return;
    this.refreshTimer = setTimeout(() => {
      this.refreshTimer = void 0;
      this.refresh().catch(() => void 0);
    }, REFRESH_MS);
  }
  async refresh() {
    const fresh = await this.readConversation();
    if (!fresh) return;
    this.batch(() => {
      const me = this.hooks.me();
      const later = this.snap.messages.filter((message) => message.seq > fresh.seq && isCountable(message, me));
      this.set({
        conversation: fresh,
        readSeq: fresh.readSeq ?? 0,
        unreadCount: (fresh.unreadCount ?? 0) + later.length,
        mentionCount: (fresh.mentionCount ?? 0) + later.filter((message) => mentionsUser(message, me)).length
      });
      if (this.position === void 0 && !this.isOpen) this.position = fresh.seq;
      this.recount();
      this.drain();
    });
  }
  // --- reading by REST ---------------------------------------------------------------------------------------------
  adopt(conversation) {
    this.batch(() => {
      this.position = conversation.seq;
      this.set({
        conversation,
        isMember: true,
        readSeq: conversation.readSeq ?? 0,
        unreadCount: conversation.unreadCount ?? 0,
        mentionCount: conversation.mentionCount ?? 0
      });
      this.adoptedAt = Date.now();
      this.recount();
      this.drain();
    });
  }
  /** The conversation, at least as far as events showed it already; `undefined` for one that this user may not see any more. */
  async readConversation() {
    for (let tries = 0; ; tries++) {
      const found = await this.hooks.rest.call(`/api/conversations/${this.id}`).catch((error) => {
        if (error.code === "NOT_FOUND") return void 0;
        throw error;
      });
      const isBehind = found ? found.seq < (this.position ?? 0) : this.snap.isMember && this.position !== void 0;
      if (!isBehind || tries >= 20) return found;
      await sleep(100 + tries * 50, this.hooks.signal);
    }
  }
  readAgain() {
    return this.reading ?? (this.reading = this.readConversation().then((found) => {
      if (found && this.position === void 0 && !this.isOpen) this.adopt(found);
    }).finally(() => this.reading = void 0));
  }
  async loadNewest() {
    this.isHolding = true;
    for (let tries = 0; ; tries++) {
      const conversation = await this.readConversation();
      const path = `/api/conversations/${this.id}/messages`;
      const page = await this.hooks.rest.call(path, { query: { limit: PAGE } });
      const newest = page.messages[0]?.seq ?? 0;
      if (conversation && newest > conversation.seq && tries < 5) continue;
      this.batch(() => {
        const messages = page.messages.slice().reverse();
        const pending = this.snap.pending.filter(({ item }) => !messages.some((message) => this.isMine(message, item.clientMessageId)));
        this.set({ messages, isLoaded: true, hasOlder: page.hasMore, pending, ...conversation ? {} : { isMember: false } });
        this.uncertainReplies = newest;
        if (conversation) this.adopt(conversation);
        this.planExpiry();
      });
      if (conversation) this.loadReceipts(conversation).catch(() => void 0);
      return;
    }
  }
  async readMessage(id) {
    const message = await this.hooks.rest.call(`/api/messages/${id}`);
    this.batch(() => {
      const first = this.snap.messages[0];
      const isInRange = first !== void 0 ? message.seq >= first.seq || !this.snap.hasOlder : this.snap.isLoaded;
      if (isInRange) this.setMessages(merge(this.snap.messages, [message]));
      this.refreshSoon();
    });
  }
  // --- the snapshot ------------------------------------------------------------------------------------------------
  /** Messages with an end are gone at that moment, though the service tells it a moment later. */
  planExpiry() {
    clearTimeout(this.expiryTimer);
    const ends = this.snap.messages.flatMap(({ expiresAt }) => expiresAt ? [Date.parse(expiresAt)] : []);
    if (ends.length === 0) return;
    const wait = Math.min(Math.max(0, Math.min(...ends) - Date.now()), MAX_TIMER_MS2);
    this.expiryTimer = setTimeout(() => {
      this.batch(() => {
        const now = Date.now();
        const gone = this.snap.messages.filter(({ expiresAt }) => expiresAt && Date.parse(expiresAt) <= now);
        gone.forEach((message) => this.uncount(message));
        if (gone.length > 0) this.setMessages(this.snap.messages.filter((message) => !gone.includes(message)));
        this.planExpiry();
      });
    }, wait);
  }
  isMine(message, clientMessageId) {
    return message.clientMessageId === clientMessageId && message.senderId === this.hooks.me();
  }
  setMessages(messages) {
    if (messages !== this.snap.messages) this.set({ messages });
  }
  set(change2) {
    this.snap = { ...this.snap, ...change2 };
    if (this.isNotifying) this.hooks.changed(this.id);
    else this.isDirty = true;
  }
  /** Several changes, one notification. */
  batch(run) {
    if (!this.isNotifying) return run();
    this.isNotifying = false;
    try {
      run();
    } finally {
      this.isNotifying = true;
      if (this.isDirty) {
        this.isDirty = false;
        this.hooks.changed(this.id);
      }
    }
  }
};
function frameOf({ seq, type, id, timestamp, actorId, data }, conversationId) {
  const names = {
    "message.created": "message:new",
    "conversation.created": "conversation:new",
    "conversation.deleted": "conversation:removed",
    skip: "seq:skip"
  };
  const event = names[type] ?? type.replace(".", ":");
  const own = type === "message.created" || type.startsWith("conversation.") ? {} : { conversationId, timestamp, userId: actorId };
  return { event, seq, id, data: { ...own, ...data } };
}

// src/http.ts
var MAX_TRIES = 6;
var Rest = class {
  constructor(baseUrl, tokens, fetcher, signal) {
    this.baseUrl = baseUrl;
    this.tokens = tokens;
    this.fetcher = fetcher;
    this.signal = signal;
  }
  async call(path, request = {}) {
    const method = request.method ?? "GET";
    const isRepeatable = request.isRepeatable ?? (method !== "POST" && method !== "PATCH");
    let refused = false;
    for (let tries = 0; ; tries++) {
      const token = await this.tokens.get();
      let failure;
      try {
        return await this.once(method, path, request, token);
      } catch (error) {
        if (this.signal.aborted) throw this.signal.reason;
        failure = error instanceof ChatError ? error : new ChatError("NETWORK", "The service could not be reached.", { cause: error });
      }
      if (failure.code === "UNAUTHORIZED" && !refused) {
        refused = true;
        this.tokens.reject(token);
        continue;
      }
      const mayRepeat = failure.code === "RATE_LIMITED" || isRepeatable && (failure.code === "NETWORK" || failure.code === "UNAVAILABLE");
      if (!mayRepeat || tries + 1 >= MAX_TRIES) throw failure;
      await sleep(Math.max(failure.retryAfterMs ?? 0, backoff(tries, 500, 15e3)), this.signal);
    }
  }
  async once(method, path, { query, body }, token) {
    const url = new URL(this.baseUrl + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== void 0) url.searchParams.set(name, String(value));
    }
    const headers = { Authorization: `Bearer ${token}` };
    const init = { method, headers, signal: this.signal };
    if (body instanceof Blob) init.body = body;
    else if (body !== void 0) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    const response = await abortable(this.fetcher(url, init), this.signal);
    const text = await response.text();
    if (response.ok) return text === "" ? void 0 : JSON.parse(text);
    throw failureOf(response, text);
  }
};
function failureOf(response, text) {
  let code = response.status >= 500 ? "UNAVAILABLE" : "NETWORK";
  let message = `The service answered with status ${response.status}.`;
  let details = [];
  try {
    const body = JSON.parse(text);
    code = body.code ?? code;
    message = body.message ?? message;
    details = body.details ?? [];
  } catch {
  }
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1e3 : void 0;
  return new ChatError(code, message, { status: response.status, details, ...retryAfterMs === void 0 ? {} : { retryAfterMs } });
}

// src/outbox.ts
var MAX_TRIES2 = 20;
var Outbox = class {
  constructor(prefix, storage, hooks) {
    this.prefix = prefix;
    this.storage = storage;
    this.hooks = hooks;
    this.items = /* @__PURE__ */ new Map();
    /** Items that could not be stored: only this tab knows them, so it sends them itself. */
    this.unstored = /* @__PURE__ */ new Set();
    this.waiters = /* @__PURE__ */ new Map();
    /** Conversations of which a message is on its way. */
    this.busy = /* @__PURE__ */ new Set();
    /** How often a message came back with an error that another try may mend. */
    this.tries = /* @__PURE__ */ new Map();
    this.end = new AbortController();
    this.isSender = false;
    this.isOnline = false;
    this.loaded = this.reload();
    this.becomeSender();
  }
  /** Everything that waits or failed, in the order of sending. */
  list() {
    return [...this.items.values()].sort(byOrder);
  }
  /** Stores a message for sending. The promise ends with the stored message, or when the service refuses it for good. */
  add(body) {
    const item = { clientMessageId: body.clientMessageId, order: this.nextOrder(), writtenAt: (/* @__PURE__ */ new Date()).toISOString(), body };
    this.items.set(item.clientMessageId, item);
    this.hooks.onAdded(item);
    const sent = new Promise((resolve, reject) => this.waiters.set(item.clientMessageId, [{ resolve, reject }]));
    void this.store(item).then(() => {
      this.tell({ kind: "added" });
      this.flush();
    });
    return sent;
  }
  /** Tries a failed message again. */
  retry(clientMessageId) {
    const item = this.items.get(clientMessageId);
    if (!item?.error) return;
    const { error: _, ...rest } = item;
    this.items.set(clientMessageId, rest);
    this.hooks.onAdded(rest);
    void this.store(rest).then(() => {
      this.tell({ kind: "added" });
      this.flush();
    });
  }
  /** Forgets a message that is not on its way right now. Says whether it did. */
  discard(clientMessageId) {
    const item = this.items.get(clientMessageId);
    if (!item || this.busy.has(conversationOf(item))) return false;
    this.forget(item);
    this.hooks.onRemoved(item);
    this.tell({ kind: "removed", item });
    this.settle(clientMessageId, (waiter) => waiter.reject(new ChatError("DISCONNECTED", "The message was discarded.")));
    return true;
  }
  /** The connection came or went. */
  setOnline(isOnline) {
    this.isOnline = isOnline;
    if (isOnline) this.flush();
  }
  /** Ends the waiting calls without an answer. Their messages stay and are sent when the next client of this user connects. */
  release(error) {
    for (const id of [...this.waiters.keys()]) this.settle(id, (waiter) => waiter.reject(error));
  }
  /** Ends this tab's part. Stored messages stay for the next tab. */
  close(error = disconnected()) {
    this.end.abort(error);
    this.channel?.close();
    this.release(error);
  }
  becomeSender() {
    const locks = globalThis.navigator?.locks;
    if (!locks || typeof BroadcastChannel === "undefined" || !globalThis.document) {
      this.isSender = true;
      return;
    }
    this.channel = new BroadcastChannel(this.prefix);
    this.channel.onmessage = ({ data }) => this.hear(data);
    locks.request(this.prefix, { signal: this.end.signal }, async () => {
      this.isSender = true;
      await this.reload();
      this.flush();
      await new Promise((resolve) => this.end.signal.addEventListener("abort", () => resolve(), { once: true }));
    }).catch(() => void 0);
  }
  hear(message) {
    if (message.kind === "added") {
      void this.reload().then(() => this.flush());
    } else if (this.items.delete(message.item.clientMessageId) || this.waiters.has(message.item.clientMessageId)) {
      this.conclude(message);
    }
  }
  conclude(message) {
    const { item } = message;
    if (message.kind === "sent") {
      this.hooks.onSent(item, message.message);
      this.settle(item.clientMessageId, (waiter) => waiter.resolve(message.message));
    } else if (message.kind === "failed") {
      this.items.set(item.clientMessageId, item);
      this.hooks.onFailed(item);
      this.settle(item.clientMessageId, (waiter) => waiter.reject(errorOf(item)));
    } else {
      this.hooks.onRemoved(item);
    }
  }
  async reload() {
    try {
      for (const [key, value] of await this.storage.entries(this.prefix)) {
        const item = parse(value);
        if (!item) void this.storage.remove(key);
        else if (!this.items.has(item.clientMessageId)) {
          this.items.set(item.clientMessageId, item);
          this.hooks.onAdded(item);
        }
      }
    } catch (error) {
      this.hooks.onStorageError(error);
    }
  }
  /** Sends what waits: per conversation the first one. */
  flush() {
    if (!this.isOnline || this.end.signal.aborted) return;
    void this.loaded.then(() => {
      const seen = new Set(this.busy);
      for (const item of this.list()) {
        const conversation = conversationOf(item);
        if (item.error || seen.has(conversation)) continue;
        seen.add(conversation);
        if (this.isSender || this.unstored.has(item.clientMessageId)) void this.sendOne(item, conversation);
      }
    });
  }
  async sendOne(item, conversation) {
    if (!this.isOnline || this.busy.has(conversation) || this.end.signal.aborted) return;
    this.busy.add(conversation);
    let conclusion;
    try {
      const message = await this.hooks.send(item.body);
      conclusion = { kind: "sent", item, message };
      this.forget(item);
    } catch (reason) {
      const error = reason instanceof ChatError ? reason : new ChatError("NETWORK", String(reason));
      const tries = (this.tries.get(item.clientMessageId) ?? 0) + 1;
      if (!error.isFinal && tries < MAX_TRIES2) {
        this.tries.set(item.clientMessageId, tries);
        await sleep(backoff(tries, 250, 1e4), this.end.signal).catch(() => void 0);
      } else {
        this.tries.delete(item.clientMessageId);
        const failed = { ...item, error: { code: error.code, message: error.message } };
        await this.store(failed);
        conclusion = { kind: "failed", item: failed };
      }
    }
    this.busy.delete(conversation);
    if (this.end.signal.aborted) return;
    if (conclusion) {
      this.conclude(conclusion);
      this.tell(conclusion);
    }
    this.flush();
  }
  async store(item) {
    try {
      await this.storage.set(this.key(item), JSON.stringify(item));
      this.unstored.delete(item.clientMessageId);
    } catch (error) {
      this.unstored.add(item.clientMessageId);
      this.hooks.onStorageError(error);
    }
  }
  forget(item) {
    this.items.delete(item.clientMessageId);
    this.tries.delete(item.clientMessageId);
    this.unstored.delete(item.clientMessageId);
    this.storage.remove(this.key(item)).catch((error) => this.hooks.onStorageError(error));
  }
  settle(id, end) {
    const waiters = this.waiters.get(id) ?? [];
    this.waiters.delete(id);
    waiters.forEach(end);
  }
  tell(message) {
    this.channel?.postMessage(message);
  }
  key(item) {
    return this.prefix + item.clientMessageId;
  }
  /** After everything that is known, whatever the device's clock does. */
  nextOrder() {
    let last = 0;
    for (const { order } of this.items.values()) last = Math.max(last, order);
    return Math.max(last + 1, Date.now() * 1e3);
  }
};
var byOrder = (a, b) => a.order - b.order || (a.clientMessageId < b.clientMessageId ? -1 : 1);
var conversationOf = ({ body }) => body.conversationId ?? `user:${body.receiverId ?? ""}`;
var errorOf = (item) => new ChatError(item.error?.code ?? "INTERNAL_ERROR", item.error?.message ?? "");
function parse(value) {
  try {
    const item = JSON.parse(value);
    return typeof item.clientMessageId === "string" && typeof item.order === "number" && item.body ? item : void 0;
  } catch {
    return void 0;
  }
}

// src/storage.ts
function memoryStorage() {
  const map = /* @__PURE__ */ new Map();
  return {
    entries: async (prefix) => [...map].filter(([key]) => key.startsWith(prefix)),
    set: async (key, value) => void map.set(key, value),
    remove: async (key) => void map.delete(key)
  };
}
function webStorage(storage = globalThis.localStorage) {
  return {
    entries: async (prefix) => {
      const found = [];
      for (let index = 0; index < storage.length; index++) {
        const key = storage.key(index);
        const value = key?.startsWith(prefix) ? storage.getItem(key) : null;
        if (key && value !== null) found.push([key, value]);
      }
      return found;
    },
    set: async (key, value) => storage.setItem(key, value),
    remove: async (key) => storage.removeItem(key)
  };
}
function defaultStorage() {
  try {
    return globalThis.localStorage ? webStorage(globalThis.localStorage) : memoryStorage();
  } catch {
    return memoryStorage();
  }
}

// src/delivery.ts
var PAUSE_MS = 400;
var DeliveryReceipts = class {
  constructor(maxMembers, hooks) {
    this.maxMembers = maxMembers;
    this.hooks = hooks;
    this.newest = /* @__PURE__ */ new Map();
    this.told = /* @__PURE__ */ new Map();
  }
  arrived(message, conversation) {
    const { conversationId, seq, senderId, type } = message;
    const isKnown = seq <= Math.max(this.told.get(conversationId) ?? 0, conversation?.readSeq ?? 0);
    const isWanted = conversation !== void 0 && conversation.features.reads && conversation.participantCount <= this.maxMembers;
    if (!isWanted || isKnown || senderId === this.hooks.me() || type === "system") return;
    if (seq > (this.newest.get(conversationId)?.seq ?? 0)) this.newest.set(conversationId, message);
    this.timer ?? (this.timer = setTimeout(() => this.flush(), PAUSE_MS));
  }
  close() {
    clearTimeout(this.timer);
    this.newest.clear();
  }
  flush() {
    this.timer = void 0;
    for (const [conversationId, message] of this.newest) {
      this.told.set(conversationId, message.seq);
      this.hooks.tell(message.id).catch(() => void 0);
    }
    this.newest.clear();
  }
};

// src/presence.ts
var MAX_FOLLOWED = 1e3;
var PER_REQUEST = 100;
var Followed = class {
  constructor(subscribe) {
    this.subscribe = subscribe;
    this.presences = /* @__PURE__ */ new Map();
    this.ids = /* @__PURE__ */ new Set();
    this.request = Promise.resolve([]);
  }
  presence(userId) {
    return this.presences.get(userId);
  }
  take(presence) {
    this.presences.set(presence.userId, presence);
  }
  /** Follows more users; calls of one moment share a request. */
  add(userIds) {
    if (!this.waiting) {
      const batch = /* @__PURE__ */ new Set();
      this.waiting = batch;
      this.request = Promise.resolve().then(() => {
        this.waiting = void 0;
        return this.ask([...batch]);
      });
    }
    for (const id of userIds) this.waiting.add(id);
    return this.request.then((found) => found.filter(({ userId }) => userIds.includes(userId)));
  }
  /** Subscribes again, after a new connection. */
  again() {
    return this.ask([...this.ids]);
  }
  async ask(userIds) {
    const all = [];
    for (const id of userIds) if (this.ids.size < MAX_FOLLOWED) this.ids.add(id);
    for (let start = 0; start < userIds.length; start += PER_REQUEST) {
      const found = await this.subscribe(userIds.slice(start, start + PER_REQUEST));
      for (const one of found) this.presences.set(one.userId, one);
      all.push(...found);
    }
    return all;
  }
};

// src/users.ts
var MAX_KNOWN = 5e3;
var MAX_READS = 4;
var Users = class {
  constructor(rest, signal, changed) {
    this.rest = rest;
    this.signal = signal;
    this.changed = changed;
    this.known = /* @__PURE__ */ new Map();
    this.wanted = /* @__PURE__ */ new Set();
    /** Ids that are being read, and those that could not be read. */
    this.asked = /* @__PURE__ */ new Set();
    this.running = 0;
  }
  /** The profile, if it is known; otherwise it is read, and `changed` is called when it is there. */
  get(id) {
    const user = this.known.get(id);
    if (!user && id !== "system" && !this.asked.has(id)) {
      this.asked.add(id);
      this.wanted.add(id);
      queueMicrotask(() => this.next());
    }
    return user;
  }
  add(users) {
    if (users.length === 0) return;
    for (const user of users) {
      this.known.delete(user.externalUserId);
      this.known.set(user.externalUserId, user);
      this.wanted.delete(user.externalUserId);
    }
    for (const id of this.known.keys()) {
      if (this.known.size <= MAX_KNOWN) break;
      this.known.delete(id);
      this.asked.delete(id);
    }
    this.changed();
  }
  /** Asks again for profiles that could not be read while there was no connection. */
  retry() {
    for (const id of this.asked) if (!this.known.has(id) && !this.wanted.has(id)) this.asked.delete(id);
    this.changed();
  }
  next() {
    for (const id of this.wanted) {
      if (this.running >= MAX_READS || this.signal.aborted) return;
      this.wanted.delete(id);
      this.running += 1;
      void this.rest.call(`/api/users/${encodeURIComponent(id)}`).then((user) => this.add([user])).catch(() => void 0).finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }
};

// src/client.ts
var TYPING_EVERY_MS = 2500;
var TYPING_STOP_MS = 4e3;
var LIST_PAGE = 50;
var MAX_RECENT = 1e3;
var ChatClient = class {
  constructor(options) {
    this.options = options;
    this.events = new Emitter();
    this.end = new AbortController();
    this.states = /* @__PURE__ */ new Map();
    this.subscribers = /* @__PURE__ */ new Map();
    this.typing = /* @__PURE__ */ new Map();
    /** Ids of the newest numbered events. */
    this.recent = /* @__PURE__ */ new Set();
    this.hasMore = true;
    this.isListLoaded = false;
    this.isTelling = false;
    const base = this.baseUrl = options.url.replace(/\/+$/, "");
    const socketUrl = options.socketUrl ?? `${base.replace(/^http/, "ws")}/ws`;
    this.storage = options.storage ?? defaultStorage();
    this.tokens = new TokenSource(options.getToken, this.end.signal, (error) => this.events.emit("problem", { where: "token", error }));
    this.rest = new Rest(base, this.tokens, options.fetch ?? globalThis.fetch.bind(globalThis), this.end.signal);
    this.users = new Users(this.rest, this.end.signal, () => this.events.emit("users", void 0));
    this.commands = new Commands((text) => this.connection.send(text));
    this.followed = new Followed((userIds) => this.command("presence:subscribe", { userIds }).then(({ presence }) => presence));
    this.delivery = new DeliveryReceipts(options.deliveryReceipts ?? 50, {
      me: () => this.userId,
      tell: (messageId) => this.command("message:delivered", { messageId })
    });
    this.connection = new Connection(
      socketUrl,
      this.tokens,
      options.webSocket ?? platformWebSocket,
      {
        onFrame: (frame) => this.take(frame),
        onAck: (frame) => this.commands.onAck(frame),
        onState: (state) => this.onState(state),
        cursor: () => this.cursor
      },
      options.watchdog
    );
  }
  /** The user, known once there was a token. */
  get userId() {
    return this.me ?? this.tokens.userId;
  }
  get state() {
    return this.connection.current;
  }
  /** Opens the connection and keeps it, until `disconnect`. Messages that waited from before a reload are shown and sent. */
  connect() {
    if (this.end.signal.aborted) throw disconnected();
    if (!this.options.webSocket && !globalThis.WebSocket) {
      throw new ChatError("NETWORK", "This platform has no WebSocket. Use Node 22, or give the option `webSocket`, for example from the package ws.");
    }
    this.connection.start();
    void this.tokens.get().then((token) => this.openOutbox(claims(token).sub)).catch(() => void 0);
    return this;
  }
  /** Tries to connect at once while the client waits for its next try; does nothing in any other state. */
  reconnect() {
    this.connection.retryNow();
  }
  /** Ends everything for good: no timer, socket or call of the token provider remains; waiting calls fail. */
  disconnect() {
    if (this.end.signal.aborted) return;
    this.end.abort(disconnected());
    this.connection.stop();
    this.commands.end();
    this.outbox?.close();
    for (const state of this.states.values()) state.close();
    for (const { timer } of this.typing.values()) clearTimeout(timer);
    this.typing.clear();
    this.delivery.close();
  }
  /** Sends a command on the socket and gives its answer; waits for the connection if there is none. */
  command(event, data, options) {
    if (this.end.signal.aborted) return Promise.reject(disconnected());
    if (this.state.status === "stopped") return Promise.reject(this.stopError());
    return this.commands.request(event, data, options);
  }
  /** Calls the REST API as the user. */
  call(path, request) {
    return this.rest.call(path, request);
  }
  // --- conversations -----------------------------------------------------------------------------------------------
  /** The conversations that are known, latest activity first. The same array until something changes. */
  conversations() {
    const activity = ({ conversation }) => conversation?.lastActivityAt ?? "";
    this.list ?? (this.list = [...this.states.values()].map((state) => state.snapshot).filter(({ conversation, isMember }) => conversation && isMember).sort((a, b) => activity(a) < activity(b) ? 1 : activity(a) > activity(b) ? -1 : 0));
    return this.list;
  }
  get hasMoreConversations() {
    return this.hasMore;
  }
  /** Reads the next page of the list of conversations. */
  async loadMoreConversations() {
    if (!this.hasMore) return;
    const query = { limit: LIST_PAGE, before: this.listCursor };
    const page = await this.rest.call("/api/conversations", { query });
    this.hasMore = page.hasMore;
    this.listCursor = page.nextCursor;
    for (const conversation of page.conversations) this.takeListed(conversation);
  }
  /** Reads the first page of the conversations that the user archived; they join the known ones, with `preferences.archived`. */
  async loadArchivedConversations() {
    const query = { limit: LIST_PAGE, archived: true };
    const page = await this.rest.call("/api/conversations", { query });
    for (const conversation of page.conversations) this.takeListed(conversation);
  }
  takeListed(conversation) {
    this.stateOf(conversation.id).takeListed(conversation);
    if (conversation.lastMessage) this.delivery.arrived(conversation.lastMessage, conversation);
  }
  /** The snapshot of a conversation. The same object until it changes. */
  conversation(id) {
    return this.stateOf(id).snapshot;
  }
  /** Calls `listener` after each change of a conversation's snapshot; returns the function that ends it. */
  subscribe(id, listener) {
    let set = this.subscribers.get(id);
    if (!set) this.subscribers.set(id, set = /* @__PURE__ */ new Set());
    set.add(listener);
    return () => {
      set.delete(listener);
      if (set.size === 0) this.subscribers.delete(id);
    };
  }
  /** Loads the newest part of a conversation's history. */
  open(id) {
    return this.stateOf(id).load();
  }
  loadOlder(id, limit) {
    return this.stateOf(id).loadOlder(limit);
  }
  // --- messages ----------------------------------------------------------------------------------------------------
  /** Sends a message to a conversation, once, whatever breaks: it is stored until the service answered. */
  send(conversationId, message) {
    return this.enqueue({ ...bodyOf(message), conversationId });
  }
  /** The same to a user, in the direct conversation of the two. */
  sendTo(receiverId, message) {
    return this.enqueue({ ...bodyOf(message), receiverId });
  }
  /** Tries a message again that the service refused. */
  retry(clientMessageId) {
    this.outbox?.retry(clientMessageId);
  }
  /** Forgets a message that was not sent. Says whether it did; a message that is on its way stays. */
  discard(clientMessageId) {
    return this.outbox?.discard(clientMessageId) ?? false;
  }
  edit(messageId, content) {
    return this.command("message:edit", { messageId, content }).then(({ message }) => message);
  }
  async remove(messageId) {
    await this.command("message:delete", { messageId });
  }
  async react(messageId, emoji) {
    await this.command("reaction:add", { messageId, emoji });
  }
  async unreact(messageId, emoji) {
    await this.command("reaction:remove", { messageId, emoji });
  }
  /** Marks a conversation as read, whole or up to a message. */
  async markRead(conversationId, upToMessageId) {
    await this.command("conversation:read", upToMessageId === void 0 ? { conversationId } : { conversationId, upToMessageId });
  }
  /** Call it at every key press: the indicator is sent as often as needed, and ends by itself. */
  type(conversationId) {
    const known = this.typing.get(conversationId);
    clearTimeout(known?.timer);
    const now = Date.now();
    const isDue = !known || Math.abs(now - known.last) >= TYPING_EVERY_MS;
    if (isDue) this.hint("typing:start", conversationId);
    const timer = setTimeout(() => this.stopTyping(conversationId), TYPING_STOP_MS);
    this.typing.set(conversationId, { last: isDue ? now : known.last, timer });
  }
  stopTyping(conversationId) {
    const known = this.typing.get(conversationId);
    if (!known) return;
    clearTimeout(known.timer);
    this.typing.delete(conversationId);
    this.hint("typing:stop", conversationId);
  }
  // --- presence ----------------------------------------------------------------------------------------------------
  /** How a user is, as far as it was told; `undefined` if nothing was. */
  presence(userId) {
    return this.followed.presence(userId);
  }
  /** Follows users also if they share no conversation with this one, over every reconnection. Calls of one moment are one request. */
  async follow(userIds) {
    if (this.end.signal.aborted) throw disconnected();
    const presence = await this.followed.add(userIds);
    this.events.emit("presence", void 0);
    return presence;
  }
  // --- profiles ----------------------------------------------------------------------------------------------------
  /** The public profile of a user, if it is known; otherwise it is read once, and the event `users` tells when it is there. */
  user(userId) {
    return this.users.get(userId);
  }
  /** Remembers profiles that an answer contained, so that they need not be read. */
  addUsers(users) {
    this.users.add(users);
  }
  // --- inside ------------------------------------------------------------------------------------------------------
  take(frame) {
    if (this.end.signal.aborted || frame.seq !== void 0 && this.recent.has(frame.id)) return;
    switch (frame.event) {
      case "connected":
        this.onConnected(frame.data);
        break;
      case "sync:reset":
        this.cursor = void 0;
        this.events.emit("reset", { reason: frame.data.reason });
        break;
      case "user:online":
      case "user:away":
      case "user:offline":
        this.followed.take(frame.data);
        this.events.emit("presence", void 0);
        break;
      default:
        this.route(frame);
    }
    if (frame.cursor !== void 0) this.cursor = frame.cursor;
    if (frame.seq !== void 0) this.remember(frame.id);
    this.events.emit("event", frame);
  }
  remember(id) {
    this.recent.add(id);
    if (this.recent.size > MAX_RECENT) this.recent.delete(this.recent.values().next().value);
  }
  route(frame) {
    const data = frame.data;
    const id = data.conversationId ?? data.id;
    if (!id?.startsWith("cnv_")) return;
    const state = this.stateOf(id);
    state.take(frame);
    if (frame.event === "message:new") this.delivery.arrived(frame.data, state.snapshot.conversation);
  }
  onConnected(data) {
    this.me = data.userId;
    this.cursor ?? (this.cursor = data.cursor);
    this.users.retry();
    this.followed.again().then((found) => found.length > 0 && this.events.emit("presence", void 0)).catch(() => void 0);
    if (data.resumed) {
      for (const state of this.states.values()) state.resumed();
    } else {
      this.cursor = data.cursor;
      this.listCursor = void 0;
      this.hasMore = true;
      for (const state of this.states.values()) void state.reset().catch(() => void 0);
      this.loadMoreConversations().then(
        () => {
          this.isListLoaded = true;
          this.tellConversations();
        },
        (error) => {
          if (!this.end.signal.aborted) report(error);
        }
      );
    }
  }
  /** Whether the list of conversations was read. */
  get isReady() {
    return this.isListLoaded;
  }
  onState(state) {
    const isConnected = state.status === "connected";
    if (isConnected) this.commands.onConnected();
    else this.commands.onLost();
    this.outbox?.setOnline(isConnected);
    if (state.status === "stopped") {
      this.commands.end(this.stopError());
      this.outbox?.release(this.stopError());
    }
    this.events.emit("state", state);
  }
  stopError() {
    const state = this.state;
    const code = state.status === "stopped" ? state.code : 0;
    return new ChatError("STOPPED", `The service closed the connection for good (code ${code}).`);
  }
  stateOf(id) {
    let state = this.states.get(id);
    if (!state) {
      state = new ConversationState(id, { rest: this.rest, signal: this.end.signal, me: () => this.userId, changed: (changed) => this.onChanged(changed) });
      this.states.set(id, state);
    }
    return state;
  }
  onChanged(id) {
    this.list = void 0;
    for (const listener of [...this.subscribers.get(id) ?? []]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
    this.tellConversations();
  }
  /** One event for all changes of a moment. */
  tellConversations() {
    if (this.isTelling) return;
    this.isTelling = true;
    queueMicrotask(() => {
      this.isTelling = false;
      if (!this.end.signal.aborted) this.events.emit("conversations", this.conversations());
    });
  }
  async enqueue(body) {
    if (this.end.signal.aborted) throw disconnected();
    const outbox = this.outbox ?? this.openOutbox(claims(await this.tokens.get()).sub);
    if (body.conversationId) this.stopTypingQuietly(body.conversationId);
    return outbox.add({ ...body, clientMessageId: body.clientMessageId ?? newId() });
  }
  openOutbox(subject) {
    const user = typeof subject === "string" ? subject : "";
    const show = (item, status) => {
      if (item.body.conversationId) this.stateOf(item.body.conversationId).showPending(item, status);
    };
    this.outbox ?? (this.outbox = new Outbox(`chat-outbox ${this.options.url} ${encodeURIComponent(user)} `, this.storage, {
      send: async (body) => (await this.command("message:send", body)).message,
      onAdded: (item) => show(item, item.error ? "failed" : "sending"),
      onSent: (item, message) => this.stateOf(message.conversationId).confirm(item, message),
      onFailed: (item) => show(item, "failed"),
      onRemoved: (item) => item.body.conversationId && this.stateOf(item.body.conversationId).dropPending(item.clientMessageId),
      onStorageError: (error) => this.events.emit("problem", { where: "storage", error })
    }));
    this.outbox.setOnline(this.state.status === "connected");
    return this.outbox;
  }
  hint(event, conversationId) {
    if (this.state.status === "connected") this.command(event, { conversationId }, { timeoutMs: 5e3 }).catch(() => void 0);
  }
  /** The message itself ends the indicator for the others. */
  stopTypingQuietly(conversationId) {
    clearTimeout(this.typing.get(conversationId)?.timer);
    this.typing.delete(conversationId);
  }
};
var bodyOf = (message) => typeof message === "string" ? { content: message } : message;

// src/attachments.ts
var PATH = "/api/attachments";
var MAX_STALLS = 5;
var LINK_MARGIN_MS = 1e4;
var MAX_LINK_AGE_MS = 6e4;
var MAX_LINKS = 500;
var Attachments = class {
  constructor(client) {
    this.client = client;
    this.links = /* @__PURE__ */ new Map();
  }
  /**
   * Uploads a file. Send a message with `attachments: [{ url: file.url }]` afterwards.
   * Fails with the code of the service if the file is too large, of a type that is not accepted, or beyond the user's quota.
   */
  async upload(file, options = {}) {
    const { signal, onProgress } = options;
    const name = options.name ?? file.name ?? "file";
    const body = { name, size: file.size, ...file.type && { mimeType: file.type } };
    signal?.throwIfAborted();
    const begun = await this.client.call(`${PATH}/uploads`, { method: "POST", body, isRepeatable: true });
    const path = `${PATH}/uploads/${begun.id}`;
    try {
      let { offset } = begun;
      for (let stalls = 0; offset < file.size; ) {
        signal?.throwIfAborted();
        const next = await this.sendPiece(path, file, offset, begun.maxPieceSize);
        stalls = next > offset ? 0 : stalls + 1;
        if (stalls >= MAX_STALLS) throw new ChatError("NETWORK", "The file could not be uploaded.");
        offset = next;
        onProgress?.(offset, file.size);
      }
      signal?.throwIfAborted();
      return await this.client.call(`${path}/complete`, { method: "POST", isRepeatable: true });
    } catch (error) {
      if (signal?.aborted) void this.client.call(path, { method: "DELETE" }).catch(() => void 0);
      throw error;
    }
  }
  /** Sends the piece at `offset`. Returns the offset of the next one, which the service knows best. */
  async sendPiece(path, file, offset, size) {
    const piece = file.slice(offset, offset + size, "application/octet-stream");
    try {
      return (await this.client.call(path, { method: "PUT", query: { offset }, body: piece })).offset;
    } catch (error) {
      const isUnsure = error instanceof ChatError && ["CONFLICT", "NETWORK", "UNAVAILABLE"].includes(error.code);
      if (!isUnsure) throw error;
      return (await this.client.call(path)).offset;
    }
  }
  /**
   * Returns addresses of a file and its thumbnail that work without a token until `expiresAt`. Repeated calls share a link until shortly before its end.
   * `url` is the URL by which a message carries the file; with the id of that message a new file is found at once.
   */
  link(url, messageId) {
    const known = this.links.get(url);
    if (known && known.endsAt > Date.now()) return known.link;
    const link = this.readLink(url, messageId);
    const entry = { link, endsAt: Infinity };
    this.links.delete(url);
    this.links.set(url, entry);
    const [oldest] = this.links.keys();
    if (this.links.size > MAX_LINKS && oldest) this.links.delete(oldest);
    link.then(
      ({ expiresAt }) => entry.endsAt = Math.min(Date.parse(expiresAt) - LINK_MARGIN_MS, Date.now() + MAX_LINK_AGE_MS),
      () => this.links.delete(url)
    );
    return link;
  }
  async readLink(url, messageId) {
    if (!isStored(url)) throw new ChatError("NOT_FOUND", "The URL is not one of a stored file.");
    const link = await this.client.call(`${url}/link`, { query: { messageId } });
    const absolute = (path) => this.client.baseUrl + path;
    return { ...link, url: absolute(link.url), ...link.thumbnailUrl && { thumbnailUrl: absolute(link.thumbnailUrl) } };
  }
};
function isStored(url) {
  return /^\/api\/attachments\/att_[a-z0-9]+$/.test(url);
}

// src/notifications.ts
var PATH2 = "/api/notifications";
var PAGE2 = 50;
var MAX_KEPT = 500;
var COUNT_AFTER_MS = 300;
var MAX_TIMER_MS3 = 2 ** 31 - 1;
var Notifications = class {
  constructor(client) {
    this.client = client;
    this.snap = { notifications: [], unreadCount: 0, isLoaded: false, hasOlder: true };
    this.listeners = /* @__PURE__ */ new Set();
    this.kept = MAX_KEPT;
    this.ends = [
      client.events.on("event", (frame) => this.take(frame)),
      client.events.on("state", ({ status }) => status === "disconnected" && this.close())
    ];
  }
  get snapshot() {
    return this.snap;
  }
  /** Calls `listener` after each change; returns the function that ends it. */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
  /** Reads the newest notifications and the count. Repeated calls share the work. */
  load() {
    return this.loading ?? (this.loading = this.read().finally(() => this.loading = void 0));
  }
  /** Reads the notifications before the last loaded one. */
  async loadOlder(limit = PAGE2) {
    if (!this.snap.isLoaded) return this.load();
    const last = this.snap.notifications[this.snap.notifications.length - 1];
    if (!this.snap.hasOlder || !last) return;
    const page = await this.client.call(PATH2, { query: { limit, before: last.id } });
    this.kept += page.notifications.length;
    this.show({ notifications: merge2(this.snap.notifications, page.notifications), hasOlder: page.hasMore });
  }
  /** Marks a notification as read, on all devices. */
  async markRead(id) {
    const read = await this.client.call(`${PATH2}/${id}/read`, { method: "PUT" });
    this.setRead((known) => known.id === id, read.readAt);
  }
  /** Marks every notification as read that exists now, on all devices. */
  async markAllRead() {
    const shown = new Set(this.snap.notifications.map(({ id }) => id));
    await this.client.call(`${PATH2}/read`, { method: "PUT" });
    this.setRead(({ id }) => shown.has(id), (/* @__PURE__ */ new Date()).toISOString());
    this.countSoon();
  }
  /** Deletes a notification. The user's other devices see it at their next connection. */
  async remove(id) {
    await this.client.call(`${PATH2}/${id}`, { method: "DELETE" });
    this.without(({ id: known }) => known === id);
  }
  /** Subscribes this browser to pushes, or again if the service has another key since then. Ask the user for the permission before. */
  async enablePush({ pushManager }) {
    const { applicationServerKey } = await this.client.call(`${PATH2}/push/key`);
    let subscription = await pushManager.getSubscription();
    if (subscription && textOf(subscription.options.applicationServerKey) !== applicationServerKey) {
      await subscription.unsubscribe();
      subscription = null;
    }
    subscription ?? (subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }));
    const { endpoint, keys } = subscription.toJSON();
    await this.client.call(`${PATH2}/push/subscriptions`, { method: "PUT", body: { endpoint, keys, applicationServerKey } });
  }
  /** Ends the pushes of this browser, for example at the end of a user's session. The service removes the device at its next push. */
  async disablePush({ pushManager }) {
    await (await pushManager.getSubscription())?.unsubscribe();
  }
  /** Ends everything; the client goes on. */
  close() {
    this.ends.splice(0).forEach((end) => end());
    clearTimeout(this.countTimer);
    clearTimeout(this.expiryTimer);
    this.listeners.clear();
  }
  async read() {
    this.waiting = [];
    try {
      const page = await this.client.call(PATH2, { query: { limit: PAGE2 } });
      const { unreadCount } = await this.client.call(`${PATH2}/unread-count`);
      const events = this.waiting;
      this.show({ notifications: keepSame(this.snap.notifications, page.notifications), unreadCount, isLoaded: true, hasOlder: page.hasMore });
      this.kept = MAX_KEPT;
      const newest = page.notifications[0]?.id ?? "";
      this.waiting = void 0;
      for (const frame of events) if (frame.event !== "notification" || frame.data.id > newest) this.apply(frame);
      if (events.length > 0) this.countSoon();
    } finally {
      this.waiting = void 0;
    }
  }
  take(frame) {
    switch (frame.event) {
      case "connected":
        if (this.snap.isLoaded) this.load().catch(() => void 0);
        return;
      case "notification":
      case "notification:read":
        if (this.waiting) this.waiting.push(frame);
        else this.apply(frame);
    }
  }
  apply(frame) {
    if (frame.event === "notification") this.add(frame.data);
    else if (frame.event === "notification:read") this.applyRead(frame.data);
  }
  add(notification) {
    const { notifications, unreadCount } = this.snap;
    if (notifications.some(({ id }) => id === notification.id)) return;
    const list = merge2(notifications, [notification]);
    const isCut = list.length > this.kept;
    this.show({
      notifications: isCut ? list.slice(0, this.kept) : list,
      hasOlder: this.snap.hasOlder || isCut,
      unreadCount: unreadCount + (notification.isRead ? 0 : 1)
    });
    this.countSoon();
  }
  applyRead({ notificationId, upTo, readAt }) {
    const until = upTo === void 0 ? NaN : Date.parse(upTo);
    this.setRead(({ id, createdAt }) => notificationId === void 0 ? Date.parse(createdAt) <= until : id === notificationId, readAt);
    this.countSoon();
  }
  setRead(isMeant, readAt) {
    let count = 0;
    const notifications = this.snap.notifications.map((known) => {
      if (known.isRead || !isMeant(known)) return known;
      count += 1;
      return { ...known, isRead: true, ...readAt === void 0 ? {} : { readAt } };
    });
    if (count > 0) this.show({ notifications, unreadCount: Math.max(0, this.snap.unreadCount - count) });
  }
  without(isGone) {
    const gone = this.snap.notifications.filter(isGone);
    if (gone.length === 0) return;
    const unread = gone.filter(({ isRead }) => !isRead).length;
    this.show({
      notifications: this.snap.notifications.filter((known) => !gone.includes(known)),
      unreadCount: Math.max(0, this.snap.unreadCount - unread)
    });
  }
  /** If all are loaded they are counted here; otherwise only the service knows the number. */
  countSoon() {
    if (this.snap.isLoaded && !this.snap.hasOlder) {
      const unreadCount = this.snap.notifications.filter(({ isRead }) => !isRead).length;
      if (unreadCount !== this.snap.unreadCount) this.show({ unreadCount });
      return;
    }
    if (this.ends.length === 0) return;
    this.countTimer ?? (this.countTimer = setTimeout(() => {
      this.countTimer = void 0;
      this.client.call(`${PATH2}/unread-count`).then(
        ({ unreadCount }) => unreadCount !== this.snap.unreadCount && this.show({ unreadCount }),
        () => void 0
        // the next connection reads it again
      );
    }, COUNT_AFTER_MS));
  }
  show(change2) {
    this.snap = { ...this.snap, ...change2 };
    this.planExpiry();
    for (const listener of [...this.listeners]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
  }
  planExpiry() {
    clearTimeout(this.expiryTimer);
    const { notifications } = this.snap;
    if (notifications.length === 0 || this.ends.length === 0) return;
    const first = notifications.reduce((least, { expiresAt }) => Math.min(least, Date.parse(expiresAt)), Infinity);
    const wait = Math.min(Math.max(0, first - Date.now()), MAX_TIMER_MS3);
    this.expiryTimer = setTimeout(() => {
      const now = Date.now();
      this.without(({ expiresAt }) => Date.parse(expiresAt) <= now);
      this.planExpiry();
    }, wait);
  }
};
function merge2(list, more) {
  const known = new Set(list.map(({ id }) => id));
  return [...list, ...more.filter(({ id }) => !known.has(id))].sort((a, b) => a.id < b.id ? 1 : -1);
}
function keepSame(known, fresh) {
  const byId = new Map(known.map((notification) => [notification.id, notification]));
  return fresh.map((notification) => {
    const same = byId.get(notification.id);
    return same && JSON.stringify(same) === JSON.stringify(notification) ? same : notification;
  });
}
function textOf(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer(0))));
  return text.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
export {
  Attachments,
  ChatClient,
  ChatError,
  Notifications,
  isStored,
  memoryStorage,
  newId,
  webStorage
};
