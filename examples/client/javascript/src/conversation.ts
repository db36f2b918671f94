import { report } from './emitter';
import type { Conversation, ConversationRead, Message } from './generated/socket';
import type { Rest } from './http';
import type { OutboxItem } from './outbox';
import type { EventFrame } from './protocol';
import { raise, readReceipts, type Receipt, type Receipts } from './receipts';
import * as timeline from './timeline';
import { sleep } from './timing';

/** A message of this user that the log does not show yet. */
export interface PendingMessage {
  item: OutboxItem;
  /** `sending` until the service answered, then `sent` until its entry arrives; `failed` if the service refused it for good. */
  status: 'sending' | 'sent' | 'failed';
}

/** The state of a conversation at one moment. Immutable: a change makes a new one, and untouched parts stay the same objects. */
export interface ConversationSnapshot {
  readonly id: string;
  /** The conversation as REST shows it; absent until it is read for the first time. */
  readonly conversation: Conversation | undefined;
  /** Whether the user is a member now. A former member keeps what they saw. */
  readonly isMember: boolean;
  /** The loaded messages, by number, without holes up to the newest one. */
  readonly messages: timeline.Messages;
  /** Whether the newest part of the history is loaded. */
  readonly isLoaded: boolean;
  /** Whether there are messages before the first loaded one. */
  readonly hasOlder: boolean;
  /** Own messages that are on their way, in their order, to be shown after `messages`. */
  readonly pending: readonly PendingMessage[];
  readonly readSeq: number;
  readonly unreadCount: number;
  readonly mentionCount: number;
  /** Members who are writing or recording now. */
  readonly active: readonly { userId: string; type: string }[];
  /** How far other members received and read, as far as it is known. */
  readonly receipts: Receipts;
}

export interface ConversationHooks {
  readonly rest: Rest;
  readonly signal: AbortSignal;
  me(): string | undefined;
  changed(id: string): void;
}

interface LogEntry {
  seq: number;
  type: string;
  id?: string;
  timestamp?: string;
  actorId?: string;
  data?: Record<string, unknown>;
}

export const PAGE = 50;
/** How many live messages an unopened conversation keeps. */
const MAX_UNOPENED = 100;
/** How long an indicator lasts if the service does not end it: longer than its own time. */
const ACTIVE_MS = 45_000;
const REFRESH_MS = 300;
/** Time after reading a conversation in which its counts may be newer than its number. */
const DOUBTFUL_MS = 5_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One conversation: takes events in the order of their numbers, repairs gaps from the log, and keeps the snapshot. */
export class ConversationState {
  private snap: ConversationSnapshot;
  /** The newest number that is taken in; `undefined` before the conversation was read. */
  private position: number | undefined;
  /** Numbered events that came too early. */
  private readonly early = new Map<number, EventFrame>();
  /** Replies up to this number may be counted already in roots that were read by REST. */
  private uncertainReplies = 0;
  private loading: Promise<void> | undefined;
  private repairing: Promise<void> | undefined;
  private reading: Promise<void> | undefined;
  /** Whether numbered events wait, because the history is being read. */
  private isHolding = false;
  private refreshTimer: ReturnType<typeof setTimeout> | undefined;
  private expiryTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly activity = new Map<string, ReturnType<typeof setTimeout>>();
  private lastRead = '';
  /** Time at which the counts were last read, by the device's clock. */
  private adoptedAt = 0;
  private isNotifying = true;
  private isDirty = false;

  constructor(
    readonly id: string,
    private readonly hooks: ConversationHooks,
  ) {
    this.snap = {
      id,
      conversation: undefined,
      isMember: true,
      messages: [],
      isLoaded: false,
      hasOlder: true,
      pending: [],
      readSeq: 0,
      unreadCount: 0,
      mentionCount: 0,
      active: [],
      receipts: new Map(),
    };
  }

  get snapshot(): ConversationSnapshot {
    return this.snap;
  }

  /** The newest number that is taken in. */
  get seq(): number | undefined {
    return this.position;
  }

  /** Takes in a conversation that a list showed. A position that is already further stays. */
  takeListed(conversation: Conversation): void {
    if (this.position !== undefined) return;
    if (!this.isOpen) this.adopt(conversation);
    else this.loadAgain();
  }

