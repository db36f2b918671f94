import type { Conversation, Message } from './generated/socket';
import type { Rest } from './http';

/** How far a member got, as numbers of the conversation's log. */
export interface Receipt {
  readSeq: number;
  deliveredSeq: number;
}

export type Receipts = ReadonlyMap<string, Receipt>;

/** Raises one number of a member; returns the same map if it is not higher. A message that was read has also arrived. */
export function raise(receipts: Receipts, userId: string, field: keyof Receipt, seq: number): Receipts {
  const known = receipts.get(userId) ?? { readSeq: 0, deliveredSeq: 0 };
  if (seq <= known[field]) return receipts;
  const next = { ...known, [field]: seq };
  next.deliveredSeq = Math.max(next.deliveredSeq, next.readSeq);
  return new Map(receipts).set(userId, next);
}

/** Larger conversations show who read a message on request only: the answers would be long. */
const MAX_MEMBERS = 20;

/**
 * Reads how far the other members got, which events tell only from now on. The position is a watermark, so a binary search over the user's own
 * messages finds the newest one that all have read, and the newest one that all have received.
 */
export async function readReceipts(rest: Rest, conversation: Conversation, messages: readonly Message[], me: string | undefined): Promise<Receipts> {
  let receipts: Receipts = new Map();
  const own = messages.filter(({ senderId, isDeleted }) => senderId === me && !isDeleted);
  const others = conversation.participantIds.filter((id) => id !== me);
  if (own.length === 0 || !conversation.features.reads || conversation.participantCount > MAX_MEMBERS) return receipts;
  for (const [path, field] of [['read', 'readSeq'], ['delivered', 'deliveredSeq']] as const) {
    let low = 0;
    let high = own.length - 1;
    // The newest one first: often all have read it.
    for (let middle = high; low <= high; middle = (low + high) >> 1) {
      const message = own[middle] as Message;
      const page = await rest.call<{ receipts: { userId: string }[] }>(`/api/messages/${message.id}/${path}`, { query: { limit: 100 } });
      for (const { userId } of page.receipts) receipts = raise(receipts, userId, field, message.seq);
      if (others.every((id) => (receipts.get(id)?.[field] ?? 0) >= message.seq)) low = middle + 1;
      else high = middle - 1;
    }
  }
  return receipts;
}
