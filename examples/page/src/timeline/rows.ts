import type { Message, PendingMessage } from 'chat-service-client';
import { dayOf } from '../lib/time';

/** A line of the history. `isFirst` and `isLast` tell where a group of messages of one author begins and ends. */
export type Row =
  | { kind: 'day'; key: string; iso: string }
  | { kind: 'unread'; key: string }
  | { kind: 'message'; key: string; message: Message; isFirst: boolean; isLast: boolean }
  | { kind: 'pending'; key: string; pending: PendingMessage; isFirst: boolean };

/** After this pause a new group begins. */
const GROUP_MS = 5 * 60_000;

export interface RowInput {
  messages: readonly Message[];
  pending: readonly PendingMessage[];
  me: string | undefined;
  /** Whether there are messages before the first one. */
  hasOlder: boolean;
  /** Seq after which the line “New messages” stands; `undefined` for none. */
  unreadAfter: number | undefined;
}

/**
 * The rows of a history. While there are older messages, the first loaded one has no row: whether it begins a day or a group is known only with the
 * message before it, and a row that changed its height later would move the rows below it.
 */
export function rowsOf({ messages, pending, me, hasOlder, unreadAfter }: RowInput): Row[] {
  const rows: Row[] = [];
  let day: number | undefined;
  let isMarked = unreadAfter === undefined;
  let last: Message | undefined;

  const isHeldBack = hasOlder && messages.length > 1;
  if (isHeldBack) {
    last = messages[0]!;
    day = dayOf(last.createdAt);
  }
  for (const message of isHeldBack ? messages.slice(1) : messages) {
    const itsDay = dayOf(message.createdAt);
    const isNewDay = itsDay !== day;
    if (isNewDay) {
      endGroup(rows);
      rows.push({ kind: 'day', key: `day ${itsDay}`, iso: message.createdAt });
      day = itsDay;
    }
    const isMarkedHere = !isMarked && message.seq > unreadAfter! && message.senderId !== me && message.type !== 'system';
    if (isMarkedHere) {
      endGroup(rows);
      rows.push({ kind: 'unread', key: 'unread' });
      isMarked = true;
    }
    const isFirst = isNewDay || isMarkedHere || !last || !belongTogether(last, message);
    if (isFirst) endGroup(rows);
    rows.push({ kind: 'message', key: keyOf(message, me), message, isFirst, isLast: false });
    last = message;
  }
  const continues = last?.senderId === me && last?.type !== 'system' && pending.length > 0;
  if (!continues) endGroup(rows);
  pending.forEach((one, index) => rows.push({ kind: 'pending', key: one.item.clientMessageId, pending: one, isFirst: index === 0 && !continues }));
  return rows;
}

/** An own message keeps the key that it had while it was on its way, so that its row stays the same. */
export function keyOf(message: Message, me: string | undefined): string {
  return message.senderId === me && message.clientMessageId ? message.clientMessageId : message.id;
}

function belongTogether(a: Message, b: Message): boolean {
  return (
    a.senderId === b.senderId && a.type !== 'system' && b.type !== 'system' && Date.parse(b.createdAt) - Date.parse(a.createdAt) < GROUP_MS
  );
}

function endGroup(rows: Row[]): void {
  const row = rows.at(-1);
  if (row?.kind === 'message') row.isLast = true;
}
