import type { ConversationSnapshot } from 'chat-service-client';
import { Virtuoso } from 'react-virtuoso';
import { attempt } from '../ui/Toasts';
import { ConversationRow } from './ConversationRow';

interface Props {
  conversations: readonly ConversationSnapshot[];
  selectedId: string | undefined;
  isReady: boolean;
  hasMore: boolean;
  onMore(): Promise<void>;
}

/** The list of links. Only the visible rows exist, so a user with thousands of conversations scrolls smoothly. */
export function ConversationList({ conversations, selectedId, isReady, hasMore, onMore }: Props) {
  if (conversations.length === 0) {
    return <p className="muted empty">{isReady ? 'No conversations here yet. Start one with the pencil above.' : 'Loading …'}</p>;
  }
  return (
    <Virtuoso
      className="conversation-list"
      tabIndex={-1}
      data={conversations}
      computeItemKey={(_, { id }) => id}
      increaseViewportBy={300}
      endReached={() => hasMore && void attempt('More conversations could not be loaded.', onMore)}
      itemContent={(_, snapshot) => <ConversationRow snapshot={snapshot} isSelected={snapshot.id === selectedId} />}
    />
  );
}
