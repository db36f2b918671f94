import type { Message } from 'chat-service-client';
import { useChatClient, useConnection, useConversation } from 'chat-service-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Composer, type ComposerMode } from './composer/Composer';
import { ConversationHeader } from './ConversationHeader';
import { ForwardDialog } from './panels/ForwardDialog';
import { go } from './lib/route';
import { useIsVisible } from './lib/useIsVisible';
import { useAnnounceMessages } from './people/useAnnounceMessages';
import { useMembers } from './people/useMembers';
import { type RowActions, RowActionsProvider } from './timeline/actions';
import { Timeline, type TimelineHandle } from './timeline/Timeline';
import { TypingLine } from './timeline/TypingLine';

/** One conversation. The `key` of its element is the conversation's id, so that nothing of one is ever shown in, or sent to, another. */
export function ConversationView({ id }: { id: string }) {
  const client = useChatClient();
  const snapshot = useConversation(id);
  const timeline = useRef<TimelineHandle>(null);
  const [mode, setMode] = useState<ComposerMode>();
  const [forwarded, setForwarded] = useState<Message>();
  // Unknown until the list has its first rows: a conversation that opens at its first unread message is not read.
  const [isAtBottom, setAtBottom] = useState<boolean>();
  const unreadAfter = useReading(id, isAtBottom);
  const { conversation, isLoaded, isMember } = snapshot;
  useMembers(id);
  useAnnounceMessages(id);

  const actions = useMemo<RowActions>(
    () => ({
      reply: (message) => setMode({ kind: 'reply', message }),
      edit: (message) => setMode({ kind: 'edit', message }),
      forward: setForwarded,
      openThread: (messageId) => go({ conversationId: id, panel: { kind: 'thread', messageId } }),
      jump: (messageId) => void timeline.current?.jump(messageId),
    }),
    [id],
  );

  // Panels jump with an event, because they live beside this view.
  useEffect(() => {
    const onJump = (event: Event) => void timeline.current?.jump((event as CustomEvent<string>).detail);
    window.addEventListener('chat-jump', onJump);
    return () => window.removeEventListener('chat-jump', onJump);
  }, []);

  return (
    <RowActionsProvider value={actions}>
      <ConversationHeader snapshot={snapshot} />
      {isLoaded ? (
        <Timeline ref={timeline} snapshot={snapshot} unreadAfter={unreadAfter} isAtBottom={isAtBottom} onAtBottom={setAtBottom} />
      ) : (
        <Loading id={id} />
      )}
      <TypingLine active={snapshot.active} />
      {isMember ? (
        <Composer
          conversationId={id}
          draft={conversation?.draft}
          participantIds={conversation?.participantIds ?? []}
          mode={mode}
          onModeEnd={() => setMode(undefined)}
          onSent={() => timeline.current?.toBottom()}
          onEditLast={() => {
            const last = client.conversation(id).messages.findLast((message) => message.senderId === client.userId && !message.isDeleted);
            if (last) setMode({ kind: 'edit', message: last });
          }}
        />
      ) : (
        <p className="not-member">You are not a member of this conversation any more.</p>
      )}
      <ForwardDialog message={forwarded} onClose={() => setForwarded(undefined)} />
    </RowActionsProvider>
  );
}

function Loading({ id }: { id: string }) {
  const client = useChatClient();
  const isConnected = useConnection().status === 'connected';
  const [isFailed, setFailed] = useState(false);
  useEffect(() => {
    if (isConnected) client.open(id).catch(() => setFailed(true));
  }, [client, id, isConnected]);
  return (
    <div className="timeline-frame">
      <p className="muted empty">{isFailed ? 'This conversation is not available.' : isConnected ? 'Loading …' : 'Messages appear when the connection is back.'}</p>
    </div>
  );
}

/**
 * Marks what is seen as read, and keeps the line “New messages” in its place until the conversation is left. Read is what the end of the list shows
 * while the page is visible and has the focus.
 */
function useReading(id: string, isAtBottom: boolean | undefined): number | undefined {
  const client = useChatClient();
  const { isLoaded, readSeq, unreadCount } = useConversation(id);
  const isConnected = useConnection().status === 'connected';
  const isVisible = useIsVisible();
  const [unreadAfter, setUnreadAfter] = useState<number>();
  const isOpened = useRef(false);
  const isReading = isVisible && isAtBottom === true;

  if (isLoaded && !isOpened.current) {
    isOpened.current = true;
    if (unreadCount > 0) setUnreadAfter(readSeq);
  }
  useEffect(() => {
    // A message that comes while the user looks elsewhere is new when they return.
    if (!isVisible) setUnreadAfter(client.conversation(id).readSeq);
  }, [client, id, isVisible]);
  useEffect(() => {
    if (isReading && isLoaded && isConnected && unreadCount > 0) client.markRead(id).catch(() => undefined);
  }, [client, id, isReading, isLoaded, isConnected, unreadCount]);

  return unreadAfter;
}
