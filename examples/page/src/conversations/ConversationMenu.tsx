import type { ConversationSnapshot } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { Button, Menu, MenuItem, MenuTrigger, Popover, Separator } from 'react-aria-components';
import { go } from '../lib/route';
import { MoreIcon } from '../ui/icons';
import { attempt } from '../ui/Toasts';
import { isMuted } from './filter';

interface Preferences {
  muted?: boolean;
  archived?: boolean;
  pinned?: boolean;
}

/** The user's own settings of a conversation. Other members see nothing of them. */
export function ConversationMenu({ snapshot, title }: { snapshot: ConversationSnapshot; title: string }) {
  const client = useChatClient();
  const { id, conversation, unreadCount } = snapshot;
  const { archived = false, pinned = false } = conversation?.preferences ?? {};
  const muted = isMuted(snapshot);
  const set = (preferences: Preferences) =>
    attempt('The change could not be saved.', () => client.call(`/api/conversations/${id}/me`, { method: 'PATCH', body: preferences, isRepeatable: true }));
  const leave = async () => {
    const left = await attempt('You could not leave.', () => client.call(`/api/conversations/${id}/leave`, { method: 'POST', isRepeatable: true }));
    if (left) go({});
  };

  return (
    <MenuTrigger>
      <Button className="icon-button small row-menu" aria-label={`Options of ${title}`}>
        <MoreIcon />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Menu className="menu">
          {unreadCount > 0 && <MenuItem onAction={() => attempt('', () => client.markRead(id))}>Mark as read</MenuItem>}
          <MenuItem onAction={() => set({ pinned: !pinned })}>{pinned ? 'Unpin' : 'Pin to the top'}</MenuItem>
          <MenuItem onAction={() => set({ muted: !muted })}>{muted ? 'Unmute' : 'Mute'}</MenuItem>
          <MenuItem onAction={() => set({ archived: !archived })}>{archived ? 'Move to chats' : 'Archive'}</MenuItem>
          {conversation?.type !== 'direct' && <Separator />}
          {conversation?.type !== 'direct' && (
            <MenuItem className="menu-item danger" onAction={leave}>
              Leave
            </MenuItem>
          )}
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