  /** Takes in an event of this conversation. */
  take(frame: EventFrame): void {
    this.batch(() => {
      if (frame.seq === undefined) return this.applyUnnumbered(frame);
      const begins = frame.event === 'conversation:new' || frame.event === 'conversation:joined';
      if (begins && (this.position === undefined || frame.seq > this.position)) this.begin(frame as EventFrame<'conversation:new'>);
      else if (this.position === undefined || frame.seq > this.position) this.early.set(frame.seq, frame);
      this.drain();
      if (this.position === undefined && this.isOpen) this.loadAgain();
    });
  }

  /** Whether the history is shown or being read. Then the position is set together with the list, so that a message up to it is never absent. */
  private get isOpen(): boolean {
    return this.snap.isLoaded || this.loading !== undefined;
  }

  private loadAgain(): void {
    if (!this.loading) void this.load().catch(() => undefined);
  }

  /** Loads the newest part of the history. Repeated calls share the work. */
  load(): Promise<void> {
    return (this.loading ??= this.loadNewest().finally(() => {
      this.loading = undefined;
      this.isHolding = false;
      this.batch(() => this.drain());
    }));
  }

  /** Loads messages before the first loaded one. */
  async loadOlder(limit = PAGE): Promise<void> {
    if (!this.snap.isLoaded) return this.load();
    const first = this.snap.messages[0];
    if (!this.snap.hasOlder || !first) return;
    const path = `/api/conversations/${this.id}/messages`;
    const page = await this.hooks.rest.call<{ messages: Message[]; hasMore: boolean }>(path, { query: { before: first.id, limit } });
    const after = await this.hooks.rest.call<Conversation>(`/api/conversations/${this.id}`).catch(() => undefined);
    this.batch(() => {
      // The list may have been reloaded meanwhile.
      if (this.snap.messages[0]?.id !== first.id) return;
      this.uncertainReplies = Math.max(this.uncertainReplies, after?.seq ?? 0);
      this.set({ messages: timeline.merge(this.snap.messages, page.messages), hasOlder: page.hasMore });
      this.planExpiry();
    });
  }

  /** The service cannot tell what was missed: everything is read again. The old state stays visible until then. */
  async reset(): Promise<void> {
    this.early.clear();
    this.position = undefined;
    if (this.snap.isLoaded) await this.load();
    else await this.readAgain();
  }

  /** Reads again what a resume does not bring: the read position, drafts and counts that other devices changed. */
  resumed(): void {
    this.refreshSoon();
  }

  showPending(item: OutboxItem, status: PendingMessage['status']): void {
    this.batch(() => {
      if (this.snap.messages.some((message) => this.isMine(message, item.clientMessageId))) return;
      const others = this.snap.pending.filter((pending) => pending.item.clientMessageId !== item.clientMessageId);
      this.set({ pending: [...others, { item, status }].sort((a, b) => a.item.order - b.item.order) });
    });
  }

  /** The service stored the message. It stays among `pending` until its entry arrives, so that it never disappears in between. */
  confirm(item: OutboxItem, message: Message): void {
    const isTaken = this.position !== undefined && message.seq <= this.position;
    if (isTaken) return this.dropPending(item.clientMessageId);
    this.showPending(item, 'sent');
    // Its entry comes by the socket. If the socket broke, the log has it.
    void sleep(5_000, this.hooks.signal)
      .then(() => {
        if (this.position === undefined || this.loading) return;
        return this.position < message.seq ? this.repair() : this.dropPending(item.clientMessageId);
      })
      .catch(() => undefined);
  }

  dropPending(clientMessageId: string): void {
    this.batch(() => {
      if (!this.snap.pending.some(({ item }) => item.clientMessageId === clientMessageId)) return;
      this.set({ pending: this.snap.pending.filter(({ item }) => item.clientMessageId !== clientMessageId) });
    });
  }

  /** Frees every timer. */
  close(): void {
    clearTimeout(this.refreshTimer);
    clearTimeout(this.expiryTimer);
    for (const timer of this.activity.values()) clearTimeout(timer);
    this.activity.clear();
  }

  // --- numbered events ---------------------------------------------------------------------------------------------

