export { ChatProvider, type ChatProviderProps, useChatClient } from './ChatProvider';
export {
  type ConversationActions,
  type ConversationList,
  useChatEvent,
  useConnection,
  useConversation,
  useConversations,
  usePresence,
  useUnreadCount,
} from './hooks';
export { type ChatSocket, type ChatSocketCallbacks, useChatSocket } from './useChatSocket';
