import { type ConversationSnapshot, type Message, newId } from 'chat-service-client';
import { useChatClient, useConversations } from 'chat-service-react';
import { useState } from 'react';
import { Button, ListBox, ListBoxItem, type Selection } from 'react-aria-components';
import { useConversationTitle } from '../people/names';
import { Avatar } from '../ui/Avatar';
import { CheckIcon } from '../ui/icons';
import { Modal } from '../ui/Modal';
import { attempt, toast } from '../ui/Toasts';

const MAX_TARGETS = 20;

export function ForwardDialog({ message, onClose }: { message: Message | undefined; onClose(): void }) {
  return (
    <Modal title="Forward to" isOpen={message !== undefined} onClose={onClose}>
      {message && <Targets message={message} onClose={onClose} />}
    </Modal>
  );
}

function Targets({ message, onClose }: { message: Message; onClose(): void }) {
  const client = useChatClient();
  const { conversations } = useConversations();
  const [selected, setSelected] = useState<Selection>(new Set<string>());
  const [clientMessageId] = useState(newId);
  const ids = selected === 'all' ? conversations.map(({ id }) => id) : [...selected].map(String);

  const forward = async () => {
    const request = { method: 'POST' as const, body: { conversationIds: ids, clientMessageId }, isRepeatable: true };
    if (!(await attempt('The message could not be forwarded.', () => client.call(`/api/messages/${message.id}/forward`, request)))) return;
    toast(ids.length === 1 ? 'Forwarded.' : `Forwarded to ${ids.length} conversations.`);
    onClose();
  };

  return (
    <div className="form">
      <ListBox
        aria-label="Conversations"
        className="options tall"
        selectionMode="multiple"
        selectedKeys={selected}
        onSelectionChange={setSelected}
        items={conversations.map((snapshot) => ({ id: snapshot.id, snapshot }))}
      >
        {({ id, snapshot }) => <Target id={id} snapshot={snapshot} />}
      </ListBox>
      <Button className="primary-button" isDisabled={ids.length === 0 || ids.length > MAX_TARGETS} onPress={forward}>
        Forward
      </Button>
    </div>
  );
}

function Target({ id, snapshot }: { id: string; snapshot: ConversationSnapshot }) {
  const { title, kind, avatarId } = useConversationTitle(id, snapshot.conversation);
  return (
    <ListBoxItem id={id} className="option" textValue={title}>
      {({ isSelected }) => (
        <>
          <Avatar id={avatarId} name={title} kind={kind} size="small" />
          <span className="option-text">
            <bdi>{title}</bdi>
          </span>
          {isSelected && <CheckIcon />}
        </>
      )}
    </ListBoxItem>
  );
}
