import type { ConversationSnapshot } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { memo } from 'react';
import { directionOf } from '../lib/direction';
import { hrefOf } from '../lib/route';
import { formatShort, useToday } from '../lib/time';
import { useConversationTitle, useName, useNames } from '../people/names';
import { Avatar, UserAvatar } from '../ui/Avatar';
import { MutedIcon, PinIcon } from '../ui/icons';
import { ConversationMenu } from './ConversationMenu';
import { isMuted } from './filter';

interface Props {
  snapshot: ConversationSnapshot;
  isSelected: boolean;
}

export const ConversationRow = memo(function ConversationRow({ snapshot, isSelected }: Props) {
  const { id, conversation, unreadCount, mentionCount } = snapshot;
  const { title, kind, avatarId, otherId } = useConversationTitle(id, conversation);
  const today = useToday();
  const muted = isMuted(snapshot);
  if (!conversation) return null;

  return (
    <div className="conversation-row" data-selected={isSelected || undefined} data-unread={(unreadCount > 0 && !muted) || undefined}>
      <a href={hrefOf({ conversationId: id })} aria-current={isSelected ? 'page' : undefined} className="conversation-link">
        {otherId ? <UserAvatar id={avatarId} name={title} /> : <Avatar id={avatarId} name={title} kind={kind} />}
        <span className="row-main">
          <span className="row-top">
            <bdi className="row-title">{title}</bdi>
            {conversation.preferences?.pinned && <PinIcon className="mini" aria-label="Pinned" aria-hidden={false} role="img" />}
            {muted && <MutedIcon className="mini" aria-label="Muted" aria-hidden={false} role="img" />}
            <time className="row-time" dateTime={conversation.lastActivityAt}>
              {formatShort(conversation.lastActivityAt, today)}
            </time>
          </span>
          <span className="row-bottom">
            <Preview snapshot={snapshot} />
            {mentionCount > 0 && (
              <span className="badge" aria-label={`${mentionCount} mentions`}>
                @
              </span>
            )}
            {unreadCount > 0 && (
              <span className="badge" data-muted={muted || undefined} aria-label={`${unreadCount} unread`}>
                {unreadCount > 999 ? '999+' : unreadCount}
              </span>
            )}
          </span>
        </span>
      </a>
      <ConversationMenu snapshot={snapshot} title={title} />
    </div>
  );
});

/** One line: who is typing, the draft, or the last message. */
function Preview({ snapshot: { conversation, active } }: { snapshot: ConversationSnapshot }) {
  const me = useChatClient().userId;
  const last = conversation?.lastMessage;
  const typing = useNames(active.map(({ userId }) => userId));
  const author = useName(last?.senderId ?? 'system');
  if (typing) return <span className="preview typing">{typing} … typing</span>;
  if (conversation?.draft) {
    return (
      <span className="preview" dir={directionOf(conversation.draft)}>
        <span className="draft-mark">Draft: </span>
        <bdi>{conversation.draft}</bdi>
      </span>
    );
  }
  if (!last) return <span className="preview">No messages yet</span>;
  const text = last.isDeleted ? 'Message deleted' : last.content || 'Attachment';
  const isAuthorShown = last.senderId === me || conversation?.type !== 'direct';
  return (
    <span className="preview" dir={directionOf(text)}>
      {isAuthorShown && last.type !== 'system' && <><bdi>{last.senderId === me ? 'You' : author}</bdi>: </>}
      <bdi>{text}</bdi>
    </span>
  );
}
