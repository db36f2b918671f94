import { useChatClient, useChatEvent, useConversation } from 'chat-service-react';
import { useRef } from 'react';
import { useAnnounce } from '../ui/Announcer';

/** Says each new message of others in the open conversation to screen readers: author and text, and nothing else. */
export function useAnnounceMessages(conversationId: string): void {
  const client = useChatClient();
  const announce = useAnnounce();
  const said = useRef(0);
  const { isLoaded } = useConversation(conversationId);
  useChatEvent('event', (frame) => {
    if (frame.event !== 'message:new' || frame.data.conversationId !== conversationId || !isLoaded) return;
    const { senderId, content, seq } = frame.data;
    if (senderId === client.userId || seq <= said.current) return;
    said.current = seq;
    const author = senderId === 'system' ? 'System' : (client.user(senderId)?.name ?? senderId);
    announce(`${author}: ${content || 'Attachment'}`);
  });
}
