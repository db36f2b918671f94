import type { Message, MessageUpdated, ReactionChanged, ReactionSummary } from './generated/socket';

/**
 * Pure changes of a list of messages that is sorted by `seq`. Each returns the same list if nothing changed, and keeps every untouched message
 * object, so that a view renders only what differs.
 */
export type Messages = readonly Message[];

/** Inserts or replaces messages. */
export function merge(list: Messages, more: Messages): Messages {
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

/** Changes the message with this id, if it is there. */
export function change(list: Messages, id: string, edit: (message: Message) => Message): Messages {
  const index = list.findIndex((message) => message.id === id);
  const message = list[index];
  if (!message) return list;
  const next = edit(message);
  if (next === message) return list;
  const copy = list.slice();
  copy[index] = next;
  return copy;
}

export const without = (list: Messages, id: string): Messages => (list.some((message) => message.id === id) ? list.filter((message) => message.id !== id) : list);

export function addNew(list: Messages, message: Message): Messages {
  const withReply = message.threadId
    ? change(list, message.threadId, (root) => ({ ...root, replyCount: root.replyCount + 1, lastReplyAt: message.createdAt }))
    : list;
  const last = withReply[withReply.length - 1];
  return !last || last.seq < message.seq ? [...withReply, message] : merge(withReply, [message]);
}

export function edited(message: Message, edit: MessageUpdated): Message {
  const next: Message = { ...message, content: edit.content, isEdited: edit.isEdited, updatedAt: edit.updatedAt };
  if (edit.metadata !== undefined) next.metadata = edit.metadata;
  return next;
}

/** The tombstone that stays of a deleted message. */
export function tombstone(message: Message, deletedAt: string): Message {
  const { metadata: _m, pinnedAt: _a, pinnedBy: _b, forwardedFrom: _f, ...rest } = message;
  return { ...rest, content: '', attachments: [], mentions: [], reactions: [], isDeleted: true, updatedAt: deletedAt };
}

/** How many users of a reaction the service names. */
const SHOWN_USERS = 20;

export function reacted(message: Message, data: ReactionChanged, isGiven: boolean, me: string | undefined): Message {
  const known = message.reactions.find(({ emoji }) => emoji === data.emoji);
  const summary: ReactionSummary = known ?? { emoji: data.emoji, count: 0, userIds: [], reactedByMe: false };
  const others = summary.userIds.filter((user) => user !== data.userId);
  const userIds = isGiven && others.length < SHOWN_USERS ? [...others, data.userId] : others;
  const next = {
    ...summary,
    count: data.totalCount,
    userIds: isGiven && summary.userIds.includes(data.userId) ? summary.userIds : userIds,
    reactedByMe: data.userId === me ? isGiven : summary.reactedByMe,
  };
  const rest = message.reactions.filter(({ emoji }) => emoji !== data.emoji);
  const reactions = next.count > 0 ? [...rest, next] : rest;
  reactions.sort((a, b) => b.count - a.count || (a.emoji < b.emoji ? -1 : 1));
  return { ...message, reactions };
}

/** Whether a message counts as unread for `me` as long as `me` has not read it. */
export function isCountable(message: Message, me: string | undefined): boolean {
  return message.senderId !== me && !message.isDeleted && message.type !== 'system' && !message.silent;
}

export function mentionsUser(message: Message, me: string | undefined): boolean {
  return message.mentions.some((user) => user === me || user === '@all');
}
