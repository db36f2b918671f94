import { ChatError, type Message } from 'chat-service-client';
import { useChatClient, useConversation } from 'chat-service-react';
import { useEffect, useState } from 'react';
import { Button } from 'react-aria-components';
import { directionOf } from '../lib/direction';
import { useName } from '../people/names';
import { useRowActions } from './actions';

/** A message by its id: from the loaded history, else read once. `null` if the user may not see it. */
export function useMessage(conversationId: string, messageId: string): Message | null | undefined {
  const client = useChatClient();
  const loaded = useConversation(conversationId).messages.find(({ id }) => id === messageId);
  const [read, setRead] = useState<Message | null>();
  const isNeeded = !loaded;
  useEffect(() => {
    if (!isNeeded) return;
    let isCurrent = true;
    client
      .call<Message>(`/api/messages/${messageId}`)
      .then((message) => isCurrent && setRead(message))
      .catch((error: unknown) => isCurrent && error instanceof ChatError && error.status === 404 && setRead(null));
    return () => {
      isCurrent = false;
    };
  }, [client, messageId, isNeeded]);
  return loaded ?? read;
}

interface Props {
  conversationId: string;
  messageId: string;
  /** Shown before the author, for a reply in a thread. */
  prefix?: string;
  onPress?(): void;
}

/** The quoted message above a reply. */
export function Quote({ conversationId, messageId, prefix = '', onPress }: Props) {
  const message = useMessage(conversationId, messageId);
  const author = useName(message?.senderId ?? 'system');
  const { jump } = useRowActions();
  const text = message === null ? 'This message is not available.' : message?.isDeleted ? 'Message deleted' : (message?.content || 'Attachment');
  return (
    <Button className="quote" onPress={onPress ?? (() => jump(messageId))}>
      <span className="quote-author own-text">
        {prefix}
        <bdi>{message ? author : ''}</bdi>
      </span>
      <span className="quote-text" dir={directionOf(text)}>
        {message === undefined ? '…' : text}
      </span>
    </Button>
  );
}
