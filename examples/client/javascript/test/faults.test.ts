// Random runs through a connection that is hurt: nothing is lost, shown twice or out of order at the application.
// FAULT_RUNS says how many runs there are, FAULT_SEED with which seed the first one begins.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type ChatError, memoryStorage, type Message } from '../src/index';
import { Observer } from './support/observer';
import { Proxy } from './support/proxy';
import { disconnectAll, host, newClient, newGroup, newUsers, until } from './support/service';

const RUNS = Number(process.env['FAULT_RUNS'] ?? 24);
const FIRST_SEED = Number(process.env['FAULT_SEED'] ?? 1);
const AT_ONCE = 8;
const STEPS = 24;
const WATCHDOG = { pingAfter: 400, pingTimeout: 500, probeTimeout: 300 };

after(disconnectAll);

/** A small generator with a seed, so that a failing run can be repeated. */
function random(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function run(seed: number): Promise<void> {
  const next = random(seed);
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, next() * ms));
  const users = await newUsers(3);
  const conversation = await newGroup(users);
  const proxies = await Promise.all(users.map(() => Proxy.start()));
  const storages = users.map(() => memoryStorage());
  const begin = (index: number) =>
    newClient(users[index]!, { socketUrl: proxies[index]!.url, watchdog: WATCHDOG, storage: storages[index]! }).connect();
  const clients = users.map((_, index) => begin(index));
  try {
    const observers = clients.map((client) => new Observer(client, conversation));
    const sends: Promise<string>[] = [];
    const ids: string[] = [];
    // A send that a reload ends is gone on with by the next client, from the storage.
    const send = (index: number, step: number) => {
      const clientMessageId = `${seed}-${index}-${step}`;
      ids.push(clientMessageId);
      const sent = clients[index]!.send(conversation, { content: `${index} ${step}`, clientMessageId });
      sends.push(sent.then(({ id }) => id, (error: ChatError) => (error.code === 'DISCONNECTED' ? '' : Promise.reject(error))));
    };
    const reload = async (index: number) => {
      // A page that ends writes nothing any more, so what was written just now is stored before it ends.
      await Promise.resolve();
      clients[index]!.disconnect();
      clients[index] = begin(index);
      observers.push(new Observer(clients[index]!, conversation));
      await clients[index]!.open(conversation).catch(() => undefined);
    };
    await Promise.all(clients.map((client) => client.open(conversation)));
    for (let step = 0; step < STEPS; step++) {
      const index = Math.floor(next() * clients.length);
      const proxy = proxies[index]!;
      const dice = next();
      if (dice < 0.55) send(index, step);
      else if (dice < 0.7) proxy.cut();
      else if (dice < 0.76) proxy.silence();
      else if (dice < 0.82) proxy.delay = next() < 0.5 ? 0 : next() * 60;
      else if (dice < 0.87) proxy.repeatsEvents = !proxy.repeatsEvents;
      else if (dice < 0.92) proxy.delaysAnswers = !proxy.delaysAnswers;
      else if (dice < 0.95) proxy.refuses = !proxy.refuses;
      else if (dice < 0.97) proxy.swallow = 1 + Math.floor(next() * 3);
      else if (dice < 0.98) proxy.loses = 1;
      else if (dice < 0.995) await reload(index);
      else await clients[index]!.open(conversation).catch(() => undefined);
      await pause(60);
    }
    for (const proxy of proxies) Object.assign(proxy, { delay: 0, repeatsEvents: false, delaysAnswers: false, refuses: false, swallow: 0, loses: 0 });
    const stored = (await Promise.all(sends)).filter((id) => id !== '');
    await until('every outbox is empty', () => clients.every((client) => client.conversation(conversation).pending.every(({ status }) => status === 'sent')), 30_000);
    // A hole at the very end shows with the next entry.
    ids.push(`${seed}-0-99`);
    await clients[0]!.send(conversation, { content: '0 99', clientMessageId: `${seed}-0-99` });
    const path = `/api/conversations/${conversation}/messages?limit=100`;
    const history = (await host<{ messages: Message[] }>('GET', path, undefined, users[0])).messages.reverse();
    assert.deepEqual(history.map(({ clientMessageId }) => clientMessageId).sort(), [...ids].sort(), 'each send is stored once');
    assert.ok(stored.every((id) => history.some((message) => message.id === id)));
    for (const sender of users) {
      const steps = history.filter(({ senderId }) => senderId === sender).map(({ content }) => Number(content.split(' ')[1]));
      assert.deepEqual(steps, [...steps].sort((a, b) => a - b), 'messages of one sender keep their order');
    }
    for (const [index, client] of clients.entries()) {
      const shown = () => client.conversation(conversation);
      await until(`${users[index]} has all`, () => shown().messages.length === history.length && shown().pending.length === 0, 30_000);
      assert.deepEqual(shown().messages.map(({ id, seq }) => [id, seq]), history.map(({ id, seq }) => [id, seq]));
      const { unreadCount } = await host<{ unreadCount: number }>('GET', `/api/conversations/${conversation}/unread-count`, undefined, users[index]);
      await until(`${users[index]} counts ${unreadCount} unread`, () => shown().unreadCount === unreadCount);
    }
    observers.forEach((observer) => observer.check());
  } finally {
    clients.forEach((client) => client.disconnect());
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}

test(`${RUNS} random runs through faults`, async () => {
  let seed = FIRST_SEED;
  const failures: string[] = [];
  const work = async () => {
    while (seed < FIRST_SEED + RUNS) {
      const mine = seed++;
      await run(mine).catch((error: Error) => failures.push(`FAULT_SEED=${mine}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  assert.deepEqual(failures, []);
});
