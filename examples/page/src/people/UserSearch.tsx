import type { User } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { useEffect, useState } from 'react';
import { Input, Label, ListBox, ListBoxItem, SearchField, type Selection } from 'react-aria-components';
import { Avatar } from '../ui/Avatar';
import { CheckIcon, SearchIcon } from '../ui/icons';

interface Props {
  selected: readonly User[];
  isMultiple: boolean;
  /** Users that the list leaves out, such as members. */
  without?: readonly string[];
  onChange(users: User[]): void;
}

const PAUSE_MS = 150;

/** Finds users by a part of their name and selects one or more. */
export function UserSearch({ selected, isMultiple, without = [], onChange }: Props) {
  const client = useChatClient();
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<readonly User[]>([]);
  const [note, setNote] = useState('Type a name to find people.');

  useEffect(() => {
    const text = query.trim();
    if (text === '') {
      setFound([]);
      setNote('Type a name to find people.');
      return;
    }
    let isCurrent = true;
    const timer = setTimeout(async () => {
      try {
        const { users } = await client.call<{ users: User[] }>('/api/users/search', { query: { q: text, limit: 20 } });
        if (!isCurrent) return;
        client.addUsers(users);
        setFound(users);
        setNote(users.length === 0 ? 'Nobody has this name.' : '');
      } catch {
        if (isCurrent) setNote('The search did not work. Try again.');
      }
    }, PAUSE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [client, query]);

  const hidden = new Set([...without, client.userId]);
  const shown = [...selected, ...found.filter((user) => !selected.some(({ externalUserId }) => externalUserId === user.externalUserId))].filter(
    ({ externalUserId }) => !hidden.has(externalUserId),
  );
  const select = (keys: Selection) => {
    if (keys !== 'all') onChange(shown.filter(({ externalUserId }) => keys.has(externalUserId)));
  };

  return (
    <div className="user-search">
      <SearchField value={query} onChange={setQuery} className="search-field" autoFocus maxLength={100}>
        <Label className="visually-hidden">Find people by name</Label>
        <SearchIcon />
        <Input className="field" placeholder="Find people by name" />
      </SearchField>
      <ListBox
        aria-label="People"
        className="options"
        items={shown.map((user) => ({ id: user.externalUserId, user }))}
        selectionMode={isMultiple ? 'multiple' : 'single'}
        selectedKeys={selected.map(({ externalUserId }) => externalUserId)}
        onSelectionChange={select}
        renderEmptyState={() => <p className="muted empty">{note}</p>}
      >
        {({ id, user }) => (
          <ListBoxItem id={id} className="option" textValue={user.name ?? id}>
            {({ isSelected }) => (
              <>
                <Avatar id={id} name={user.name ?? id} size="small" />
                <span className="option-text">
                  <bdi>{user.name ?? id}</bdi>
                  <bdi className="muted">{id}</bdi>
                </span>
                {isSelected && <CheckIcon />}
              </>
            )}
          </ListBoxItem>
        )}
      </ListBox>
    </div>
  );
}
