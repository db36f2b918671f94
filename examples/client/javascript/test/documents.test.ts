// The small client of docs/WEBSOCKET.md, exactly as it is printed there, through the same faults.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import type { Message } from '../src/index';
import { Proxy } from './support/proxy';
import { host, makeToken, newGroup, newUsers, until } from './support/service';

interface SmallClient {
  request(event: string, data: object): Promise<{ message?: Message }>;
  send(conversation: string, content: string): Promise<{ message: Message }>;
  stop(): void;
}
type Connect = (options: {
  url: string;
  getToken: () => Promise<string>;
  onEvent: (event: { event: string; seq?: number; data: { content?: string } }) => void;
  onReset: (reason: string) => void;
  onStop?: (reason: string) => void;
}) => SmallClient;

const root = new URL('../../../../../', import.meta.url);
const document = readFileSync(new URL('docs/WEBSOCKET.md', root), 'utf8');
const source = document.match(/```js\n(export function connect[\s\S]*?)```/)?.[1] ?? '';
(globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket;
const module = new URL('./small-client.mjs', import.meta.url);
writeFileSync(module, source);
const { connect } = (await import(module.href)) as { connect: Connect };
const clients: SmallClient[] = [];
after(() => clients.forEach((client) => client.stop()));

async function start(onStop?: (reason: string) => void) {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const proxy = await Proxy.start();
  const got: { event: string; seq?: number; content?: string }[] = [];
  const client = connect({
    url: proxy.url,
    getToken: async () => makeToken(bob),
    onEvent: ({ event, seq, data }) => got.push({ event, seq, content: data.content }),
    onReset: () => got.push({ event: 'reset' }),
    onStop,
  });
  clients.push(client);
  await until('connected', () => got.some(({ event }) => event === 'connected'));
  return { alice, bob, group, proxy, got, client };
}

test('it is short', () => assert.ok(source.split('\n').length <= 75, `${source.split('\n').length} lines`));

test('it stores each message once and takes each entry once through cuts and repetitions', async () => {
  const { alice, group, proxy, got, client } = await start();
  proxy.repeatsEvents = true;
  const sends = [];
  for (let step = 0; step < 20; step++) {
    sends.push(client.send(group, `${step}`));
    if (step % 4 === 1) proxy.cut();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  await Promise.all(sends);
  const { messages } = await host<{ messages: Message[] }>('GET', `/api/conversations/${group}/messages`, undefined, alice);
  assert.equal(messages.length, 20);
  const seqs = () => got.flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
  await until('all arrived', () => got.filter(({ event }) => event === 'message:new').length >= 20);
  assert.deepEqual(seqs(), [...new Set(seqs())].sort((a, b) => a - b));
  await proxy.stop();
});

test('it gives up a silent connection within 20 s and misses nothing', { timeout: 60_000 }, async () => {
  const { alice, group, proxy, got } = await start();
  const begin = Date.now();
  proxy.silence();
  await host('POST', `/api/conversations/${group}/messages`, { content: 'while silent' }, alice);
  await until('the message came', () => got.some(({ content }) => content === 'while silent'), 25_000);
  assert.ok(Date.now() - begin < 22_000);
  await proxy.stop();
});

test('a stop code ends its calls and tells the application', async () => {
  const reasons: string[] = [];
  const { proxy, client, group } = await start((reason) => reasons.push(reason));
  proxy.delay = 5_000;
  const waiting = assert.rejects(client.send(group, 'never answered'), /4403/);
  proxy.close(4403);
  await waiting;
  assert.equal(reasons.length, 1);
  await assert.rejects(client.send(group, 'later'), /stopped/);
  await proxy.stop();
});
