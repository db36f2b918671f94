import type { Message } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { ToggleButton, Tooltip, TooltipTrigger } from 'react-aria-components';
import { useNames } from '../people/names';
import { attempt } from '../ui/Toasts';

type Summary = Message['reactions'][number];

export function Reactions({ message }: { message: Message }) {
  if (message.reactions.length === 0) return null;
  return (
    <div className="reactions" role="group" aria-label="Reactions">
      {message.reactions.map((reaction) => (
        <Reaction key={reaction.emoji} messageId={message.id} reaction={reaction} />
      ))}
    </div>
  );
}

function Reaction({ messageId, reaction: { emoji, count, userIds, reactedByMe } }: { messageId: string; reaction: Summary }) {
  const client = useChatClient();
  const names = useNames(userIds);
  const more = count > userIds.length ? ` and ${count - userIds.length} more` : '';
  const toggle = (isSelected: boolean) =>
    attempt('The reaction could not be saved.', () => (isSelected ? client.react(messageId, emoji) : client.unreact(messageId, emoji)));
  return (
    <TooltipTrigger delay={400}>
      <ToggleButton className="reaction" isSelected={reactedByMe} onChange={toggle} aria-label={`${emoji} ${count}, by ${names}${more}`}>
        <span aria-hidden="true">{emoji}</span> <span aria-hidden="true">{count}</span>
      </ToggleButton>
      <Tooltip className="tooltip">
        {names}
        {more}
      </Tooltip>
    </TooltipTrigger>
  );
}
