import type { Conversation } from 'chat-service-client';
import { useChatClient, useUser } from 'chat-service-react';
import { useCallback, useSyncExternalStore } from 'react';

/** The name of a user; the id until the profile is known. */
export function useName(userId: string): string {
  const name = useUser(userId)?.name;
  return userId === 'system' ? 'System' : (name ?? userId);
}

/** The names of some users, separated by commas. */
export function useNames(userIds: readonly string[]): string {
  const client = useChatClient();
  const subscribe = useCallback((changed: () => void) => client.events.on('users', changed), [client]);
  return useSyncExternalStore(subscribe, () => userIds.map((id) => client.user(id)?.name ?? id).join(', '));
}

export interface ConversationTitle {
  title: string;
  kind: 'user' | 'group' | 'public';
  /** The id that decides the avatar: of the other user, or of the conversation. */
  avatarId: string;
  /** The other user of a direct conversation. */
  otherId?: string;
}

const SHOWN_NAMES = 3;

export function useConversationTitle(id: string, conversation: Conversation | undefined): ConversationTitle {
  const me = useChatClient().userId;
  const others = conversation?.participantIds.filter((user) => user !== me) ?? [];
  const isDirect = conversation?.type === 'direct';
  const names = useNames(conversation?.name ? [] : others.slice(0, SHOWN_NAMES));
  if (isDirect) {
    const otherId = others[0] ?? me ?? id;
    return { title: names || 'Notes to yourself', kind: 'user', avatarId: otherId, otherId };
  }
  const more = others.length > SHOWN_NAMES ? ' …' : '';
  return { title: conversation?.name ?? (names ? names + more : 'Conversation'), kind: conversation?.type === 'public' ? 'public' : 'group', avatarId: id };
}
