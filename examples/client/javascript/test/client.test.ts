// The promises to an application, each against the running service.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ChatError, type ConnectionState, type Message, memoryStorage, type StorageAdapter } from '../src/index';
import { Observer } from './support/observer';
import { Proxy } from './support/proxy';
import { disconnectAll, forget, host, makeToken, newClient, newGroup, newUsers, until } from './support/service';

after(disconnectAll);

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const sendAs = (user: string, conversation: string, content: string, more: object = {}) =>
  host<Message>('POST', `/api/conversations/${conversation}/messages`, { content, ...more }, user);

test('a message is shown exactly once from sending to stored, and reaches the other member', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const clients = [newClient(alice).connect(), newClient(bob).connect()] as const;
  const observers = clients.map((client) => new Observer(client, group));
  await Promise.all(clients.map((client) => client.open(group)));
  const states: string[] = [];
  clients[0].subscribe(group, () => {
    const { pending, messages } = clients[0].conversation(group);
    states.push(pending[0]?.status ?? (messages.length > 0 ? 'stored' : 'nothing'));
  });
  const message = await clients[0].send(group, 'Hello');
  await until('both show it', () => clients.every((client) => client.conversation(group).messages.some(({ id }) => id === message.id)));
  assert.equal(states[0], 'sending');
  assert.equal(states.at(-1), 'stored');
  observers.forEach((observer) => observer.check());
});

test('edits, reactions, pins, replies and deletions change the one message that they are about', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const client = newClient(bob).connect();
  const first = await sendAs(alice, group, 'one');
  const second = await sendAs(alice, group, 'two');
  await client.open(group);
  const shown = () => client.conversation(group).messages;
  const untouched = shown()[1];
  await host('PATCH', `/api/messages/${first.id}`, { content: 'One' }, alice);
  await host('POST', `/api/messages/${first.id}/reactions`, { emoji: '👍' }, bob);
  await host('PUT', `/api/messages/${first.id}/pin`, undefined, alice);
  await sendAs(alice, group, 'reply', { threadId: first.id });
  await until('all of it is shown', () => shown().length === 3 && shown()[0]?.replyCount === 1);
  const { messages } = await host<{ messages: Message[] }>('GET', `/api/conversations/${group}/messages`, undefined, bob);
  assert.deepEqual(shown(), messages.reverse());
  assert.equal(shown()[1], untouched, 'an untouched message stays the same object');
  await host('DELETE', `/api/messages/${second.id}`, undefined, alice);
  await until('the tombstone is shown', () => shown()[1]?.isDeleted === true);
  assert.equal(shown()[1]?.content, '');
});

test('one call of the token provider serves the socket and ten requests', async () => {
  const [user] = (await newUsers(1)) as [string];
  let calls = 0;
  const client = newClient(user, {
    getToken: async () => {
      calls += 1;
      await wait(50);
      return makeToken(user);
    },
  });
  client.connect();
  await Promise.all(Array.from({ length: 10 }, () => client.call('/api/users/me')));
  await until('connected', () => client.state.status === 'connected');
  assert.equal(calls, 1);
});

test('a refused token is replaced once for everybody', async () => {
  const [user] = (await newUsers(1)) as [string];
  let calls = 0;
  const client = newClient(user, {
    getToken: async () => {
      calls += 1;
      await wait(20);
      return calls === 1 ? makeToken(user, -60) : makeToken(user);
    },
  });
  client.connect();
  await Promise.all(Array.from({ length: 10 }, () => client.call('/api/users/me')));
  await until('connected', () => client.state.status === 'connected');
  assert.equal(calls, 2);
});

test('a token provider that fails is asked with growing delays, and never after disconnect', async () => {
  const calls: number[] = [];
  const problems: string[] = [];
  const client = newClient('nobody', {
    getToken: () => {
      calls.push(Date.now());
      throw new Error('no network');
    },
  });
  client.events.on('problem', ({ where }) => problems.push(where));
  client.connect();
  const pending = assert.rejects(client.call('/api/users/me'), (error: ChatError) => error.code === 'DISCONNECTED');
  const sending = assert.rejects(client.send('cnv_x', 'x'), (error: ChatError) => error.code === 'DISCONNECTED');
  await until('three calls', () => calls.length === 3);
  assert.ok(calls[1]! - calls[0]! >= 450 && calls[2]! - calls[1]! > calls[1]! - calls[0]! - 50, `${calls}`);
  client.disconnect();
  await Promise.all([pending, sending]);
  const count = calls.length;
  await wait(3_000);
  assert.equal(calls.length, count);
  assert.deepEqual(new Set(problems), new Set(['token']));
});

