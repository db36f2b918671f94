import { Commands, type CommandOptions } from './commands';
import { Connection, type ConnectionState, platformWebSocket, type Watchdog, type WebSocketFactory } from './connection';
import { type ConversationSnapshot, ConversationState } from './conversation';
import { Emitter, report } from './emitter';
import { ChatError, disconnected } from './errors';
import type { CommandMessageSendData, Conversation, Message, SocketCommands, SocketEvents, UserPresence } from './generated/socket';
import { Rest, type RestRequest } from './http';
import { Outbox, type OutboxItem } from './outbox';
import type { Answer, EventFrame } from './protocol';
import { defaultStorage, type StorageAdapter } from './storage';
import { newId } from './timing';
import { claims, type TokenProvider, TokenSource } from './tokens';
import { DeliveryReceipts } from './delivery';
import { Followed } from './presence';
import { type User, Users } from './users';

export interface ChatClientOptions {
  /** The address of the service, for example `https://chat.example.com`. */
  url: string;
  /** Gives a fresh token of the user. Called once at a time, when one is needed. */
  getToken: TokenProvider;
  /** The address of the socket, if it is not `/ws` at `url`. */
  socketUrl?: string;
  /** Storage in which waiting messages survive a reload. Default: `localStorage` if there is one, else memory. */
  storage?: StorageAdapter;
  /** Makes sockets; needed only where the platform has no WebSocket. */
  webSocket?: WebSocketFactory;
  /** Carries REST requests; the platform's `fetch` unless it is given. */
  fetch?: typeof fetch;
  /**
   * In conversations of at most this many members the client tells the service which messages arrived, so that their senders see it. 0 turns
   * it off. Default: 50.
   */
  deliveryReceipts?: number;
  /** Times of the watchdog, for tests. */
  watchdog?: Watchdog;
}

/** Events of the client beside its snapshots. */
export interface ClientEvents {
  state: ConnectionState;
  /** Every event that the service pushes, once; numbered ones may come a moment before the snapshot shows them. */
  event: EventFrame;
  /** The list of conversations changed: one came, went, moved, or has another count. */
  conversations: readonly ConversationSnapshot[];
  /** The service cannot tell what was missed; everything that is shown is being read again. */
  reset: { reason: string };
  /** Profiles of users became known. */
  users: undefined;
  /** The presence of users changed. */
  presence: undefined;
  /** Something failed that no call waits for: the token provider, or the storage. */
  problem: { where: 'token' | 'storage'; error: unknown };
}

export type Outgoing = Omit<CommandMessageSendData, 'conversationId' | 'receiverId'>;

/** How often `typing:start` is sent while the user writes, and after which pause `typing:stop` follows. */
const TYPING_EVERY_MS = 2_500;
const TYPING_STOP_MS = 4_000;
const LIST_PAGE = 50;
const MAX_RECENT = 1_000;

/**
 * The client of one user. It keeps one socket alive, takes every event once and in order, sends each message once, and shows conversations as
 * immutable snapshots. Make another client for another user.
 */
export class ChatClient {
  readonly events = new Emitter<ClientEvents>();
  private readonly end = new AbortController();
  private readonly tokens: TokenSource;
  private readonly rest: Rest;
  private readonly connection: Connection;
  private readonly commands: Commands;
  private readonly states = new Map<string, ConversationState>();
  private readonly subscribers = new Map<string, Set<() => void>>();
  private readonly followed: Followed;
  private readonly delivery: DeliveryReceipts;
  private readonly users: Users;
  private readonly typing = new Map<string, { last: number; timer: ReturnType<typeof setTimeout> }>();
  private readonly storage: StorageAdapter;
  /** Ids of the newest numbered events. */
  private readonly recent = new Set<string | undefined>();
  private outbox: Outbox | undefined;
  private cursor: string | undefined;
  private me: string | undefined;
  private list: readonly ConversationSnapshot[] | undefined;
  private listCursor: string | undefined;
  private hasMore = true;
  private isListLoaded = false;
  private isTelling = false;

  /** Address of the service, without a slash at its end. */
  readonly baseUrl: string;

