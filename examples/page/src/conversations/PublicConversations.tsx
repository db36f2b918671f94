import type { Conversation } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { useEffect, useState } from 'react';
import { Button, Input, Label, SearchField } from 'react-aria-components';
import { go } from '../lib/route';
import { Avatar } from '../ui/Avatar';
import { SearchIcon } from '../ui/icons';
import { attempt } from '../ui/Toasts';

const PAUSE_MS = 150;

/** Public conversations by the beginning of their name. A member opens one; anyone else joins it first. */
export function PublicConversations({ onDone }: { onDone(): void }) {
  const client = useChatClient();
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<readonly Conversation[]>();

  useEffect(() => {
    let isCurrent = true;
    const timer = setTimeout(() => {
      const q = query.trim() || undefined;
      client
        .call<{ conversations: Conversation[] }>('/api/conversations/public', { query: { q, limit: 50 } })
        .then(({ conversations }) => isCurrent && setFound(conversations))
        .catch(() => isCurrent && setFound([]));
    }, PAUSE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [client, query]);

  const join = ({ id, myRole }: Conversation) =>
    attempt('You could not join.', async () => {
      if (!myRole) await client.call(`/api/conversations/${id}/join`, { method: 'POST', isRepeatable: true });
      onDone();
      go({ conversationId: id });
    });

  return (
    <div className="form">
      <SearchField value={query} onChange={setQuery} className="search-field" maxLength={100} autoFocus>
        <Label className="visually-hidden">Find public conversations</Label>
        <SearchIcon />
        <Input className="field" placeholder="Find public conversations" />
      </SearchField>
      {found?.length === 0 && <p className="muted empty">No public conversation has this name.</p>}
      <ul className="options">
        {found?.map((conversation) => (
          <li key={conversation.id} className="option">
            <Avatar id={conversation.id} name={conversation.name ?? ''} kind="public" size="small" />
            <span className="option-text">
              <bdi>{conversation.name}</bdi>
              <span className="muted">{conversation.participantCount === 1 ? '1 member' : `${conversation.participantCount} members`}</span>
            </span>
            <Button className="secondary-button" aria-label={`${conversation.myRole ? 'Open' : 'Join'} ${conversation.name}`} onPress={() => join(conversation)}>
              {conversation.myRole ? 'Open' : 'Join'}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
