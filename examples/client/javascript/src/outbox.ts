import { ChatError, disconnected } from './errors';
import type { CommandMessageSendData, Message } from './generated/socket';
import type { StorageAdapter } from './storage';
import { backoff, sleep } from './timing';

/** A message that was written and has no answer yet. */
export interface OutboxItem {
  /** The id that makes the send repeatable, and pairs this item with the stored message. */
  clientMessageId: string;
  /** The order of sending, over all tabs of one user. */
  order: number;
  /** When the user wrote it, by the device's clock; for display only. */
  writtenAt: string;
  body: CommandMessageSendData & { clientMessageId: string };
  /** Why the service refused it for good; absent while it waits. */
  error?: { code: string; message: string };
}

interface Hooks {
  /** Sends the body and gives the stored message. Rejects with a final error, or with one that asks for another try. */
  send(body: OutboxItem['body']): Promise<Message>;
  onAdded(item: OutboxItem): void;
  onSent(item: OutboxItem, message: Message): void;
  onFailed(item: OutboxItem): void;
  onRemoved(item: OutboxItem): void;
  onStorageError(error: unknown): void;
}

interface Waiter {
  resolve(message: Message): void;
  reject(error: ChatError): void;
}

/** After how many errors without a connection problem a message counts as failed: it must not block the ones behind it for ever. */
const MAX_TRIES = 20;

type TabMessage = { kind: 'added' } | { kind: 'sent'; item: OutboxItem; message: Message } | { kind: 'failed'; item: OutboxItem } | { kind: 'removed'; item: OutboxItem };

/**
 * Messages on their way. The outbox stores each before it sends it, so that a reload or a crash loses none, and sent under its `clientMessageId`, so that
 * a repetition is stored once. One tab of a user sends, the holder of a lock of the platform; the others hand it theirs by the storage.
 * Messages of one conversation go one after the other, so that a repeated one cannot fall behind a later one.
 */
export class Outbox {
  private readonly items = new Map<string, OutboxItem>();
  /** Items that could not be stored: only this tab knows them, so it sends them itself. */
  private readonly unstored = new Set<string>();
  private readonly waiters = new Map<string, Waiter[]>();
  /** Conversations of which a message is on its way. */
  private readonly busy = new Set<string>();
  /** How often a message came back with an error that another try may mend. */
  private readonly tries = new Map<string, number>();
  private readonly end = new AbortController();
  private readonly loaded: Promise<void>;
  private channel: BroadcastChannel | undefined;
  private isSender = false;
  private isOnline = false;

  constructor(
    private readonly prefix: string,
    private readonly storage: StorageAdapter,
    private readonly hooks: Hooks,
  ) {
    this.loaded = this.reload();
    this.becomeSender();
  }

  /** Everything that waits or failed, in the order of sending. */
  list(): OutboxItem[] {
    return [...this.items.values()].sort(byOrder);
  }

  /** Stores a message for sending. The promise ends with the stored message, or when the service refuses it for good. */
  add(body: OutboxItem['body']): Promise<Message> {
    const item: OutboxItem = { clientMessageId: body.clientMessageId, order: this.nextOrder(), writtenAt: new Date().toISOString(), body };
    this.items.set(item.clientMessageId, item);
    this.hooks.onAdded(item);
    const sent = new Promise<Message>((resolve, reject) => this.waiters.set(item.clientMessageId, [{ resolve, reject }]));
    void this.store(item).then(() => {
      this.tell({ kind: 'added' });
      this.flush();
    });
    return sent;
  }

  /** Tries a failed message again. */
  retry(clientMessageId: string): void {
    const item = this.items.get(clientMessageId);
    if (!item?.error) return;
    const { error: _, ...rest } = item;
    this.items.set(clientMessageId, rest);
    this.hooks.onAdded(rest);
    void this.store(rest).then(() => {
      this.tell({ kind: 'added' });
      this.flush();
    });
  }

  /** Forgets a message that is not on its way right now. Says whether it did. */
  discard(clientMessageId: string): boolean {
    const item = this.items.get(clientMessageId);
    if (!item || this.busy.has(conversationOf(item))) return false;
    this.forget(item);
    this.hooks.onRemoved(item);
    this.tell({ kind: 'removed', item });
    this.settle(clientMessageId, (waiter) => waiter.reject(new ChatError('DISCONNECTED', 'The message was discarded.')));
    return true;
  }

  /** The connection came or went. */
  setOnline(isOnline: boolean): void {
    this.isOnline = isOnline;
    if (isOnline) this.flush();
  }

  /** Ends the waiting calls without an answer. Their messages stay and are sent when the next client of this user connects. */
  release(error: ChatError): void {
    for (const id of [...this.waiters.keys()]) this.settle(id, (waiter) => waiter.reject(error));
  }

