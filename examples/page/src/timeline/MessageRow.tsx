import type { Message } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { memo, useState } from 'react';
import { Button } from 'react-aria-components';
import { formatExact, formatTime } from '../lib/time';
import { useName } from '../people/names';
import { Avatar } from '../ui/Avatar';
import { ForwardIcon, PinIcon, ThreadIcon } from '../ui/icons';
import { useRowActions } from './actions';
import { Attachments } from './Attachments';
import { MessageActions } from './MessageActions';
import { MessageText } from './MessageText';
import { Quote } from './Quote';
import { Reactions } from './Reactions';
import { type Delivery, Ticks } from './Ticks';

interface Props {
  message: Message;
  isFirst: boolean;
  isLast: boolean;
  /** How far an own message got; absent for others'. */
  delivery?: Delivery | undefined;
  isHighlighted?: boolean;
  isInThread?: boolean;
}

/** One message. `memo` with the unchanged message object keeps a row from rendering when another message comes. */
export const MessageRow = memo(function MessageRow({ message, isFirst, isLast, delivery, isHighlighted, isInThread = false }: Props) {
  const me = useChatClient().userId;
  const author = useName(message.senderId);
  const [isMenuOpen, setMenuOpen] = useState(false);
  // The toolbar has many controls, so it exists only where the pointer or the focus is.
  const [isActive, setActive] = useState(false);
  const { openThread } = useRowActions();
  const isOwn = message.senderId === me;

  if (message.type === 'system') {
    return (
      <div className="system-message" data-message={message.id}>
        <MessageText text={message.content} mentions={[]} />
      </div>
    );
  }
  return (
    <article
      className="message"
      tabIndex={-1}
      aria-label={`${isOwn ? 'You' : author}, ${formatTime(message.createdAt)}`}
      data-message={message.id}
      data-own={isOwn || undefined}
      data-first={isFirst || undefined}
      data-last={isLast || undefined}
      data-highlighted={isHighlighted || undefined}
      data-menu={isMenuOpen || undefined}
      onPointerEnter={() => setActive(true)}
      onPointerMove={() => setActive(true)}
      onPointerLeave={() => setActive(false)}
      onFocus={() => setActive(true)}
    >
      {!isOwn && <div className="message-avatar">{isFirst && <Avatar id={message.senderId} name={author} size="small" />}</div>}
      <div className="message-body">
        {isFirst && !isOwn && <bdi className="message-author">{author}</bdi>}
        <div className="bubble-line">
          <div className="bubble">
            {message.forwardedFrom && (
              <span className="bubble-note">
                <ForwardIcon /> Forwarded
              </span>
            )}
            {message.threadId && !isInThread && (
              <Quote
                conversationId={message.conversationId}
                messageId={message.threadId}
                prefix="In a thread: "
                onPress={() => openThread(message.threadId!)}
              />
            )}
            {message.replyTo && <Quote conversationId={message.conversationId} messageId={message.replyTo} />}
            {message.isDeleted ? <em className="deleted">Message deleted</em> : <MessageText text={message.content} mentions={message.mentions} />}
            <Attachments message={message} />
            <Footer message={message} delivery={delivery} />
          </div>
          {!message.isDeleted &&
            (isActive || isMenuOpen ? (
              <MessageActions message={message} isInThread={isInThread} onOpenChange={setMenuOpen} />
            ) : (
              <button type="button" tabIndex={-1} className="visually-hidden" onClick={() => setActive(true)}>
                Show actions
              </button>
            ))}
        </div>
        <Reactions message={message} />
        {message.replyCount > 0 && !isInThread && (
          <Button className="thread-link" onPress={() => openThread(message.id)}>
            <ThreadIcon /> <span className="own-text">{message.replyCount === 1 ? '1 reply' : `${message.replyCount} replies`}</span>
          </Button>
        )}
      </div>
    </article>
  );
});

function Footer({ message, delivery }: { message: Message; delivery: Delivery | undefined }) {
  return (
    <span className="message-footer">
      {message.pinnedAt && <PinIcon className="mini" role="img" aria-hidden={false} aria-label="Pinned" />}
      {message.isEdited && !message.isDeleted && <span>edited</span>}
      <time dateTime={message.createdAt} title={formatExact(message.createdAt)}>
        {formatTime(message.createdAt)}
      </time>
      {delivery && !message.isDeleted && <Ticks delivery={delivery} />}
    </span>
  );
}
