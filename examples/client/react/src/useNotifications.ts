import { type ChatClient, Notifications, type NotificationsSnapshot } from 'chat-service-client';
import { useCallback, useMemo, useSyncExternalStore } from 'react';
import { useChatClient } from './ChatProvider';

/** One list for each client, however many components show it. */
const lists = new WeakMap<ChatClient, Notifications>();

export interface NotificationActions {
  loadOlder(limit?: number): Promise<void>;
  markRead(id: string): Promise<void>;
  markAllRead(): Promise<void>;
  remove(id: string): Promise<void>;
  /** Subscribes this browser to pushes; `registration` is the one of the page's service worker. */
  enablePush(registration: ServiceWorkerRegistration): Promise<void>;
}

/** The notifications that the host's backend sends this user, live: for a bell and its list. */
export function useNotifications(): NotificationsSnapshot & NotificationActions {
  const client = useChatClient();
  const list = useMemo(() => listOf(client), [client]);
  const subscribe = useCallback(
    (changed: () => void) => {
      // A failure shows as a list that is not loaded; it is tried again when the list is shown again.
      if (!list.snapshot.isLoaded) list.load().catch(() => undefined);
      return list.subscribe(changed);
    },
    [list],
  );
  const get = () => list.snapshot;
  const snapshot = useSyncExternalStore(subscribe, get, get);
  const actions = useMemo<NotificationActions>(
    () => ({
      loadOlder: (limit) => list.loadOlder(limit),
      markRead: (id) => list.markRead(id),
      markAllRead: () => list.markAllRead(),
      remove: (id) => list.remove(id),
      enablePush: (registration) => list.enablePush(registration),
    }),
    [list],
  );
  return useMemo(() => ({ ...snapshot, ...actions }), [snapshot, actions]);
}

function listOf(client: ChatClient): Notifications {
  let list = lists.get(client);
  if (!list) lists.set(client, (list = new Notifications(client)));
  return list;
}