test('a token of another user ends the client instead of mixing two users', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  let isSwitched = false;
  const client = newClient(alice, { getToken: () => makeToken(isSwitched ? bob : alice, isSwitched ? 3600 : 2) });
  client.connect();
  await until('connected', () => client.state.status === 'connected');
  isSwitched = true;
  await until('stopped', () => client.state.status === 'stopped' || client.state.status === 'waiting', 20_000);
  await assert.rejects(client.call('/api/users/me').then(() => client.call('/api/users/me')), (error: ChatError) => error.code === 'USER_CHANGED');
  assert.equal(client.userId, alice);
});

test('two users of one browser never send in the place of each other, whatever their ids are', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  // The id of one begins like the id of the other, and they share the storage.
  const other = `${alice} b`;
  await host('POST', '/api/users/sync', { externalUserId: other, name: 'Other' });
  const storage = memoryStorage();
  const group = await newGroup([alice, other, bob]);
  const proxy = await Proxy.start();
  proxy.refuses = true;
  const first = newClient(other, { socketUrl: proxy.url, storage }).connect();
  const lost = first.send(group, 'of the other one').catch((error: ChatError) => error.code);
  await until('it is stored', async () => (await storage.entries('')).length === 1);
  first.disconnect();
  assert.equal(await lost, 'DISCONNECTED');
  const second = newClient(alice, { storage }).connect();
  await second.open(group);
  await second.send(group, 'of Alice');
  assert.deepEqual(second.conversation(group).pending.filter(({ item }) => item.body.content !== 'of Alice'), []);
  second.disconnect();
  const third = newClient(other, { storage }).connect();
  await third.send(group, 'later');
  const { messages } = await host<{ messages: Message[] }>('GET', `/api/conversations/${group}/messages`, undefined, bob);
  assert.deepEqual(messages.reverse().map(({ senderId, content }) => [senderId, content]), [[alice, 'of Alice'], [other, 'of the other one'], [other, 'later']]);
  await proxy.stop();
});

test('an event that the service repeats reaches the application once', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const proxy = await Proxy.start();
  proxy.repeatsEvents = true;
  const client = newClient(bob, { socketUrl: proxy.url }).connect();
  await client.open(group);
  await until('connected', () => client.state.status === 'connected');
  const seen: (number | undefined)[] = [];
  client.events.on('event', ({ event, seq }) => event === 'message:new' && seen.push(seq));
  const sent = [];
  for (const text of ['one', 'two', 'three']) sent.push((await sendAs(alice, group, text)).seq);
  await until('all arrived', () => seen.length >= 3);
  await wait(200);
  assert.deepEqual(seen, sent);
  await proxy.stop();
});

test('a client is made without a WebSocket, as a server that renders pages does, and says what is missing when it connects', () => {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket');
  Object.defineProperty(globalThis, 'WebSocket', { value: undefined, configurable: true, writable: true });
  try {
    const client = newClient('server', { webSocket: undefined });
    assert.equal(client.conversation('cnv_01hzx3v7k9q2m4n6p8r0s2t4v6').messages.length, 0);
    assert.throws(() => client.connect(), /no WebSocket/);
  } finally {
    if (own) Object.defineProperty(globalThis, 'WebSocket', own);
    else delete (globalThis as { WebSocket?: unknown }).WebSocket;
  }
});

test('a connection that went silent is given up within 20 s and replaced at once', { timeout: 60_000 }, async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const proxy = await Proxy.start();
  const client = newClient(bob, { socketUrl: proxy.url }).connect();
  const observer = new Observer(client, group);
  await client.open(group);
  await until('connected', () => client.state.status === 'connected');
  const states: [ConnectionState['status'], number][] = [];
  client.events.on('state', ({ status }) => states.push([status, Date.now()]));
  const start = Date.now();
  proxy.silence();
  await sendAs(alice, group, 'while silent');
  await until('connected again', () => states.at(-1)?.[0] === 'connected', 30_000);
  assert.ok(states[0]![1] - start < 20_000, `found after ${states[0]![1] - start} ms`);
  await until('the message is there', () => client.conversation(group).messages.length === 1);
  observer.check();
  await proxy.stop();
});

