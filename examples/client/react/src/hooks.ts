import type { ChatClient, ClientEvents, ConnectionState, ConversationSnapshot, Message, Outgoing, User, UserPresence } from 'chat-service-client';
import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import { useChatClient } from './ChatProvider';

/** Renders again when one of the client's own events comes, and only if `read` gives another value then. */
function useClientValue<T>(event: keyof ClientEvents, read: (client: ChatClient) => T): T {
  const client = useChatClient();
  const subscribe = useCallback((changed: () => void) => client.events.on(event, changed), [client, event]);
  const get = () => read(client);
  return useSyncExternalStore(subscribe, get, get);
}

/** How the connection is: for a banner. */
export function useConnection(): ConnectionState {
  return useClientValue('state', (client) => client.state);
}

export interface ConversationList {
  /** Latest activity first. */
  conversations: readonly ConversationSnapshot[];
  /** Whether the first page was read. */
  isReady: boolean;
  hasMore: boolean;
  loadMore(): Promise<void>;
}

/** The user's conversations. */
export function useConversations(): ConversationList {
  const client = useChatClient();
  const conversations = useClientValue('conversations', (from) => from.conversations());
  const isReady = useClientValue('conversations', (from) => from.isReady);
  const hasMore = useClientValue('conversations', (from) => from.hasMoreConversations);
  const loadMore = useCallback(() => client.loadMoreConversations(), [client]);
  return { conversations, isReady, hasMore, loadMore };
}

/** How many messages are unread in all conversations that are known. */
export function useUnreadCount(): number {
  return useClientValue('conversations', (client) => client.conversations().reduce((sum, { unreadCount }) => sum + unreadCount, 0));
}

export interface ConversationActions {
  send(message: string | Outgoing): Promise<Message>;
  /** Call it at every key press. */
  type(): void;
  markRead(): Promise<void>;
  /** Loads the page before the first loaded message; `limit` messages, at most 100. */
  loadOlder(limit?: number): Promise<void>;
}

/** One conversation, opened: its newest messages are loaded, and it renders again after each change of it, and of it alone. */
export function useConversation(id: string): ConversationSnapshot & ConversationActions {
  const client = useChatClient();
  const subscribe = useCallback((changed: () => void) => client.subscribe(id, changed), [client, id]);
  const get = () => client.conversation(id);
  const snapshot = useSyncExternalStore(subscribe, get, get);
  useEffect(() => {
    // A failure shows as a conversation that is not loaded; the next connection tries again.
    if (!client.conversation(id).isLoaded) client.open(id).catch(() => undefined);
  }, [client, id]);
  const actions = useMemo<ConversationActions>(
    () => ({
      send: (message) => client.send(id, message),
      type: () => client.type(id),
      markRead: () => client.markRead(id),
      loadOlder: (limit) => client.loadOlder(id, limit),
    }),
    [client, id],
  );
  return useMemo(() => ({ ...snapshot, ...actions }), [snapshot, actions]);
}

const NOBODY: readonly string[] = [];

/** Ids of the members who are writing in a conversation now. Renders again only when they change, and loads nothing. */
export function useTyping(id: string): readonly string[] {
  const client = useChatClient();
  const last = useRef(NOBODY);
  const subscribe = useCallback((changed: () => void) => client.subscribe(id, changed), [client, id]);
  const get = () => {
    const users = client.conversation(id).active.filter(({ type }) => type === 'typing').map(({ userId }) => userId);
    if (users.join('\n') !== last.current.join('\n')) last.current = users;
    return last.current;
  };
  return useSyncExternalStore(subscribe, get, () => NOBODY);
}

/** How a user is; `undefined` while nothing was told. Follows the user also without a shared conversation. */
export function usePresence(userId: string): UserPresence | undefined {
  const client = useChatClient();
  useEffect(() => {
    client.follow([userId]).catch(() => undefined);
  }, [client, userId]);
  return useClientValue('presence', (from) => from.presence(userId));
}

/** The public profile of a user; `undefined` while it is not known. Each profile is read once. */
export function useUser(userId: string): User | undefined {
  return useClientValue('users', (from) => from.user(userId));
}

/** Calls `listener` at every event, with the newest function that was given. */
export function useChatEvent<K extends keyof ClientEvents>(event: K, listener: (value: ClientEvents[K]) => void): void {
  const client = useChatClient();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => client.events.on(event, (value) => latest.current(value)), [client, event]);
}