  private drain(): void {
    if (this.isHolding) return;
    if (this.position === undefined) {
      if (this.early.size > 0 && !this.isOpen) void this.readAgain().catch(() => undefined);
      return;
    }
    for (const seq of this.early.keys()) if (seq <= this.position) this.early.delete(seq);
    for (let next = this.early.get(this.position + 1); next; next = this.early.get(this.position + 1)) {
      this.early.delete(this.position + 1);
      this.position += 1;
      this.apply(next);
    }
    if (this.early.size > 0) void this.repair().catch(() => undefined);
  }

  /** Reads what is missing between the position and what came early. */
  private repair(): Promise<void> {
    return (this.repairing ??= this.readLog().finally(() => (this.repairing = undefined)));
  }

  private async readLog(): Promise<void> {
    // A hole often closes by itself: events of two nodes may cross.
    await sleep(100, this.hooks.signal);
    for (let more = true; more && this.position !== undefined; ) {
      const before: number = this.position;
      const path = `/api/conversations/${this.id}/log`;
      const page: { entries: LogEntry[]; hasMore: boolean } = await this.hooks.rest.call(path, { query: { after: before, limit: 100 } });
      this.batch(() => {
        for (const entry of page.entries) {
          if (this.position !== undefined && entry.seq > this.position) this.early.set(entry.seq, frameOf(entry, this.id));
        }
        this.drain();
      });
      more = page.hasMore && this.position !== undefined && this.position > before;
    }
  }

  private begin(frame: EventFrame<'conversation:new'> | EventFrame<'conversation:joined'>): void {
    const wasLoaded = this.snap.isLoaded;
    this.position = frame.seq;
    this.set({ conversation: { ...this.snap.conversation, ...frame.data }, isMember: true });
    if (frame.event === 'conversation:joined') {
      // Earlier history, a read position and a draft may wait.
      if (wasLoaded) void this.load().catch(report);
      else this.refreshSoon();
    }
  }

  private apply(frame: EventFrame): void {
    const me = this.hooks.me();
    const { messages } = this.snap;
    switch (frame.event) {
      case 'message:new':
        return this.applyNew(frame.data);
      case 'message:updated':
        return this.setMessages(timeline.change(messages, frame.data.messageId, (message) => timeline.edited(message, frame.data)));
      case 'message:deleted':
        return this.applyDeleted(frame.data.messageId, frame.data.deletedAt, frame.data.isExpired === true);
      case 'message:restored':
        // Its reactions and its pin come back too; the event does not carry them.
        return void this.readMessage(frame.data.messageId).catch(() => undefined);
      case 'message:pinned':
        return this.setMessages(
          timeline.change(messages, frame.data.messageId, (message) => ({ ...message, pinnedAt: frame.data.timestamp, pinnedBy: frame.data.userId })),
        );
      case 'message:unpinned':
        return this.setMessages(timeline.change(messages, frame.data.messageId, ({ pinnedAt: _a, pinnedBy: _b, ...message }) => message));
      case 'reaction:added':
      case 'reaction:removed': {
        const isGiven = frame.event === 'reaction:added';
        return this.setMessages(timeline.change(messages, frame.data.messageId, (message) => timeline.reacted(message, frame.data, isGiven, me)));
      }
      case 'conversation:updated': {
        const before = this.snap.conversation?.historyVisibility;
        this.set({ conversation: { ...this.snap.conversation, ...frame.data } });
        // Another part of the history may be visible now.
        if (before !== frame.data.historyVisibility && this.snap.isLoaded) void this.load().catch(report);
        return;
      }
      case 'conversation:removed':
        return this.set({ isMember: false, active: [] });
      case 'participant:updated':
        return this.applyMember(frame.data);
      case 'participant:added':
      case 'participant:removed':
        return this.refreshSoon();
    }
  }

