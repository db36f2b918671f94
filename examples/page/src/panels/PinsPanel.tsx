import type { Message } from 'chat-service-client';
import { useChatClient, useChatEvent } from 'chat-service-react';
import { useCallback, useEffect, useState } from 'react';
import { Button } from 'react-aria-components';
import { directionOf } from '../lib/direction';
import { go } from '../lib/route';
import { formatShort, useToday } from '../lib/time';
import { useName } from '../people/names';
import { Avatar } from '../ui/Avatar';
import { jumpInTimeline } from './jump';
import { PanelFrame } from './Panel';

const CHANGES = ['message:pinned', 'message:unpinned', 'message:deleted', 'message:updated', 'message:restored'];

export function PinsPanel({ conversationId }: { conversationId: string }) {
  const client = useChatClient();
  const [pins, setPins] = useState<readonly Message[]>();
  const read = useCallback(() => {
    client
      .call<{ messages: Message[] }>(`/api/conversations/${conversationId}/pins`, { query: { limit: 100 } })
      .then(({ messages }) => setPins(messages))
      .catch(() => setPins((known) => known ?? []));
  }, [client, conversationId]);
  useEffect(read, [read]);
  useChatEvent('event', (frame) => {
    const { conversationId: id } = frame.data as { conversationId?: string };
    if (id === conversationId && CHANGES.includes(frame.event)) read();
  });

  return (
    <PanelFrame conversationId={conversationId} title="Pinned messages">
      {pins?.length === 0 && <p className="muted empty">Nothing is pinned. Pin a message with its menu.</p>}
      <ul className="pins">
        {pins?.map((message) => (
          <PinRow key={message.id} message={message} />
        ))}
      </ul>
    </PanelFrame>
  );
}

function PinRow({ message }: { message: Message }) {
  const author = useName(message.senderId);
  const today = useToday();
  const show = () => {
    // On a narrow screen the panel covers the history.
    if (matchMedia('(max-width: 1023px)').matches) go({ conversationId: message.conversationId });
    setTimeout(() => jumpInTimeline(message.id), 50);
  };
  return (
    <li>
      <Button className="pin" onPress={show}>
        <Avatar id={message.senderId} name={author} size="small" />
        <span className="option-text">
          <span className="row-top">
            <bdi className="row-title">{author}</bdi>
            <time className="row-time">{formatShort(message.createdAt, today)}</time>
          </span>
          <span className="pin-text" dir={directionOf(message.content)}>
            {message.content || 'Attachment'}
          </span>
        </span>
      </Button>
    </li>
  );
}
