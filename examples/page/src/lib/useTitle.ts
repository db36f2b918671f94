import { useUnreadCount } from 'chat-service-react';
import { useEffect } from 'react';

/** The title of the tab shows how much is unread. */
export function useTitle(): void {
  const count = useUnreadCount();
  useEffect(() => {
    document.title = count > 0 ? `(${count}) Chat` : 'Chat';
  }, [count]);
}