  private applyNew(message: Message): void {
    const pending = this.snap.pending.filter(({ item }) => !this.isMine(message, item.clientMessageId));
    let messages = this.snap.messages;
    if (message.threadId && message.seq <= this.uncertainReplies && messages.some(({ id }) => id === message.threadId)) {
      messages = timeline.merge(messages, [message]);
      void this.readMessage(message.threadId).catch(() => undefined);
    } else {
      messages = timeline.addNew(messages, message);
    }
    if (!this.snap.isLoaded && messages.length > MAX_UNOPENED) messages = messages.slice(-MAX_UNOPENED);
    const me = this.hooks.me();
    const counts = timeline.isCountable(message, me) && message.seq > this.snap.readSeq ? 1 : 0;
    const mentions = counts > 0 && timeline.mentionsUser(message, me) ? 1 : 0;
    const conversation = this.snap.conversation && { ...this.snap.conversation, lastMessage: message, lastActivityAt: message.createdAt };
    this.set({
      messages,
      pending: pending.length === this.snap.pending.length ? this.snap.pending : pending,
      conversation,
      unreadCount: this.snap.unreadCount + counts,
      mentionCount: this.snap.mentionCount + mentions,
      active: this.snap.active.filter(({ userId }) => userId !== message.senderId),
    });
    const isCounted = this.recount();
    // Only the service knows who was online when `@here` was mentioned. A count that was read a moment ago may contain this message already.
    const isDoubtful = !isCounted && Date.now() - this.adoptedAt < DOUBTFUL_MS;
    if (counts > 0 && (isDoubtful || message.mentions.includes('@here'))) this.refreshSoon();
    if (message.expiresAt) this.planExpiry();
  }

  private applyDeleted(id: string, deletedAt: string, isExpired: boolean): void {
    const message = this.snap.messages.find((known) => known.id === id);
    if (!message) {
      if (this.snap.unreadCount > 0) this.refreshSoon();
      return;
    }
    this.uncount(message);
    const { messages } = this.snap;
    this.setMessages(isExpired ? timeline.without(messages, id) : timeline.change(messages, id, (known) => timeline.tombstone(known, deletedAt)));
    this.recount();
    if (this.snap.conversation?.lastMessage?.id === id) this.refreshSoon();
    if (message.threadId && isExpired) void this.readMessage(message.threadId).catch(() => undefined);
  }

  private uncount(message: Message): void {
    const me = this.hooks.me();
    if (!timeline.isCountable(message, me) || message.seq <= this.snap.readSeq) return;
    this.set({
      unreadCount: Math.max(0, this.snap.unreadCount - 1),
      mentionCount: Math.max(0, this.snap.mentionCount - (timeline.mentionsUser(message, me) ? 1 : 0)),
    });
    if (message.mentions.includes('@here')) this.refreshSoon();
  }

  private applyMember(data: EventFrame<'participant:updated'>['data']): void {
    const { conversation } = this.snap;
    if (!conversation || data.userId !== this.hooks.me()) return;
    const next = { ...conversation };
    if (data.role) next.myRole = data.role;
    if (data.preferences) next.preferences = data.preferences;
    this.set({ conversation: next });
  }

  // --- events that are in no log -----------------------------------------------------------------------------------

  private applyUnnumbered(frame: EventFrame): void {
    switch (frame.event) {
      case 'conversation:read':
        return this.applyRead(frame.data, frame.id ?? '');
      case 'draft:updated': {
        if (!this.snap.conversation) return;
        const { draft: _, ...conversation } = this.snap.conversation;
        return this.set({ conversation: frame.data.draft === undefined ? conversation : { ...conversation, draft: frame.data.draft } });
      }
      case 'message:read':
        return this.applyReceipt(frame.data.userId, frame.data.messageId, 'readSeq');
      case 'message:delivered':
        return this.applyReceipt(frame.data.userId, frame.data.messageId, 'deliveredSeq');
      case 'user:typing':
      case 'user:recording':
        return this.applyActivity(frame.data);
    }
  }

  private applyRead(data: ConversationRead, id: string): void {
    // Two nodes may tell out of order: the greatest id is the last word.
    if (id < this.lastRead) return;
    this.lastRead = id;
    this.set({ readSeq: data.readSeq, unreadCount: data.unreadCount, mentionCount: data.mentionCount });
    if (!this.recount()) this.refreshSoon();
  }

  private applyReceipt(userId: string, messageId: string, field: keyof Receipt): void {
    const seq = this.snap.messages.find((message) => message.id === messageId)?.seq;
    if (seq !== undefined) this.setReceipts(raise(this.snap.receipts, userId, field, seq));
  }

