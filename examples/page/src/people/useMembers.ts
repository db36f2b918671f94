import { useChatClient, useConnection } from 'chat-service-react';
import { useEffect } from 'react';

interface Member {
  userId: string;
  name?: string;
  joinedAt: string;
}

/** Reads the names of a conversation's members in one request, instead of one per author. */
export function useMembers(conversationId: string): void {
  const client = useChatClient();
  const isConnected = useConnection().status === 'connected';
  useEffect(() => {
    if (!isConnected) return;
    client
      .call<{ participants: Member[] }>(`/api/conversations/${conversationId}/participants`, { query: { limit: 100 } })
      .then(({ participants }) =>
        client.addUsers(
          participants.map(({ userId, name, joinedAt }) => ({ externalUserId: userId, createdAt: joinedAt, updatedAt: joinedAt, ...(name && { name }) })),
        ),
      )
      .catch(() => undefined); // names are then read one by one
  }, [client, conversationId, isConnected]);
}
