import type { Conversation, User } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { useState } from 'react';
import { Button, Input, Label, Tab, TabList, TabPanel, Tabs, TextField } from 'react-aria-components';
import { go } from '../lib/route';
import { UserSearch } from '../people/UserSearch';
import { Modal } from '../ui/Modal';
import { attempt } from '../ui/Toasts';
import { PublicConversations } from './PublicConversations';

export function NewConversation({ isOpen, onClose }: { isOpen: boolean; onClose(): void }) {
  return (
    <Modal title="New conversation" isOpen={isOpen} onClose={onClose}>
      <Tabs className="tabs">
        <TabList aria-label="Kind of conversation" className="tab-list">
          <Tab id="direct">Direct</Tab>
          <Tab id="group">Group</Tab>
          <Tab id="public">Public</Tab>
          <Tab id="join">Join</Tab>
        </TabList>
        <TabPanel id="direct" className="tab-panel">
          <CreateForm type="direct" onDone={onClose} />
        </TabPanel>
        <TabPanel id="group" className="tab-panel">
          <CreateForm type="group" onDone={onClose} />
        </TabPanel>
        <TabPanel id="public" className="tab-panel">
          <CreateForm type="public" onDone={onClose} />
        </TabPanel>
        <TabPanel id="join" className="tab-panel">
          <PublicConversations onDone={onClose} />
        </TabPanel>
      </Tabs>
    </Modal>
  );
}

function CreateForm({ type, onDone }: { type: 'direct' | 'group' | 'public'; onDone(): void }) {
  const client = useChatClient();
  const [name, setName] = useState('');
  const [people, setPeople] = useState<User[]>([]);
  const [isBusy, setBusy] = useState(false);
  const isComplete = type === 'direct' ? people.length === 1 : type === 'group' ? people.length > 0 : name.trim() !== '';

  const create = async () => {
    setBusy(true);
    const body = { type, participantIds: people.map(({ externalUserId }) => externalUserId), ...(name.trim() && type !== 'direct' && { name: name.trim() }) };
    await attempt('The conversation could not be created.', async () => {
      const { id } = await client.call<Conversation>('/api/conversations', { method: 'POST', body });
      onDone();
      go({ conversationId: id });
    });
    setBusy(false);
  };

  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isComplete && !isBusy) void create();
      }}
    >
      {type !== 'direct' && (
        <TextField value={name} onChange={setName} maxLength={200} isRequired={type === 'public'} className="labelled">
          <Label>{type === 'public' ? 'Name, by which others find it' : 'Name (optional)'}</Label>
          <Input className="field" placeholder={type === 'public' ? 'Announcements' : 'Weekend trip'} />
        </TextField>
      )}
      <UserSearch selected={people} isMultiple={type !== 'direct'} onChange={setPeople} />
      <Button type="submit" className="primary-button" isDisabled={!isComplete || isBusy}>
        {type === 'direct' ? 'Open conversation' : type === 'group' ? 'Create group' : 'Create public conversation'}
      </Button>
    </form>
  );
}