for (const hours of [1, -1, -72]) {
  test(`a device clock that is ${hours} h off refreshes the token once per life and signs nobody out`, { timeout: 60_000 }, async () => {
    const [user] = (await newUsers(1)) as [string];
    const realNow = Date.now;
    let calls = 0;
    const closed: string[] = [];
    const client = newClient(user, {
      getToken: () => {
        calls += 1;
        const now = Date.now;
        Date.now = realNow;
        const token = makeToken(user, 10);
        Date.now = now;
        return token;
      },
    });
    Date.now = () => realNow() + hours * 3_600_000;
    try {
      client.connect();
      await until('connected', () => client.state.status === 'connected', 20_000);
      client.events.on('state', ({ status }) => closed.push(status));
      await wait(13_000);
    } finally {
      Date.now = realNow;
    }
    assert.equal(calls, 2);
    assert.deepEqual(closed, []);
    client.disconnect();
  });
}

test('messages written offline survive a reload and go in their order, before later ones', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const storage = memoryStorage();
  const proxy = await Proxy.start();
  proxy.refuses = true;
  const before = newClient(alice, { socketUrl: proxy.url, storage }).connect();
  const lost = Array.from({ length: 10 }, (_, index) => before.send(group, `${index}`).catch((error: ChatError) => error.code));
  await until('all are stored', async () => (await storage.entries('')).length === 10);
  before.disconnect();
  assert.deepEqual(new Set(await Promise.all(lost)), new Set(['DISCONNECTED']));
  proxy.refuses = false;
  const client = newClient(alice, { socketUrl: proxy.url, storage }).connect();
  await until('they are shown', () => client.conversation(group).pending.length === 10 || client.conversation(group).messages.length > 0);
  await client.send(group, '10');
  const { messages } = await host<{ messages: Message[] }>('GET', `/api/conversations/${group}/messages`, undefined, bob);
  assert.deepEqual(messages.reverse().map(({ content }) => content), ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
  await until('nothing waits', async () => (await storage.entries('')).length === 0);
  await proxy.stop();
});

test('a message that is confirmed while the history is being read again does not vanish', { timeout: 60_000 }, async (context) => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const proxy = await Proxy.start();
  context.after(() => proxy.stop());
  let isSlow = false;
  const slowly: typeof fetch = async (input, init) => {
    // The list of conversations is read when the message is stored, its answer comes after that, and the history last.
    if (isSlow) await wait(String(input).includes('/messages') ? 1_500 : 300);
    return fetch(input, init);
  };
  const client = newClient(alice, { socketUrl: proxy.url, fetch: slowly }).connect();
  const observer = new Observer(client, group);
  await client.open(group);
  await client.send(group, 'first');
  // A cursor that the service does not know: everything is read again.
  Object.assign(client, { cursor: 'unknown' });
  isSlow = true;
  Object.assign(proxy, { delaysAnswers: true, answerDelay: 800 });
  const sent = client.send(group, 'second');
  proxy.cut();
  await sent;
  await until('both are there', () => client.conversation(group).messages.length === 2 && client.conversation(group).pending.length === 0);
  observer.check();
});

test('a storage that refuses is reported, and sending still works', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const full: StorageAdapter = { entries: async () => [], set: () => Promise.reject(new Error('full')), remove: () => Promise.reject(new Error('full')) };
  const client = newClient(alice, { storage: full });
  const problems: string[] = [];
  client.events.on('problem', ({ where }) => problems.push(where));
  client.connect();
  const message = await client.send(group, 'still sent');
  assert.equal(message.content, 'still sent');
  assert.ok(problems.includes('storage'));
});

test('a refused message is shown as failed with the reason, and can be discarded', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const client = newClient(alice).connect();
  await client.open(group);
  await assert.rejects(client.send(group, { content: 'x'.repeat(20_000) }), (error: ChatError) => error.code === 'VALIDATION_ERROR');
  const [failed] = client.conversation(group).pending;
  assert.equal(failed?.status, 'failed');
  await client.send(group, 'the next one is not blocked');
  assert.equal(client.discard(failed!.item.clientMessageId), true);
  assert.equal(client.conversation(group).pending.filter(({ status }) => status === 'failed').length, 0);
});