  private setReceipts(receipts: Receipts): void {
    if (receipts !== this.snap.receipts) this.set({ receipts });
  }

  /** Events tell receipts only from now on; the earlier ones are read. */
  private async loadReceipts(conversation: Conversation): Promise<void> {
    const found = await readReceipts(this.hooks.rest, conversation, this.snap.messages, this.hooks.me());
    let receipts = this.snap.receipts;
    for (const [userId, { readSeq, deliveredSeq }] of found) {
      receipts = raise(raise(receipts, userId, 'deliveredSeq', deliveredSeq), userId, 'readSeq', readSeq);
    }
    this.setReceipts(receipts);
  }

  private applyActivity(data: { userId: string; type: string; isActive: boolean }): void {
    const key = `${data.type} ${data.userId}`;
    const others = this.snap.active.filter(({ userId, type }) => userId !== data.userId || type !== data.type);
    clearTimeout(this.activity.get(key));
    this.activity.delete(key);
    if (data.isActive) {
      const end = () => this.take({ event: 'user:typing', data: { ...data, isActive: false } } as EventFrame<'user:typing'>);
      this.activity.set(key, setTimeout(end, ACTIVE_MS));
    }
    this.set({ active: data.isActive ? [...others, { userId: data.userId, type: data.type }] : others });
  }

  // --- counts ------------------------------------------------------------------------------------------------------

  /** Whether every message after `readSeq` is loaded, so that unread ones can be counted here. */
  private covers(readSeq: number): boolean {
    const first = this.snap.messages[0];
    return this.snap.isLoaded && (!this.snap.hasOlder || (first !== undefined && first.seq <= readSeq + 1));
  }

  /**
   * Counts the unread messages here, if all of them are loaded; returns false if they are not. A count of the service belongs to the moment of
   * its reading, which may be later than the number of the conversation beside it.
   */
  private recount(): boolean {
    if (!this.covers(this.snap.readSeq)) return false;
    const me = this.hooks.me();
    const unread = this.snap.messages.filter((message) => message.seq > this.snap.readSeq && timeline.isCountable(message, me));
    const mentionCount = unread.filter((message) => timeline.mentionsUser(message, me)).length;
    // Only the service knows who was online when `@here` was mentioned: its count of mentions stays.
    const isKnown = !unread.some(({ mentions }) => mentions.includes('@here'));
    if (unread.length !== this.snap.unreadCount || (isKnown && mentionCount !== this.snap.mentionCount)) {
      this.set({ unreadCount: unread.length, mentionCount: isKnown ? mentionCount : this.snap.mentionCount });
    }
    return true;
  }

  /** Reads the conversation again in a moment, for what events do not carry. */
  private refreshSoon(): void {
    if (this.refreshTimer !== undefined || this.hooks.signal.aborted) return;
    this.refreshTimer = setTimeout(() => {
      this.refreshTimer = undefined;
      this.refresh().catch(() => undefined);
    }, REFRESH_MS);
  }

  private async refresh(): Promise<void> {
    const fresh = await this.readConversation();
    if (!fresh) return;
    this.batch(() => {
      const me = this.hooks.me();
      const later = this.snap.messages.filter((message) => message.seq > fresh.seq && timeline.isCountable(message, me));
      this.set({
        conversation: fresh,
        readSeq: fresh.readSeq ?? 0,
        unreadCount: (fresh.unreadCount ?? 0) + later.length,
        mentionCount: (fresh.mentionCount ?? 0) + later.filter((message) => timeline.mentionsUser(message, me)).length,
      });
      if (this.position === undefined && !this.isOpen) this.position = fresh.seq;
      this.recount();
      this.drain();
    });
  }

  // --- reading by REST ---------------------------------------------------------------------------------------------

  private adopt(conversation: Conversation): void {
    this.batch(() => {
      this.position = conversation.seq;
      this.set({
        conversation,
        isMember: true,
        readSeq: conversation.readSeq ?? 0,
        unreadCount: conversation.unreadCount ?? 0,
        mentionCount: conversation.mentionCount ?? 0,
      });
      this.adoptedAt = Date.now();
      this.recount();
      this.drain();
    });
  }

