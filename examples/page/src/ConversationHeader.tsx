import type { ConversationSnapshot } from 'chat-service-client';
import { usePresence } from 'chat-service-react';
import { Button, Link } from 'react-aria-components';
import { go, hrefOf, type PanelRoute, useRoute } from './lib/route';
import { formatShort, useToday } from './lib/time';
import { useConversationTitle } from './people/names';
import { Avatar, UserAvatar } from './ui/Avatar';
import { BackIcon, GroupIcon, PinIcon } from './ui/icons';

/** Further panels, such as the files of a conversation, get their button here. */
export function ConversationHeader({ snapshot: { id, conversation } }: { snapshot: ConversationSnapshot }) {
  const { title, kind, avatarId, otherId } = useConversationTitle(id, conversation);
  const { panel } = useRoute();
  const toggle = (kindOfPanel: 'pins' | 'members') => {
    const next: PanelRoute | undefined = panel?.kind === kindOfPanel ? undefined : { kind: kindOfPanel };
    go({ conversationId: id, ...(next && { panel: next }) });
  };
  return (
    <header className="conversation-head">
      <Link className="icon-button back" href={hrefOf({})} aria-label="Back to the list">
        <BackIcon className="flips" />
      </Link>
      {otherId ? <UserAvatar id={avatarId} name={title} /> : <Avatar id={avatarId} name={title} kind={kind} />}
      <div className="head-text">
        <h2>
          <bdi>{title}</bdi>
        </h2>
        {otherId ? <PresenceText userId={otherId} /> : <p className="muted">{membersText(conversation?.participantCount)}</p>}
      </div>
      <Button className="icon-button" aria-label="Pinned messages" aria-pressed={panel?.kind === 'pins'} onPress={() => toggle('pins')}>
        <PinIcon />
      </Button>
      {conversation?.type !== 'direct' && (
        <Button className="icon-button" aria-label="Members" aria-pressed={panel?.kind === 'members'} onPress={() => toggle('members')}>
          <GroupIcon />
        </Button>
      )}
    </header>
  );
}

const membersText = (count: number | undefined) => (count === undefined ? '' : count === 1 ? '1 member' : `${count} members`);

function PresenceText({ userId }: { userId: string }) {
  const presence = usePresence(userId);
  const today = useToday();
  const { status, text, lastSeen } = presence ?? {};
  const state = status === undefined ? '' : status === 'offline' ? (lastSeen ? `last seen ${formatShort(lastSeen, today)}` : 'offline') : status;
  return <p className="muted">{text ? `${state} · ${text}` : state}</p>;
}