  constructor(private readonly options: ChatClientOptions) {
    const base = (this.baseUrl = options.url.replace(/\/+$/, ''));
    const socketUrl = options.socketUrl ?? `${base.replace(/^http/, 'ws')}/ws`;
    this.storage = options.storage ?? defaultStorage();
    this.tokens = new TokenSource(options.getToken, this.end.signal, (error) => this.events.emit('problem', { where: 'token', error }));
    this.rest = new Rest(base, this.tokens, options.fetch ?? globalThis.fetch.bind(globalThis), this.end.signal);
    this.users = new Users(this.rest, this.end.signal, () => this.events.emit('users', undefined));
    this.commands = new Commands((text) => this.connection.send(text));
    this.followed = new Followed((userIds) => this.command('presence:subscribe', { userIds }).then(({ presence }) => presence));
    this.delivery = new DeliveryReceipts(options.deliveryReceipts ?? 50, {
      me: () => this.userId,
      tell: (messageId) => this.command('message:delivered', { messageId }),
    });
    this.connection = new Connection(
      socketUrl,
      this.tokens,
      options.webSocket ?? platformWebSocket,
      {
        onFrame: (frame) => this.take(frame),
        onAck: (frame) => this.commands.onAck(frame),
        onState: (state) => this.onState(state),
        cursor: () => this.cursor,
      },
      options.watchdog,
    );
  }

  /** The user, known once there was a token. */
  get userId(): string | undefined {
    return this.me ?? this.tokens.userId;
  }

  get state(): ConnectionState {
    return this.connection.current;
  }

  /** Opens the connection and keeps it, until `disconnect`. Messages that waited from before a reload are shown and sent. */
  connect(): this {
    if (this.end.signal.aborted) throw disconnected();
    // Not in the constructor: a server that renders a page has no need of one.
    if (!this.options.webSocket && !globalThis.WebSocket) {
      throw new ChatError('NETWORK', 'This platform has no WebSocket. Use Node 22, or give the option `webSocket`, for example from the package ws.');
    }
    this.connection.start();
    void this.tokens
      .get()
      .then((token) => this.openOutbox(claims(token).sub))
      .catch(() => undefined);
    return this;
  }

  /** Tries to connect at once while the client waits for its next try; does nothing in any other state. */
  reconnect(): void {
    this.connection.retryNow();
  }