  /** The conversation, at least as far as events showed it already; `undefined` for one that this user may not see any more. */
  private async readConversation(): Promise<Conversation | undefined> {
    for (let tries = 0; ; tries++) {
      const found = await this.hooks.rest.call<Conversation>(`/api/conversations/${this.id}`).catch((error: { code?: string }) => {
        if (error.code === 'NOT_FOUND') return undefined;
        throw error;
      });
      const isBehind = found ? found.seq < (this.position ?? 0) : this.snap.isMember && this.position !== undefined;
      if (!isBehind || tries >= 20) return found;
      // An event may come a moment before REST knows of it.
      await sleep(100 + tries * 50, this.hooks.signal);
    }
  }

  private readAgain(): Promise<void> {
    return (this.reading ??= this.readConversation()
      .then((found) => {
        if (found && this.position === undefined && !this.isOpen) this.adopt(found);
      })
      .finally(() => (this.reading = undefined)));
  }

  private async loadNewest(): Promise<void> {
    // Events wait until the history is there: what is read replaces the list, and they go on from its number.
    this.isHolding = true;
    for (let tries = 0; ; tries++) {
      const conversation = await this.readConversation();
      const path = `/api/conversations/${this.id}/messages`;
      const page = await this.hooks.rest.call<{ messages: Message[]; hasMore: boolean }>(path, { query: { limit: PAGE } });
      const newest = page.messages[0]?.seq ?? 0;
      // The messages are read after the conversation and must not be newer than it: else they contain part of later events already.
      if (conversation && newest > conversation.seq && tries < 5) continue;
      this.batch(() => {
        const messages = page.messages.slice().reverse();
        const pending = this.snap.pending.filter(({ item }) => !messages.some((message) => this.isMine(message, item.clientMessageId)));
        this.set({ messages, isLoaded: true, hasOlder: page.hasMore, pending, ...(conversation ? {} : { isMember: false }) });
        this.uncertainReplies = newest;
        if (conversation) this.adopt(conversation);
        this.planExpiry();
      });
      // Ticks are not worth an error: without them a message counts as sent.
      if (conversation) this.loadReceipts(conversation).catch(() => undefined);
      return;
    }
  }

  private async readMessage(id: string): Promise<void> {
    const message = await this.hooks.rest.call<Message>(`/api/messages/${id}`);
    this.batch(() => {
      const first = this.snap.messages[0];
      const isInRange = first !== undefined ? message.seq >= first.seq || !this.snap.hasOlder : this.snap.isLoaded;
      if (isInRange) this.setMessages(timeline.merge(this.snap.messages, [message]));
      this.refreshSoon();
    });
  }

  // --- the snapshot ------------------------------------------------------------------------------------------------

  /** Messages with an end are gone at that moment, though the service tells it a moment later. */
  private planExpiry(): void {
    clearTimeout(this.expiryTimer);
    const ends = this.snap.messages.flatMap(({ expiresAt }) => (expiresAt ? [Date.parse(expiresAt)] : []));
    if (ends.length === 0) return;
    const wait = Math.min(Math.max(0, Math.min(...ends) - Date.now()), MAX_TIMER_MS);
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

  private isMine(message: Message, clientMessageId: string): boolean {
    return message.clientMessageId === clientMessageId && message.senderId === this.hooks.me();
  }

  private setMessages(messages: timeline.Messages): void {
    if (messages !== this.snap.messages) this.set({ messages });
  }

  private set(change: Partial<ConversationSnapshot>): void {
    this.snap = { ...this.snap, ...change };
    if (this.isNotifying) this.hooks.changed(this.id);
    else this.isDirty = true;
  }

  /** Several changes, one notification. */
  private batch(run: () => void): void {
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
}

/** An entry of the log as the event that a socket would have pushed. */
function frameOf({ seq, type, id, timestamp, actorId, data }: LogEntry, conversationId: string): EventFrame {
  const names: Record<string, string> = {
    'message.created': 'message:new',
    'conversation.created': 'conversation:new',
    'conversation.deleted': 'conversation:removed',
    skip: 'seq:skip',
  };
  const event = names[type] ?? type.replace('.', ':');
  const own = type === 'message.created' || type.startsWith('conversation.') ? {} : { conversationId, timestamp, userId: actorId };
  return { event, seq, id, data: { ...own, ...data } } as unknown as EventFrame;
}
