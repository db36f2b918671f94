import type { ChatClient } from './client';
import { report } from './emitter';
import type { Notification, NotificationRead } from './generated/socket';
import type { EventFrame } from './protocol';

/** The user's notifications at one moment. Immutable: a change makes a new one, and untouched notifications stay the same objects. */
export interface NotificationsSnapshot {
  /** The loaded notifications, newest first. */
  readonly notifications: readonly Notification[];
  /** How many notifications are unread, loaded or not. */
  readonly unreadCount: number;
  readonly isLoaded: boolean;
  /** Whether there are notifications older than the last loaded one. */
  readonly hasOlder: boolean;
}

/** The part of a `ServiceWorkerRegistration` that subscribes to pushes. */
export type PushRegistration = Pick<ServiceWorkerRegistration, 'pushManager'>;

interface NotificationPage {
  notifications: Notification[];
  nextCursor?: string;
  hasMore: boolean;
}

const PATH = '/api/notifications';
const PAGE = 50;
/** How many notifications are kept while new ones arrive. Those that `loadOlder` brought are kept in addition. */
const MAX_KEPT = 500;
const COUNT_AFTER_MS = 300;
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The notifications that the host's backend sends a user (the service's plugin `notifications`), live on all devices. It ends with its client. It is
 * no part of the client itself, so that a page without notifications does not load it.
 */
export class Notifications {
  private snap: NotificationsSnapshot = { notifications: [], unreadCount: 0, isLoaded: false, hasOlder: true };
  private readonly listeners = new Set<() => void>();
  /** Events that came while the list was being read. */
  private waiting: EventFrame[] | undefined;
  private loading: Promise<void> | undefined;
  private kept = MAX_KEPT;
  private countTimer: ReturnType<typeof setTimeout> | undefined;
  private expiryTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly ends: (() => void)[];

  constructor(private readonly client: ChatClient) {
    this.ends = [
      client.events.on('event', (frame) => this.take(frame)),
      client.events.on('state', ({ status }) => status === 'disconnected' && this.close()),
    ];
  }

  get snapshot(): NotificationsSnapshot {
    return this.snap;
  }

  /** Calls `listener` after each change; returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Reads the newest notifications and the count. Repeated calls share the work. */
  load(): Promise<void> {
    return (this.loading ??= this.read().finally(() => (this.loading = undefined)));
  }

  /** Reads the notifications before the last loaded one. */
  async loadOlder(limit = PAGE): Promise<void> {
    if (!this.snap.isLoaded) return this.load();
    const last = this.snap.notifications[this.snap.notifications.length - 1];
    if (!this.snap.hasOlder || !last) return;
    const page = await this.client.call<NotificationPage>(PATH, { query: { limit, before: last.id } });
    this.kept += page.notifications.length;
    this.show({ notifications: merge(this.snap.notifications, page.notifications), hasOlder: page.hasMore });
  }

  /** Marks a notification as read, on all devices. */
  async markRead(id: string): Promise<void> {
    const read = await this.client.call<Notification>(`${PATH}/${id}/read`, { method: 'PUT' });
    this.setRead((known) => known.id === id, read.readAt);
  }

  /** Marks every notification as read that exists now, on all devices. */
  async markAllRead(): Promise<void> {
    const shown = new Set(this.snap.notifications.map(({ id }) => id));
    await this.client.call(`${PATH}/read`, { method: 'PUT' });
    // One that arrived meanwhile may be newer than the moment of the call; the event tells that moment.
    this.setRead(({ id }) => shown.has(id), new Date().toISOString());
    this.countSoon();
  }

  /** Deletes a notification. The user's other devices see it at their next connection. */
  async remove(id: string): Promise<void> {
    await this.client.call(`${PATH}/${id}`, { method: 'DELETE' });
    this.without(({ id: known }) => known === id);
  }

  /** Subscribes this browser to pushes, or again if the service has another key since then. Ask the user for the permission before. */
  async enablePush({ pushManager }: PushRegistration): Promise<void> {
    const { applicationServerKey } = await this.client.call<{ applicationServerKey: string }>(`${PATH}/push/key`);
    let subscription = await pushManager.getSubscription();
    if (subscription && textOf(subscription.options.applicationServerKey) !== applicationServerKey) {
      await subscription.unsubscribe();
      subscription = null;
    }
    subscription ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
    const { endpoint, keys } = subscription.toJSON();
    await this.client.call(`${PATH}/push/subscriptions`, { method: 'PUT', body: { endpoint, keys, applicationServerKey } });
  }

  /** Ends the pushes of this browser, for example at the end of a user's session. The service removes the device at its next push. */
  async disablePush({ pushManager }: PushRegistration): Promise<void> {
    await (await pushManager.getSubscription())?.unsubscribe();
  }

  /** Ends everything; the client goes on. */
  close(): void {
    this.ends.splice(0).forEach((end) => end());
    clearTimeout(this.countTimer);
    clearTimeout(this.expiryTimer);
    this.listeners.clear();
  }

