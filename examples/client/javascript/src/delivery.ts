import type { Conversation, Message } from './generated/socket';

interface Hooks {
  me(): string | undefined;
  /** Marks a message and all before it as delivered. */
  tell(messageId: string): Promise<unknown>;
}

/** Messages of one conversation that arrive within this time are confirmed together. */
const PAUSE_MS = 400;

/** Tells senders that their messages arrived: of each conversation the newest one, because the mark counts for all before it. */
export class DeliveryReceipts {
  private readonly newest = new Map<string, Message>();
  private readonly told = new Map<string, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly maxMembers: number,
    private readonly hooks: Hooks,
  ) {}

  arrived(message: Message, conversation: Conversation | undefined): void {
    const { conversationId, seq, senderId, type } = message;
    // A read message counts as delivered.
    const isKnown = seq <= Math.max(this.told.get(conversationId) ?? 0, conversation?.readSeq ?? 0);
    const isWanted = conversation !== undefined && conversation.features.reads && conversation.participantCount <= this.maxMembers;
    if (!isWanted || isKnown || senderId === this.hooks.me() || type === 'system') return;
    if (seq > (this.newest.get(conversationId)?.seq ?? 0)) this.newest.set(conversationId, message);
    this.timer ??= setTimeout(() => this.flush(), PAUSE_MS);
  }

  close(): void {
    clearTimeout(this.timer);
    this.newest.clear();
  }

  private flush(): void {
    this.timer = undefined;
    for (const [conversationId, message] of this.newest) {
      this.told.set(conversationId, message.seq);
      // The next message repeats what fails here.
      this.hooks.tell(message.id).catch(() => undefined);
    }
    this.newest.clear();
  }
}
