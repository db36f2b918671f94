import type { Message } from 'chat-service-client';
import { useChatClient, useConnection, useConversation, useThread } from 'chat-service-react';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { Button } from 'react-aria-components';
import { Composer, type ComposerMode } from '../composer/Composer';
import { useIsVisible } from '../lib/useIsVisible';
import { type RowActions, RowActionsProvider } from '../timeline/actions';
import { MessageRow } from '../timeline/MessageRow';
import { PendingRow } from '../timeline/PendingRow';
import { deliveryOf, reachOf } from '../timeline/Ticks';
import { attempt } from '../ui/Toasts';
import { ForwardDialog } from './ForwardDialog';
import { jumpInTimeline } from './jump';
import { PanelFrame } from './Panel';

export function ThreadPanel({ conversationId, rootId }: { conversationId: string; rootId: string }) {
  const { root, replies, isLoaded, hasOlder, loadOlder } = useThread(conversationId, rootId);
  const me = useChatClient().userId;
  const snapshot = useConversation(conversationId);
  const { conversation, pending, isMember } = snapshot;
  const reach = reachOf(snapshot, me);
  const deliveryFor = (message: Message) => (message.senderId === me ? deliveryOf(message.seq, reach) : undefined);
  const [mode, setMode] = useState<ComposerMode>();
  const [forwarded, setForwarded] = useState<Message>();
  const waiting = pending.filter(({ item }) => item.body.threadId === rootId);
  const count = replies.length + waiting.length;
  useThreadReading(rootId, replies.length);
  const list = useBottom(count);

  const actions = useMemo<RowActions>(
    () => ({
      reply: (message) => setMode({ kind: 'reply', message }),
      edit: (message) => setMode({ kind: 'edit', message }),
      forward: setForwarded,
      openThread: () => undefined,
      jump: jumpInTimeline,
    }),
    [],
  );

  return (
    <PanelFrame conversationId={conversationId} title="Thread">
      <RowActionsProvider value={actions}>
        <div className="thread" ref={list} role="log" aria-live="off" aria-label="Replies" tabIndex={0}>
          {root && <MessageRow message={root} isFirst isLast delivery={deliveryFor(root)} isInThread />}
          <div className="line">
            <span className="own-text">{count === 1 ? '1 reply' : `${count} replies`}</span>
          </div>
          {hasOlder && (
            <Button className="text-button" onPress={() => attempt('Earlier replies could not be loaded.', loadOlder)}>
              Load earlier replies
            </Button>
          )}
          {!isLoaded && !root && <p className="muted empty">Loading …</p>}
          {replies.map((message, index) => (
            <MessageRow
              key={message.id}
              message={message}
              isFirst={replies[index - 1]?.senderId !== message.senderId}
              isLast
              delivery={deliveryFor(message)}
              isInThread
            />
          ))}
          {waiting.map((one) => (
            <PendingRow key={one.item.clientMessageId} pending={one} isFirst />
          ))}
        </div>
        {isMember && root && !root.isDeleted && (
          <Composer
            conversationId={conversationId}
            threadId={rootId}
            participantIds={conversation?.participantIds ?? []}
            mode={mode}
            onModeEnd={() => setMode(undefined)}
          />
        )}
        <ForwardDialog message={forwarded} onClose={() => setForwarded(undefined)} />
      </RowActionsProvider>
    </PanelFrame>
  );
}

/** Keeps the newest reply in view. */
function useBottom(count: number) {
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [count]);
  return list;
}

/** A thread has a read position of its own. */
function useThreadReading(rootId: string, count: number): void {
  const client = useChatClient();
  const isVisible = useIsVisible();
  const isConnected = useConnection().status === 'connected';
  useEffect(() => {
    if (isVisible && isConnected && count > 0) client.call(`/api/messages/${rootId}/replies/read`, { method: 'PUT' }).catch(() => undefined);
  }, [client, rootId, count, isVisible, isConnected]);
}
