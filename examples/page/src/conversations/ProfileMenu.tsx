import { useChatClient } from 'chat-service-react';
import { Button, Header, Menu, MenuItem, MenuSection, MenuTrigger, Popover, type Selection, Separator } from 'react-aria-components';
import { useName } from '../people/names';
import type { Session } from '../session/session';
import { type Direction, setAppearance, type Theme, useAppearance } from '../ui/appearance';
import { UserAvatar } from '../ui/Avatar';
import { attempt } from '../ui/Toasts';

interface Props {
  session: Session;
  isArchived: boolean;
  onArchived(isArchived: boolean): void;
  onSignOut(): void;
}

const STATUSES = [
  ['online', 'Online'],
  ['busy', 'Busy'],
  ['invisible', 'Invisible'],
] as const;

const chosen = (keys: Selection) => (keys === 'all' ? undefined : [...keys][0]);

export function ProfileMenu({ session, isArchived, onArchived, onSignOut }: Props) {
  const client = useChatClient();
  const name = useName(session.userId);
  const { theme, direction } = useAppearance();
  const setStatus = (status: string) =>
    attempt('Your status could not be set.', () => client.call('/api/users/me/status', { method: 'PUT', body: { status } }));
  const showArchive = async () => {
    if (isArchived) return onArchived(false);
    if (await attempt('The archive could not be read.', () => client.loadArchivedConversations())) onArchived(true);
  };

  return (
    <MenuTrigger>
      <Button className="avatar-button" aria-label={`${name}: settings`}>
        <UserAvatar id={session.userId} name={name} />
      </Button>
      <Popover className="popover" placement="bottom start">
        <Menu className="menu">
          <MenuItem onAction={showArchive}>{isArchived ? 'All chats' : 'Archived chats'}</MenuItem>
          <Separator />
          <MenuSection aria-label="Status">
            <Header>Show me as</Header>
            {STATUSES.map(([id, label]) => (
              <MenuItem key={id} id={id} onAction={() => setStatus(id)}>
                <span className="status-dot" data-status={id} /> {label}
              </MenuItem>
            ))}
          </MenuSection>
          <Separator />
          <MenuSection selectionMode="single" selectedKeys={[theme]} disallowEmptySelection onSelectionChange={(keys) => setAppearance({ theme: chosen(keys) as Theme })}>
            <Header>Colours</Header>
            <MenuItem id="system">As the system</MenuItem>
            <MenuItem id="light">Light</MenuItem>
            <MenuItem id="dark">Dark</MenuItem>
          </MenuSection>
          <MenuSection
            selectionMode="single"
            selectedKeys={[direction]}
            disallowEmptySelection
            onSelectionChange={(keys) => setAppearance({ direction: chosen(keys) as Direction })}
          >
            <Header>Direction</Header>
            <MenuItem id="ltr">Left to right</MenuItem>
            <MenuItem id="rtl">Right to left</MenuItem>
          </MenuSection>
          <Separator />
          <MenuItem onAction={onSignOut}>Sign out</MenuItem>
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