  private async read(): Promise<void> {
    this.waiting = [];
    try {
      const page = await this.client.call<NotificationPage>(PATH, { query: { limit: PAGE } });
      const { unreadCount } = await this.client.call<{ unreadCount: number }>(`${PATH}/unread-count`);
      const events = this.waiting;
      this.show({ notifications: keepSame(this.snap.notifications, page.notifications), unreadCount, isLoaded: true, hasOlder: page.hasMore });
      this.kept = MAX_KEPT;
      const newest = page.notifications[0]?.id ?? '';
      this.waiting = undefined;
      // A notification that is older than the page's newest one and not in the page was deleted.
      for (const frame of events) if (frame.event !== 'notification' || frame.data.id > newest) this.apply(frame);
      if (events.length > 0) this.countSoon();
    } finally {
      this.waiting = undefined;
    }
  }

  private take(frame: EventFrame): void {
    switch (frame.event) {
      case 'connected':
        // Deletions on other devices are no events, and after a reset nothing tells what was missed.
        if (this.snap.isLoaded) this.load().catch(() => undefined);
        return;
      case 'notification':
      case 'notification:read':
        if (this.waiting) this.waiting.push(frame);
        else this.apply(frame);
    }
  }

  private apply(frame: EventFrame): void {
    if (frame.event === 'notification') this.add(frame.data);
    else if (frame.event === 'notification:read') this.applyRead(frame.data);
  }

  private add(notification: Notification): void {
    const { notifications, unreadCount } = this.snap;
    if (notifications.some(({ id }) => id === notification.id)) return;
    const list = merge(notifications, [notification]);
    const isCut = list.length > this.kept;
    this.show({
      notifications: isCut ? list.slice(0, this.kept) : list,
      hasOlder: this.snap.hasOlder || isCut,
      unreadCount: unreadCount + (notification.isRead ? 0 : 1),
    });
    this.countSoon();
  }

  private applyRead({ notificationId, upTo, readAt }: NotificationRead): void {
    const until = upTo === undefined ? NaN : Date.parse(upTo);
    this.setRead(({ id, createdAt }) => (notificationId === undefined ? Date.parse(createdAt) <= until : id === notificationId), readAt);
    this.countSoon();
  }

  private setRead(isMeant: (notification: Notification) => boolean, readAt: string | undefined): void {
    let count = 0;
    const notifications = this.snap.notifications.map((known) => {
      if (known.isRead || !isMeant(known)) return known;
      count += 1;
      return { ...known, isRead: true, ...(readAt === undefined ? {} : { readAt }) };
    });
    if (count > 0) this.show({ notifications, unreadCount: Math.max(0, this.snap.unreadCount - count) });
  }

  private without(isGone: (notification: Notification) => boolean): void {
    const gone = this.snap.notifications.filter(isGone);
    if (gone.length === 0) return;
    const unread = gone.filter(({ isRead }) => !isRead).length;
    this.show({
      notifications: this.snap.notifications.filter((known) => !gone.includes(known)),
      unreadCount: Math.max(0, this.snap.unreadCount - unread),
    });
  }

  /** If all are loaded they are counted here; otherwise only the service knows the number. */
  private countSoon(): void {
    if (this.snap.isLoaded && !this.snap.hasOlder) {
      const unreadCount = this.snap.notifications.filter(({ isRead }) => !isRead).length;
      if (unreadCount !== this.snap.unreadCount) this.show({ unreadCount });
      return;
    }
    if (this.ends.length === 0) return;
    this.countTimer ??= setTimeout(() => {
      this.countTimer = undefined;
      this.client.call<{ unreadCount: number }>(`${PATH}/unread-count`).then(
        ({ unreadCount }) => unreadCount !== this.snap.unreadCount && this.show({ unreadCount }),
        () => undefined, // the next connection reads it again
      );
    }, COUNT_AFTER_MS);
  }

  private show(change: Partial<NotificationsSnapshot>): void {
    this.snap = { ...this.snap, ...change };
    this.planExpiry();
    for (const listener of [...this.listeners]) {
      try {
        listener();
      } catch (error) {
        report(error);
      }
    }
  }

  private planExpiry(): void {
    clearTimeout(this.expiryTimer);
    const { notifications } = this.snap;
    if (notifications.length === 0 || this.ends.length === 0) return;
    const first = notifications.reduce((least, { expiresAt }) => Math.min(least, Date.parse(expiresAt)), Infinity);
    const wait = Math.min(Math.max(0, first - Date.now()), MAX_TIMER_MS);
    this.expiryTimer = setTimeout(() => {
      const now = Date.now();
      this.without(({ expiresAt }) => Date.parse(expiresAt) <= now);
      this.planExpiry();
    }, wait);
  }
}

/** Ids sort by time: newest first. Known ones stay as they are. */
function merge(list: readonly Notification[], more: readonly Notification[]): readonly Notification[] {
  const known = new Set(list.map(({ id }) => id));
  return [...list, ...more.filter(({ id }) => !known.has(id))].sort((a, b) => (a.id < b.id ? 1 : -1));
}

/** `fresh`, with the objects of `known` where nothing changed. */
function keepSame(known: readonly Notification[], fresh: readonly Notification[]): readonly Notification[] {
  const byId = new Map(known.map((notification) => [notification.id, notification]));
  return fresh.map((notification) => {
    const same = byId.get(notification.id);
    return same && JSON.stringify(same) === JSON.stringify(notification) ? same : notification;
  });
}

/** Bytes as base64url, as the service writes its key. */
function textOf(bytes: ArrayBuffer | null): string {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer(0))));
  return text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
