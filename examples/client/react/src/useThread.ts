import type { Message } from 'chat-service-client';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { useChatClient } from './ChatProvider';
import { useConversation } from './hooks';

export interface Thread {
  /** The message that the thread is about; absent until it is known. */
  root: Message | undefined;
  /** The replies that are known, oldest first. Replies are messages of the conversation, too. */
  replies: readonly Message[];
  isLoaded: boolean;
  hasOlder: boolean;
  loadOlder(): Promise<void>;
}

interface Fetched {
  root?: Message;
  replies: readonly Message[];
  isLoaded: boolean;
  hasOlder: boolean;
}

const NOTHING: Fetched = { replies: [], isLoaded: false, hasOlder: false };

/** The thread of a message: replies that were read from the service, and on top of them what the conversation's own list shows, which is live. */
export function useThread(conversationId: string, rootId: string): Thread {
  const client = useChatClient();
  const { messages } = useConversation(conversationId);
  const [fetched, setFetched] = useState<Fetched>(NOTHING);

  const read = useCallback(
    (before?: string) =>
      client.call<{ messages: Message[]; hasMore: boolean }>(`/api/messages/${rootId}/replies`, { query: { limit: 50, before } }),
    [client, rootId],
  );

  useEffect(() => {
    let isCurrent = true;
    setFetched(NOTHING);
    Promise.all([client.call<Message>(`/api/messages/${rootId}`), read()])
      .then(([root, page]) => isCurrent && setFetched({ root, replies: page.messages.slice().reverse(), isLoaded: true, hasOlder: page.hasMore }))
      .catch(() => undefined); // without it the thread shows what the conversation's list has
    return () => {
      isCurrent = false;
    };
  }, [client, read, rootId]);

  const { replies } = fetched;
  const loadOlder = useCallback(async () => {
    const first = replies[0];
    if (!first) return;
    const page = await read(first.id);
    setFetched((known) => ({ ...known, replies: [...page.messages.slice().reverse(), ...known.replies], hasOlder: page.hasMore }));
  }, [read, replies]);

  return useMemo(() => {
    const byId = new Map(replies.map((message) => [message.id, message]));
    for (const message of messages) if (message.threadId === rootId) byId.set(message.id, message);
    const live = messages.find(({ id }) => id === rootId);
    return {
      root: live ?? fetched.root,
      replies: [...byId.values()].sort((a, b) => a.seq - b.seq),
      isLoaded: fetched.isLoaded,
      hasOlder: fetched.hasOlder,
      loadOlder,
    };
  }, [messages, rootId, fetched, replies, loadOlder]);
}
