import type { ConversationSnapshot } from 'chat-service-client';
import { useChatClient, useConversations } from 'chat-service-react';
import { useMemo } from 'react';

export interface ListFilter {
  text: string;
  isArchived: boolean;
}

/** The conversations to show: pinned ones first, each part with the latest activity first. */
export function useVisible({ text, isArchived }: ListFilter): readonly ConversationSnapshot[] {
  const client = useChatClient();
  const { conversations } = useConversations();
  return useMemo(() => {
    const wanted = text.trim().toLocaleLowerCase();
    const nameOf = ({ conversation }: ConversationSnapshot) =>
      conversation?.name ?? conversation?.participantIds.map((id) => client.user(id)?.name ?? id).join(' ') ?? '';
    const shown = conversations.filter((one) => {
      const preferences = one.conversation?.preferences;
      return (
        (preferences?.archived ?? false) === isArchived &&
        !preferences?.hidden &&
        (wanted === '' || nameOf(one).toLocaleLowerCase().includes(wanted))
      );
    });
    const isPinned = (one: ConversationSnapshot) => one.conversation?.preferences?.pinned ?? false;
    return [...shown.filter(isPinned), ...shown.filter((one) => !isPinned(one))];
  }, [client, conversations, text, isArchived]);
}

/** Whether notifications of a conversation are off at this moment. */
export function isMuted({ conversation }: ConversationSnapshot): boolean {
  const { muted = false, mutedUntil } = conversation?.preferences ?? {};
  return muted && (mutedUntil === undefined || Date.parse(mutedUntil) > Date.now());
}
