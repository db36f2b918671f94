import type { ConnectionState, EventFrame, Message, Outgoing } from 'chat-service-client';
import { useCallback, useMemo, useState } from 'react';
import { useChatClient } from './ChatProvider';
import { useChatEvent, useConnection, useConversation } from './hooks';

export interface ChatSocketCallbacks {
  onMessage?(message: Message): void;
  onTyping?(userId: string, isActive: boolean): void;
  onPresence?(userId: string, status: string): void;
  onError?(error: unknown): void;
}

export interface ChatSocket {
  connection: ConnectionState;
  isConnected: boolean;
  messages: readonly Message[];
  /** Own messages on their way, to be shown after `messages`. */
  pending: ReturnType<typeof useConversation>['pending'];
  unreadCount: number;
  /** Ids of the users who are writing now. */
  typingUsers: readonly string[];
  /** Ids of the users who are online, away or busy, according to the events since the connection. */
  onlineUsers: readonly string[];
  sendMessage(message: string | Outgoing): Promise<Message>;
  /** Call it at every key press. */
  sendTyping(): void;
  markAsRead(): Promise<void>;
  loadOlder(): Promise<void>;
}

/** Everything that a chat window of one conversation needs, in one hook. Windows that show less take the smaller hooks. */
export function useChatSocket(conversationId: string, callbacks: ChatSocketCallbacks = {}): ChatSocket {
  const client = useChatClient();
  const connection = useConnection();
  const conversation = useConversation(conversationId);
  const [online, setOnline] = useState<ReadonlySet<string>>(new Set());
  useChatEvent('event', (frame: EventFrame) => {
    switch (frame.event) {
      case 'message:new':
        if (frame.data.conversationId === conversationId) callbacks.onMessage?.(frame.data);
        break;
      case 'user:typing':
        if (frame.data.conversationId === conversationId) callbacks.onTyping?.(frame.data.userId, frame.data.isActive);
        break;
      case 'user:online':
      case 'user:away':
      case 'user:offline': {
        const { userId, status } = frame.data;
        const isOnline = frame.event !== 'user:offline';
        setOnline((known) => {
          if (known.has(userId) === isOnline) return known;
          const next = new Set(known);
          if (isOnline) next.add(userId);
          else next.delete(userId);
          return next;
        });
        callbacks.onPresence?.(userId, status);
        break;
      }
    }
  });
  useChatEvent('problem', ({ error }) => callbacks.onError?.(error));
  const { active, send, type, markRead, loadOlder, messages, pending, unreadCount } = conversation;
  const typingUsers = useMemo(() => active.filter(({ type: kind }) => kind === 'typing').map(({ userId }) => userId), [active]);
  const onlineUsers = useMemo(() => [...online].filter((user) => user !== client.userId), [online, client]);
  const sendMessage = useCallback((message: string | Outgoing) => send(message), [send]);
  return {
    connection,
    isConnected: connection.status === 'connected',
    messages,
    pending,
    unreadCount,
    typingUsers,
    onlineUsers,
    sendMessage,
    sendTyping: type,
    markAsRead: markRead,
    loadOlder,
  };
}
