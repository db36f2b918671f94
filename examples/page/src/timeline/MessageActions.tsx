import type { Message } from 'chat-service-client';
import { useChatClient, useConversation } from 'chat-service-react';
import { useState } from 'react';
import { Button, Menu, MenuItem, MenuTrigger, Popover, Separator } from 'react-aria-components';
import { EmojiButton } from '../ui/EmojiPicker';
import { MoreIcon, ReplyIcon, SmileIcon, ThreadIcon } from '../ui/icons';
import { attempt } from '../ui/Toasts';
import { useRowActions } from './actions';

const QUICK = ['👍', '❤️', '😂', '🎉'];

interface Props {
  message: Message;
  /** In the panel of a thread there is no thread to open. */
  isInThread: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** The toolbar of a message: shown while the pointer is over it, while it has the focus, and while one of its menus is open. */
export function MessageActions({ message, isInThread, onOpenChange }: Props) {
  const client = useChatClient();
  const { reply, openThread } = useRowActions();
  const { features } = useConversation(message.conversationId).conversation ?? {};
  const react = (emoji: string) => attempt('The reaction could not be saved.', () => client.react(message.id, emoji));

  return (
    <div className="message-actions" role="group" aria-label="Actions">
      {features?.reactions !== false && (
        <>
          {QUICK.map((emoji) => (
            <Button key={emoji} className="icon-button small quick" aria-label={`React with ${emoji}`} onPress={() => react(emoji)}>
              {emoji}
            </Button>
          ))}
          <EmojiButton label="Choose a reaction" className="icon-button small" onPick={react} onOpenChange={onOpenChange}>
            <SmileIcon />
          </EmojiButton>
        </>
      )}
      <Button className="icon-button small" aria-label="Reply" onPress={() => reply(message)}>
        <ReplyIcon />
      </Button>
      {!isInThread && features?.threads !== false && (
        <Button className="icon-button small" aria-label="Reply in a thread" onPress={() => openThread(message.threadId ?? message.id)}>
          <ThreadIcon />
        </Button>
      )}
      <MessageMenu message={message} onOpenChange={onOpenChange} />
    </div>
  );
}

function MessageMenu({ message, onOpenChange }: { message: Message; onOpenChange(isOpen: boolean): void }) {
  const client = useChatClient();
  const { edit, forward } = useRowActions();
  const { conversation } = useConversation(message.conversationId);
  const [isAsking, setAsking] = useState(false);
  const isOwn = message.senderId === client.userId;
  const isManager = conversation?.myRole === 'admin' || conversation?.myRole === 'owner';
  const isPinned = message.pinnedAt !== undefined;
  const change = (what: string, method: 'PUT' | 'DELETE', part: string) => attempt(what, () => client.call(`/api/messages/${message.id}/${part}`, { method }));
  const copy = () => attempt('The text could not be copied.', () => navigator.clipboard.writeText(message.content));

  return (
    <MenuTrigger
      onOpenChange={(isOpen) => {
        setAsking(false);
        onOpenChange(isOpen);
      }}
    >
      <Button className="icon-button small" aria-label="More actions">
        <MoreIcon />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Menu className="menu">
          {isOwn && <MenuItem onAction={() => edit(message)}>Edit</MenuItem>}
          <MenuItem onAction={() => change('The pin could not be changed.', isPinned ? 'DELETE' : 'PUT', 'pin')}>{isPinned ? 'Unpin' : 'Pin'}</MenuItem>
          <MenuItem onAction={() => forward(message)}>Forward</MenuItem>
          <MenuItem onAction={copy}>Copy text</MenuItem>
          {!isOwn && <MenuItem onAction={() => change('The message could not be marked.', 'DELETE', 'read')}>Mark as unread</MenuItem>}
          {(isOwn || isManager) && <Separator />}
          {(isOwn || isManager) && !isAsking && (
            <MenuItem className="menu-item danger" shouldCloseOnSelect={false} onAction={() => setAsking(true)}>
              Delete
            </MenuItem>
          )}
          {isAsking && (
            <MenuItem className="menu-item danger" onAction={() => attempt('The message could not be deleted.', () => client.remove(message.id))}>
              Delete for everyone?
            </MenuItem>
          )}
        </Menu>
      </Popover>
    </MenuTrigger>
  );
}