  /** Ends everything for good: no timer, socket or call of the token provider remains; waiting calls fail. */
  disconnect(): void {
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
  command<K extends keyof SocketCommands>(event: K, data: SocketCommands[K], options?: CommandOptions): Promise<Answer<K>> {
    if (this.end.signal.aborted) return Promise.reject(disconnected());
    if (this.state.status === 'stopped') return Promise.reject(this.stopError());
    return this.commands.request(event, data, options);
  }

  /** Calls the REST API as the user. */
  call<T>(path: string, request?: RestRequest): Promise<T> {
    return this.rest.call<T>(path, request);
  }

  // --- conversations -----------------------------------------------------------------------------------------------

  /** The conversations that are known, latest activity first. The same array until something changes. */
  conversations(): readonly ConversationSnapshot[] {
    const activity = ({ conversation }: ConversationSnapshot) => conversation?.lastActivityAt ?? '';
    this.list ??= [...this.states.values()]
      .map((state) => state.snapshot)
      .filter(({ conversation, isMember }) => conversation && isMember)
      .sort((a, b) => (activity(a) < activity(b) ? 1 : activity(a) > activity(b) ? -1 : 0));
    return this.list;
  }

  get hasMoreConversations(): boolean {
    return this.hasMore;
  }

  /** Reads the next page of the list of conversations. */
  async loadMoreConversations(): Promise<void> {
    if (!this.hasMore) return;
    const query = { limit: LIST_PAGE, before: this.listCursor };
    const page = await this.rest.call<{ conversations: Conversation[]; nextCursor?: string; hasMore: boolean }>('/api/conversations', { query });
    this.hasMore = page.hasMore;
    this.listCursor = page.nextCursor;
    for (const conversation of page.conversations) this.takeListed(conversation);
  }

  /** Reads the first page of the conversations that the user archived; they join the known ones, with `preferences.archived`. */
  async loadArchivedConversations(): Promise<void> {
    const query = { limit: LIST_PAGE, archived: true };
    const page = await this.rest.call<{ conversations: Conversation[] }>('/api/conversations', { query });
    for (const conversation of page.conversations) this.takeListed(conversation);
  }

  private takeListed(conversation: Conversation): void {
    this.stateOf(conversation.id).takeListed(conversation);
    if (conversation.lastMessage) this.delivery.arrived(conversation.lastMessage, conversation);
  }

  /** The snapshot of a conversation. The same object until it changes. */
  conversation(id: string): ConversationSnapshot {
    return this.stateOf(id).snapshot;
  }

  /** Calls `listener` after each change of a conversation's snapshot; returns the function that ends it. */
  subscribe(id: string, listener: () => void): () => void {
    let set = this.subscribers.get(id);
    if (!set) this.subscribers.set(id, (set = new Set()));
    set.add(listener);
    return () => {
      set.delete(listener);
      if (set.size === 0) this.subscribers.delete(id);
    };
  }

  /** Loads the newest part of a conversation's history. */
  open(id: string): Promise<void> {
    return this.stateOf(id).load();
  }

  loadOlder(id: string, limit?: number): Promise<void> {
    return this.stateOf(id).loadOlder(limit);
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  /** Sends a message to a conversation, once, whatever breaks: it is stored until the service answered. */
  send(conversationId: string, message: string | Outgoing): Promise<Message> {
    return this.enqueue({ ...bodyOf(message), conversationId });
  }

  /** The same to a user, in the direct conversation of the two. */
  sendTo(receiverId: string, message: string | Outgoing): Promise<Message> {
    return this.enqueue({ ...bodyOf(message), receiverId });
  }

  /** Tries a message again that the service refused. */
  retry(clientMessageId: string): void {
    this.outbox?.retry(clientMessageId);
  }

  /** Forgets a message that was not sent. Says whether it did; a message that is on its way stays. */
  discard(clientMessageId: string): boolean {
    return this.outbox?.discard(clientMessageId) ?? false;
  }

  edit(messageId: string, content: string): Promise<Message> {
    return this.command('message:edit', { messageId, content }).then(({ message }) => message);
  }

  async remove(messageId: string): Promise<void> {
    await this.command('message:delete', { messageId });
  }

  async react(messageId: string, emoji: string): Promise<void> {
    await this.command('reaction:add', { messageId, emoji });
  }

  async unreact(messageId: string, emoji: string): Promise<void> {
    await this.command('reaction:remove', { messageId, emoji });
  }

  /** Marks a conversation as read, whole or up to a message. */
  async markRead(conversationId: string, upToMessageId?: string): Promise<void> {
    await this.command('conversation:read', upToMessageId === undefined ? { conversationId } : { conversationId, upToMessageId });
  }

  /** Call it at every key press: the indicator is sent as often as needed, and ends by itself. */
  type(conversationId: string): void {
    const known = this.typing.get(conversationId);
    clearTimeout(known?.timer);
    const now = Date.now();
    const isDue = !known || Math.abs(now - known.last) >= TYPING_EVERY_MS;
    if (isDue) this.hint('typing:start', conversationId);
    const timer = setTimeout(() => this.stopTyping(conversationId), TYPING_STOP_MS);
    this.typing.set(conversationId, { last: isDue ? now : known.last, timer });
  }

  stopTyping(conversationId: string): void {
    const known = this.typing.get(conversationId);
    if (!known) return;
    clearTimeout(known.timer);
    this.typing.delete(conversationId);
    this.hint('typing:stop', conversationId);
  }

  // --- presence ----------------------------------------------------------------------------------------------------

  /** How a user is, as far as it was told; `undefined` if nothing was. */
  presence(userId: string): UserPresence | undefined {
    return this.followed.presence(userId);
  }

  /** Follows users also if they share no conversation with this one, over every reconnection. Calls of one moment are one request. */
  async follow(userIds: string[]): Promise<UserPresence[]> {
    if (this.end.signal.aborted) throw disconnected();
    const presence = await this.followed.add(userIds);
    this.events.emit('presence', undefined);
    return presence;
  }

  // --- profiles ----------------------------------------------------------------------------------------------------

  /** The public profile of a user, if it is known; otherwise it is read once, and the event `users` tells when it is there. */
  user(userId: string): User | undefined {
    return this.users.get(userId);
  }

  /** Remembers profiles that an answer contained, so that they need not be read. */
  addUsers(users: readonly User[]): void {
    this.users.add(users);
  }

  // --- inside ------------------------------------------------------------------------------------------------------

  private take(frame: EventFrame): void {
    // After a resume the service may repeat what it sent last.
    if (this.end.signal.aborted || (frame.seq !== undefined && this.recent.has(frame.id))) return;
    switch (frame.event) {
      case 'connected':
        this.onConnected(frame.data);
        break;
      case 'sync:reset':
        this.cursor = undefined;
        this.events.emit('reset', { reason: frame.data.reason });
        break;
      case 'user:online':
      case 'user:away':
      case 'user:offline':
        this.followed.take(frame.data);
        this.events.emit('presence', undefined);
        break;
      default:
        this.route(frame);
    }
    // Only now: the event was handled.
    if (frame.cursor !== undefined) this.cursor = frame.cursor;
    if (frame.seq !== undefined) this.remember(frame.id);
    this.events.emit('event', frame);
  }

  private remember(id: string | undefined): void {
    this.recent.add(id);
    if (this.recent.size > MAX_RECENT) this.recent.delete(this.recent.values().next().value);
  }

  private route(frame: EventFrame): void {
    const data = frame.data as { conversationId?: string; id?: string };
    const id = data.conversationId ?? data.id;
    if (!id?.startsWith('cnv_')) return;
    const state = this.stateOf(id);
    state.take(frame);
    if (frame.event === 'message:new') this.delivery.arrived(frame.data, state.snapshot.conversation);
  }

  private onConnected(data: SocketEvents['connected']): void {
    this.me = data.userId;
    this.cursor ??= data.cursor;
    this.users.retry();
    this.followed
      .again()
      .then((found) => found.length > 0 && this.events.emit('presence', undefined))
      .catch(() => undefined);
    if (data.resumed) {
      for (const state of this.states.values()) state.resumed();
    } else {
      this.cursor = data.cursor;
      // Nothing tells what was missed, so everything that is shown is read again, and so is the list.
      this.listCursor = undefined;
      this.hasMore = true;
      for (const state of this.states.values()) void state.reset().catch(() => undefined);
      this.loadMoreConversations().then(
        () => {
          this.isListLoaded = true;
          this.tellConversations();
        },
        (error: unknown) => {
          if (!this.end.signal.aborted) report(error);
        },
      );
    }
  }

  /** Whether the list of conversations was read. */
  get isReady(): boolean {
    return this.isListLoaded;
  }

  private onState(state: ConnectionState): void {
    const isConnected = state.status === 'connected';
    if (isConnected) this.commands.onConnected();
    else this.commands.onLost();
    this.outbox?.setOnline(isConnected);
    if (state.status === 'stopped') {
      this.commands.end(this.stopError());
      this.outbox?.release(this.stopError());
    }
    this.events.emit('state', state);
  }

  private stopError(): ChatError {
    const state = this.state;
    const code = state.status === 'stopped' ? state.code : 0;
    return new ChatError('STOPPED', `The service closed the connection for good (code ${code}).`);
  }

  private stateOf(id: string): ConversationState {
    let state = this.states.get(id);
    if (!state) {
      state = new ConversationState(id, { rest: this.rest, signal: this.end.signal, me: () => this.userId, changed: (changed) => this.onChanged(changed) });
      this.states.set(id, state);
    }
    return state;
  }

  private onChanged(id: string): void {
    this.list = undefined;
    for (const listener of [...(this.subscribers.get(id) ?? [])]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
    this.tellConversations();
  }

  /** One event for all changes of a moment. */
  private tellConversations(): void {
    if (this.isTelling) return;
    this.isTelling = true;
    queueMicrotask(() => {
      this.isTelling = false;
      if (!this.end.signal.aborted) this.events.emit('conversations', this.conversations());
    });
  }

  private async enqueue(body: CommandMessageSendData): Promise<Message> {
    if (this.end.signal.aborted) throw disconnected();
    const outbox = this.outbox ?? this.openOutbox(claims(await this.tokens.get()).sub);
    if (body.conversationId) this.stopTypingQuietly(body.conversationId);
    return outbox.add({ ...body, clientMessageId: body.clientMessageId ?? newId() });
  }

  private openOutbox(subject: unknown): Outbox {
    // Encoded, so that no user's keys begin with the prefix of another one.
    const user = typeof subject === 'string' ? subject : '';
    const show = (item: OutboxItem, status: 'sending' | 'failed') => {
      if (item.body.conversationId) this.stateOf(item.body.conversationId).showPending(item, status);
    };
    this.outbox ??= new Outbox(`chat-outbox ${this.options.url} ${encodeURIComponent(user)} `, this.storage, {
      send: async (body) => (await this.command('message:send', body)).message,
      onAdded: (item) => show(item, item.error ? 'failed' : 'sending'),
      onSent: (item, message) => this.stateOf(message.conversationId).confirm(item, message),
      onFailed: (item) => show(item, 'failed'),
      onRemoved: (item) => item.body.conversationId && this.stateOf(item.body.conversationId).dropPending(item.clientMessageId),
      onStorageError: (error) => this.events.emit('problem', { where: 'storage', error }),
    });
    this.outbox.setOnline(this.state.status === 'connected');
    return this.outbox;
  }

  private hint(event: 'typing:start' | 'typing:stop', conversationId: string): void {
    // An indicator that cannot be sent now is of no use later.
    if (this.state.status === 'connected') this.command(event, { conversationId }, { timeoutMs: 5_000 }).catch(() => undefined);
  }

  /** The message itself ends the indicator for the others. */
  private stopTypingQuietly(conversationId: string): void {
    clearTimeout(this.typing.get(conversationId)?.timer);
    this.typing.delete(conversationId);
  }
}

const bodyOf = (message: string | Outgoing): Outgoing => (typeof message === 'string' ? { content: message } : message);
