// Notifications of the host on several devices, against the running service with the plugin `notifications`.
import assert from 'node:assert/strict';
import { createECDH, randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { ChatClient, ChatError, Notifications } from '../src/index';
import { Proxy } from './support/proxy';
import { disconnectAll, host, newClient, newUsers, until } from './support/service';

after(disconnectAll);

const notify = (user: string, title: string, more: object = {}) => host('POST', '/api/notifications', { userIds: [user], kind: 'LIKE', title, ...more });
const titles = ({ snapshot }: Notifications) => snapshot.notifications.map(({ title }) => title).join();
const counted = async (user: string) => (await host<{ unreadCount: number }>('GET', '/api/notifications/unread-count', undefined, user)).unreadCount;

async function twoDevices(socketUrl?: string): Promise<{ user: string; lists: [Notifications, Notifications]; clients: ChatClient[] }> {
  const [user] = (await newUsers(1)) as [string];
  const clients = [newClient(user).connect(), newClient(user, socketUrl ? { socketUrl } : {}).connect()];
  await until('both are connected', () => clients.every(({ state }) => state.status === 'connected'));
  const lists = clients.map((client) => new Notifications(client)) as [Notifications, Notifications];
  await Promise.all(lists.map((list) => list.load()));
  return { user, lists, clients };
}

test('notifications arrive on all devices, and reading and counts are the same on them', async () => {
  const { user, lists } = await twoDevices();
  let changes = 0;
  lists[1].subscribe(() => (changes += 1));
  for (const title of ['one', 'two', 'three']) await notify(user, title);
  await until('both have three', () => lists.every((list) => list.snapshot.notifications.length === 3));
  assert.ok(changes >= 3);
  const sorted = [...lists[0].snapshot.notifications].sort((a, b) => (a.id < b.id ? 1 : -1));
  assert.deepEqual(lists[0].snapshot.notifications, sorted);
  const [newest, second] = lists[0].snapshot.notifications;
  const kept = lists[1].snapshot.notifications[1];
  await lists[0].markRead(newest!.id);
  await until('the other device knows', () => lists.every((list) => list.snapshot.notifications[0]?.isRead && list.snapshot.unreadCount === 2));
  assert.equal(lists[1].snapshot.notifications[1], kept, 'an untouched notification stays the same object');
  assert.equal(await counted(user), 2);
  await lists[1].markAllRead();
  await until('nothing is unread', () => lists.every((list) => list.snapshot.unreadCount === 0));
  await notify(user, 'four');
  await until('the next one counts', () => lists.every((list) => list.snapshot.unreadCount === 1 && list.snapshot.notifications.length === 4));
  await lists[0].remove(second!.id);
  assert.equal(lists[0].snapshot.notifications.length, 3);
  await assert.rejects(lists[0].remove(second!.id), (error: ChatError) => error.code === 'NOT_FOUND');
});

test('what was missed without a connection is there afterwards, each once, and what was deleted meanwhile is not', async (context) => {
  const proxy = await Proxy.start();
  context.after(() => proxy.stop());
  proxy.repeatsEvents = true;
  const { user, lists } = await twoDevices(proxy.url);
  await notify(user, 'before');
  await until('both have it', () => lists.every((list) => titles(list) === 'before'));
  proxy.refuses = true;
  proxy.cut();
  await notify(user, 'missed');
  await notify(user, 'deleted');
  await until('the connected device has both', () => titles(lists[0]).split(',').length === 3);
  await lists[0].remove(lists[0].snapshot.notifications.find(({ title }) => title === 'deleted')!.id);
  await lists[0].markRead(lists[0].snapshot.notifications.find(({ title }) => title === 'before')!.id);
  proxy.refuses = false;
  await until('the other one has caught up', () => titles(lists[1]) === 'missed,before' && lists[1].snapshot.unreadCount === 1, 30_000);
  await notify(user, 'live');
  await until('both go on', () => lists.every((list) => titles(list) === 'live,missed,before' && list.snapshot.unreadCount === 2));
});

test('older pages are loaded, and the count includes what is not loaded', async () => {
  const [user] = (await newUsers(1)) as [string];
  for (let n = 0; n < 55; n++) await notify(user, `${n}`);
  await until('all are stored', async () => (await counted(user)) === 55);
  const list = new Notifications(newClient(user).connect());
  await list.load();
  assert.deepEqual([list.snapshot.notifications.length, list.snapshot.unreadCount, list.snapshot.hasOlder], [50, 55, true]);
  await notify(user, 'new');
  await until('it is there', () => list.snapshot.notifications.length === 51 && list.snapshot.unreadCount === 56);
  await list.loadOlder();
  assert.deepEqual([list.snapshot.notifications.length, list.snapshot.hasOlder], [56, false]);
  assert.equal(new Set(list.snapshot.notifications.map(({ id }) => id)).size, 56);
});

test('a browser is registered for pushes once, and again after a change of the key', async () => {
  const [user] = (await newUsers(1)) as [string];
  const client = newClient(user).connect();
  const list = new Notifications(client);
  const keys = createECDH('prime256v1');
  let subscribed = 0;
  let current: PushSubscription | null = null;
  const subscription = (key: Uint8Array): PushSubscription =>
    ({
      options: { applicationServerKey: key.buffer.slice(key.byteOffset, key.byteOffset + key.byteLength), userVisibleOnly: true },
      unsubscribe: async () => ((current = null), true),
      toJSON: () => ({
        endpoint: `https://push.example/${subscribed}/${user}`,
        keys: { p256dh: keys.generateKeys('base64url'), auth: randomBytes(16).toString('base64url') },
      }),
    }) as unknown as PushSubscription;
  const registration = {
    pushManager: {
      getSubscription: async () => current,
      subscribe: async ({ applicationServerKey }: { applicationServerKey: string }) => {
        subscribed += 1;
        return (current = subscription(new Uint8Array(Buffer.from(applicationServerKey, 'base64url'))));
      },
    } as unknown as PushManager,
  };
  const devices = async () => (await client.call<{ subscriptions: object[] }>('/api/notifications/push/subscriptions')).subscriptions.length;
  await list.enablePush(registration);
  assert.deepEqual([subscribed, await devices()], [1, 1]);
  await list.enablePush(registration);
  assert.deepEqual([subscribed, await devices()], [1, 1], 'a repetition changes nothing');
  current = subscription(new Uint8Array(65));
  await list.enablePush(registration);
  assert.equal(subscribed, 2, 'another key needs another subscription');
  await list.disablePush(registration);
  assert.equal(current, null);
});

test('notifications end with their client', async () => {
  disconnectAll();
  await newUsers(1);
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  const { user, lists, clients } = await twoDevices();
  await notify(user, 'last', { ttlSeconds: 60 });
  await until('it is there', () => lists.every((list) => titles(list) === 'last'));
  clients.forEach((client) => client.disconnect());
  // The timer of an open notification would last a minute.
  await until('no timer is left', () => timers() <= before);
  await assert.rejects(lists[0].load(), (error: ChatError) => error.code === 'DISCONNECTED');
});