test('marking one conversation as read changes its count alone', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const groups = await Promise.all([newGroup([alice, bob]), newGroup([alice, bob]), newGroup([alice, bob])]);
  for (const [index, count] of [3, 5, 7].entries()) {
    for (let n = 0; n < count; n++) await sendAs(alice, groups[index]!, `${n}`);
  }
  const tabs = [newClient(bob).connect(), newClient(bob).connect()] as const;
  const counts = (client: (typeof tabs)[number]) => groups.map((id) => client.conversation(id).unreadCount);
  await until('the list is there', () => tabs.every((tab) => counts(tab).join() === '3,5,7'));
  await tabs[0].markRead(groups[0]!);
  await until('both tabs know', () => tabs.every((tab) => counts(tab).join() === '0,5,7'));
  tabs[1].disconnect();
});

test('after any row of sends, reads and deletions the counts are those of the service', { timeout: 60_000 }, async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const groups = await Promise.all([newGroup([alice, bob]), newGroup([alice, bob])]);
  const client = newClient(bob).connect();
  await client.open(groups[0]!);
  const sent: Message[] = [];
  for (let step = 0; step < 60; step++) {
    const group = groups[Math.floor(Math.random() * 2)]!;
    const dice = Math.random();
    const any = sent[Math.floor(Math.random() * sent.length)];
    if (dice < 0.6 || !any) sent.push(await sendAs(alice, group, `${step}`, Math.random() < 0.3 ? { mentions: [bob] } : {}));
    else if (dice < 0.7) await host('DELETE', `/api/messages/${any.id}`, undefined, alice);
    else if (dice < 0.8) await host('PUT', `/api/messages/${any.id}/read`, undefined, bob);
    else if (dice < 0.9) await host('DELETE', `/api/messages/${any.id}/read`, undefined, bob);
    else await client.markRead(group);
  }
  for (const group of groups) {
    const expected = await host<object>('GET', `/api/conversations/${group}/unread-count`, undefined, bob);
    const shown = () => ({ unreadCount: client.conversation(group).unreadCount, mentionCount: client.conversation(group).mentionCount });
    await until(`${JSON.stringify(expected)} is shown, now ${JSON.stringify(shown())}`, () => JSON.stringify(shown()) === JSON.stringify(expected));
  }
});

test('a stop code ends waiting calls and tells the application', async () => {
  const [user] = (await newUsers(1)) as [string];
  const proxy = await Proxy.start();
  const client = newClient(user, { socketUrl: proxy.url }).connect();
  await until('connected', () => client.state.status === 'connected');
  proxy.delay = 10_000;
  const waiting = assert.rejects(client.command('ping', {}), (error: ChatError) => error.code === 'STOPPED');
  proxy.close(4403);
  await waiting;
  assert.deepEqual([client.state.status, client.state.status === 'stopped' && client.state.code], ['stopped', 4403]);
  await assert.rejects(client.command('ping', {}), (error: ChatError) => error.code === 'STOPPED');
  await wait(1_500);
  assert.equal(proxy.opened, 1);
  await proxy.stop();
});

test('typing is sent as often as needed and ends by itself', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const [writer, reader] = [newClient(alice).connect(), newClient(bob).connect()];
  await Promise.all([writer.open(group), reader.open(group)]);
  await until('connected', () => [writer, reader].every(({ state }) => state.status === 'connected'));
  for (let key = 0; key < 20; key++) writer.type(group);
  await until('the reader sees it', () => reader.conversation(group).active[0]?.userId === alice);
  await until('it ends', () => reader.conversation(group).active.length === 0, 10_000);
});

test('a thousand clients of two users that come and go leave nothing behind', { timeout: 120_000 }, async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const cycles = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const client = newClient(n % 2 ? alice : bob);
      await new Promise<void>((resolve) => {
        client.events.on('state', ({ status }) => status === 'connected' && resolve());
        client.connect();
      });
      client.disconnect();
      forget(client);
    }
  };
  const measure = async () => {
    await wait(500);
    globalThis.gc?.();
    return { handles: process.getActiveResourcesInfo().filter((kind) => kind !== 'TTYWrap' && kind !== 'PipeWrap').length, heap: process.memoryUsage().heapUsed };
  };
  assert.ok(globalThis.gc, 'node runs with --expose-gc');
  // The first ones also cost compiled code.
  await cycles(300);
  const before = await measure();
  await cycles(1_000);
  const later = await measure();
  assert.ok(later.handles <= before.handles + 2, `${before.handles} handles, then ${later.handles}`);
  assert.ok(later.heap <= before.heap + 1_000_000, `${before.heap} bytes, then ${later.heap}`);
});
