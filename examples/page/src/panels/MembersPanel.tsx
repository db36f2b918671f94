import type { User } from 'chat-service-client';
import { useChatClient, useChatEvent, useConversation } from 'chat-service-react';
import { useCallback, useEffect, useState } from 'react';
import { Button } from 'react-aria-components';
import { UserSearch } from '../people/UserSearch';
import { UserAvatar } from '../ui/Avatar';
import { Modal } from '../ui/Modal';
import { attempt } from '../ui/Toasts';
import { PanelFrame } from './Panel';

interface Member {
  userId: string;
  role: string;
  name?: string;
}

const CHANGES = ['participant:added', 'participant:removed', 'participant:updated'];

export function MembersPanel({ conversationId }: { conversationId: string }) {
  const client = useChatClient();
  const { conversation } = useConversation(conversationId);
  const [members, setMembers] = useState<readonly Member[]>([]);
  const [next, setNext] = useState<string>();
  const [isAdding, setAdding] = useState(false);
  const isManager = conversation?.myRole === 'owner' || conversation?.myRole === 'admin';

  const read = useCallback(
    async (after?: string) => {
      const query = { limit: 100, after };
      const page = await client.call<{ participants: Member[]; nextCursor?: string }>(`/api/conversations/${conversationId}/participants`, { query });
      setMembers((known) => (after ? [...known, ...page.participants] : page.participants));
      setNext(page.nextCursor);
    },
    [client, conversationId],
  );
  useEffect(() => void read().catch(() => undefined), [read]);
  useChatEvent('event', (frame) => {
    const { conversationId: id } = frame.data as { conversationId?: string };
    if (id === conversationId && CHANGES.includes(frame.event)) read().catch(() => undefined);
  });
  const remove = (userId: string) =>
    attempt('The member could not be removed.', () =>
      client.call(`/api/conversations/${conversationId}/participants/${encodeURIComponent(userId)}`, { method: 'DELETE' }),
    );

  return (
    <PanelFrame conversationId={conversationId} title={`Members (${conversation?.participantCount ?? members.length})`}>
      {isManager && (
        <Button className="secondary-button wide" onPress={() => setAdding(true)}>
          Add people
        </Button>
      )}
      <ul className="members">
        {members.map(({ userId, name = userId, role }) => (
          <li key={userId} className="member">
            <UserAvatar id={userId} name={name} />
            <span className="option-text">
              <bdi>{name}</bdi>
              {role !== 'member' && <span className="muted">{role}</span>}
            </span>
            {isManager && role === 'member' && userId !== client.userId && (
              <Button className="text-button danger" aria-label={`Remove ${name}`} onPress={() => remove(userId)}>
                Remove
              </Button>
            )}
          </li>
        ))}
      </ul>
      {next && (
        <Button className="text-button" onPress={() => attempt('More members could not be loaded.', () => read(next))}>
          Show more
        </Button>
      )}
      <AddPeople conversationId={conversationId} members={members} isOpen={isAdding} onClose={() => setAdding(false)} />
    </PanelFrame>
  );
}

interface AddProps {
  conversationId: string;
  members: readonly Member[];
  isOpen: boolean;
  onClose(): void;
}

function AddPeople({ conversationId, members, isOpen, onClose }: AddProps) {
  const client = useChatClient();
  const [people, setPeople] = useState<User[]>([]);
  const add = async () => {
    const body = { participantIds: people.map(({ externalUserId }) => externalUserId) };
    const path = `/api/conversations/${conversationId}/participants`;
    if (!(await attempt('They could not be added.', () => client.call(path, { method: 'POST', body, isRepeatable: true })))) return;
    setPeople([]);
    onClose();
  };
  return (
    <Modal title="Add people" isOpen={isOpen} onClose={onClose}>
      <div className="form">
        <UserSearch selected={people} isMultiple without={members.map(({ userId }) => userId)} onChange={setPeople} />
        <Button className="primary-button" isDisabled={people.length === 0} onPress={add}>
          Add
        </Button>
      </div>
    </Modal>
  );
}
