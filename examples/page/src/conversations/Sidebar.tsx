import { useConversations } from 'chat-service-react';
import { useState } from 'react';
import { Button, Input, Label, SearchField } from 'react-aria-components';
import { useRoute } from '../lib/route';
import type { Session } from '../session/session';
import { PencilIcon, SearchIcon } from '../ui/icons';
import { ConversationList } from './ConversationList';
import { type ListFilter, useVisible } from './filter';
import { NewConversation } from './NewConversation';
import { ProfileMenu } from './ProfileMenu';

export function Sidebar({ session, onSignOut }: { session: Session; onSignOut(): void }) {
  const [filter, setFilter] = useState<ListFilter>({ text: '', isArchived: false });
  const [isCreating, setCreating] = useState(false);
  const { isReady, hasMore, loadMore } = useConversations();
  const { conversationId } = useRoute();
  const visible = useVisible(filter);

  return (
    <nav className="sidebar" aria-label="Conversations">
      <header className="sidebar-head">
        <ProfileMenu session={session} isArchived={filter.isArchived} onArchived={(isArchived) => setFilter({ ...filter, isArchived })} onSignOut={onSignOut} />
        <h2>{filter.isArchived ? 'Archived' : 'Chats'}</h2>
        <Button className="icon-button" aria-label="New conversation" onPress={() => setCreating(true)}>
          <PencilIcon />
        </Button>
      </header>
      <SearchField className="search-field" value={filter.text} onChange={(text) => setFilter({ ...filter, text })}>
        <Label className="visually-hidden">Filter conversations</Label>
        <SearchIcon />
        <Input className="field" placeholder="Filter" />
      </SearchField>
      {filter.isArchived && (
        <Button className="text-button" onPress={() => setFilter({ ...filter, isArchived: false })}>
          Back to all chats
        </Button>
      )}
      <ConversationList conversations={visible} selectedId={conversationId} isReady={isReady} hasMore={hasMore && !filter.isArchived} onMore={loadMore} />
      <NewConversation isOpen={isCreating} onClose={() => setCreating(false)} />
    </nav>
  );
}
