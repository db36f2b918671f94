import type { Message, ReactionSummary, SocketCommands, SocketEvents, UserPresence } from './generated/socket';

/** A frame that the service pushes. Names that this version does not know arrive too, and are passed over. */
export type EventFrame<K extends keyof SocketEvents = keyof SocketEvents> = K extends keyof SocketEvents
  ? { event: K; data: SocketEvents[K]; id?: string; seq?: number; cursor?: string }
  : never;

/** The answer to a command. */
export interface AckFrame {
  event: 'ack';
  id: string | number | null;
  data: {
    success: boolean;
    error?: { code: string; message: string; details?: { field: string; message: string }[]; retryAfterMs?: number };
    [field: string]: unknown;
  };
}

/** Fields of the answer to each command, beside `success`. */
export interface SocketAnswers {
  'message:send': { message: Message };
  'message:edit': { message: Message };
  'reaction:add': { reactions: ReactionSummary[] };
  'reaction:remove': { reactions: ReactionSummary[] };
  'messages:list': { messages: Message[]; nextCursor?: string; hasMore: boolean };
  'messages:sync': { messages: Message[]; nextCursor?: string; hasMore: boolean };
  'message:read': { readAt: string };
  'message:delivered': { deliveredAt: string };
  'conversation:read': { count: number };
  'presence:subscribe': { presence: UserPresence[] };
  'presence:unsubscribe': { presence: UserPresence[] };
  'token:refresh': { expiresAt: string };
  ping: { pong: true; timestamp: string };
}

export type Answer<K extends keyof SocketCommands> = K extends keyof SocketAnswers ? SocketAnswers[K] : Record<string, never>;

/** After these codes a client must not come back: it is at fault, or not wanted. */
export const STOP_CODES: ReadonlySet<number> = new Set([1002, 1007, 1009, 4400, 4403]);
/** The token was missing, bad, revoked, or has ended. */
export const UNAUTHENTICATED = 4401;
/** Too many sockets, refusals or bad tokens: come back later, each time later. */
export const TOO_MANY = 4429;