  /** Ends this tab's part. Stored messages stay for the next tab. */
  close(error: ChatError = disconnected()): void {
    this.end.abort(error);
    this.channel?.close();
    this.release(error);
  }

  private becomeSender(): void {
    const locks = globalThis.navigator?.locks;
    if (!locks || typeof BroadcastChannel === 'undefined' || !globalThis.document) {
      this.isSender = true;
      return;
    }
    this.channel = new BroadcastChannel(this.prefix);
    this.channel.onmessage = ({ data }: MessageEvent<TabMessage>) => this.hear(data);
    locks
      .request(this.prefix, { signal: this.end.signal }, async () => {
        this.isSender = true;
        await this.reload();
        this.flush();
        // Held until this tab ends; then the next one goes on.
        await new Promise<void>((resolve) => this.end.signal.addEventListener('abort', () => resolve(), { once: true }));
      })
      .catch(() => undefined);
  }

  private hear(message: TabMessage): void {
    if (message.kind === 'added') {
      void this.reload().then(() => this.flush());
    } else if (this.items.delete(message.item.clientMessageId) || this.waiters.has(message.item.clientMessageId)) {
      this.conclude(message);
    }
  }

  private conclude(message: Exclude<TabMessage, { kind: 'added' }>): void {
    const { item } = message;
    if (message.kind === 'sent') {
      this.hooks.onSent(item, message.message);
      this.settle(item.clientMessageId, (waiter) => waiter.resolve(message.message));
    } else if (message.kind === 'failed') {
      this.items.set(item.clientMessageId, item);
      this.hooks.onFailed(item);
      this.settle(item.clientMessageId, (waiter) => waiter.reject(errorOf(item)));
    } else {
      this.hooks.onRemoved(item);
    }
  }

  private async reload(): Promise<void> {
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
  private flush(): void {
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

  private async sendOne(item: OutboxItem, conversation: string): Promise<void> {
    if (!this.isOnline || this.busy.has(conversation) || this.end.signal.aborted) return;
    this.busy.add(conversation);
    let conclusion: Exclude<TabMessage, { kind: 'added' }> | undefined;
    try {
      const message = await this.hooks.send(item.body);
      conclusion = { kind: 'sent', item, message };
      this.forget(item);
    } catch (reason) {
      const error = reason instanceof ChatError ? reason : new ChatError('NETWORK', String(reason));
      const tries = (this.tries.get(item.clientMessageId) ?? 0) + 1;
      if (!error.isFinal && tries < MAX_TRIES) {
        this.tries.set(item.clientMessageId, tries);
        await sleep(backoff(tries, 250, 10_000), this.end.signal).catch(() => undefined);
      } else {
        this.tries.delete(item.clientMessageId);
        const failed = { ...item, error: { code: error.code, message: error.message } };
        await this.store(failed);
        conclusion = { kind: 'failed', item: failed };
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

  private async store(item: OutboxItem): Promise<void> {
    try {
      await this.storage.set(this.key(item), JSON.stringify(item));
      this.unstored.delete(item.clientMessageId);
    } catch (error) {
      this.unstored.add(item.clientMessageId);
      this.hooks.onStorageError(error);
    }
  }

  private forget(item: OutboxItem): void {
    this.items.delete(item.clientMessageId);
    this.tries.delete(item.clientMessageId);
    this.unstored.delete(item.clientMessageId);
    this.storage.remove(this.key(item)).catch((error: unknown) => this.hooks.onStorageError(error));
  }

  private settle(id: string, end: (waiter: Waiter) => void): void {
    const waiters = this.waiters.get(id) ?? [];
    this.waiters.delete(id);
    waiters.forEach(end);
  }

  private tell(message: TabMessage): void {
    this.channel?.postMessage(message);
  }

  private key(item: OutboxItem): string {
    return this.prefix + item.clientMessageId;
  }

  /** After everything that is known, whatever the device's clock does. */
  private nextOrder(): number {
    let last = 0;
    for (const { order } of this.items.values()) last = Math.max(last, order);
    return Math.max(last + 1, Date.now() * 1000);
  }
}

const byOrder = (a: OutboxItem, b: OutboxItem): number => a.order - b.order || (a.clientMessageId < b.clientMessageId ? -1 : 1);

/** The key under which messages keep their order: the conversation, or the receiver of a direct message. */
const conversationOf = ({ body }: OutboxItem): string => body.conversationId ?? `user:${body.receiverId ?? ''}`;

const errorOf = (item: OutboxItem): ChatError => new ChatError(item.error?.code ?? 'INTERNAL_ERROR', item.error?.message ?? '');

function parse(value: string): OutboxItem | undefined {
  try {
    const item = JSON.parse(value) as OutboxItem;
    return typeof item.clientMessageId === 'string' && typeof item.order === 'number' && item.body ? item : undefined;
  } catch {
    return undefined;
  }
}
