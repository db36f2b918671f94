export { ChatProvider, type ChatProviderProps, useChatClient } from './ChatProvider';
export {
  type ConversationActions,
  type ConversationList,
  useChatEvent,
  useConnection,
  useConversation,
  useConversations,
  usePresence,
  useTyping,
  useUnreadCount,
  useUser,
} from './hooks';
export { type ChatSocket, type ChatSocketCallbacks, useChatSocket } from './useChatSocket';
export { type Thread, useThread } from './useThread';
export { type NotificationActions, useNotifications } from './useNotifications';
