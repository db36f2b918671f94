// The examples against a running service that may deliver to loopback: BASE_URL, INTERNAL_API_SECRET and AUTH_JWT_SECRET name it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { NestFactory } from '@nestjs/core';
import { ChatWebhookModule } from '../dist/webhook-handler-nestjs.js';
import { createProxy } from '../proxy.js';
import { createUserSync } from '../user-sync.js';
import { createApp } from '../webhook-handler.js';

const { BASE_URL, INTERNAL_API_SECRET, AUTH_JWT_SECRET } = process.env;
assert.ok(BASE_URL && INTERNAL_API_SECRET && AUTH_JWT_SECRET, 'BASE_URL and the secrets are set by ./dev env');
const closing = [];
after(() => Promise.all(closing.map((close) => close())));

async function host(method, path, body, actingUser) {
  const headers = { 'X-Internal-Secret': INTERNAL_API_SECRET, 'Content-Type': 'application/json' };
  if (actingUser) headers['X-Acting-User'] = encodeURIComponent(actingUser);
  const response = await fetch(BASE_URL + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

async function until(what, condition) {
  const end = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts a receiver on a free port; `secret` is asked for at each request, because the service makes it after the address is known. */
const receivers = {
  async express(secretOf, handle) {
    let app;
    const { createServer } = await import('node:http');
    const server = createServer((request, response) => (app ??= createApp({ secret: secretOf(), handle }))(request, response));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
    return server.address().port;
  },
  async nestjs(secretOf, handle) {
    const { createServer } = await import('node:net');
    const free = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => free.once('listening', resolve));
    const { port } = free.address();
    await new Promise((resolve) => free.close(resolve));
    closing.push(() => started?.close());
    let started;
    receivers.begin = async () => {
      started = await NestFactory.create(ChatWebhookModule.forRoot(secretOf(), handle), { rawBody: true, logger: false });
      await started.listen(port, '127.0.0.1');
    };
    return port;
  },
};

for (const kind of ['express', 'nestjs']) {
  test(`${kind}: events arrive verified, once, at their handler; forgeries and old requests are refused`, async () => {
    const got = [];
    let failures = 1;
    let secret = '';
    const handle = {
      'message.created': async ({ id, data }) => {
        if (failures-- > 0) throw new Error('the first try fails');
        got.push([id, data.content]);
      },
    };
    const error = console.error;
    console.error = () => undefined;
    const port = await receivers[kind](() => secret, handle);
    const address = `http://127.0.0.1:${port}/webhooks/chat`;
    const created = await host('POST', '/api/admin/webhooks', { url: address, events: ['message.created', 'conversation.created'] });
    secret = created.secret;
    await receivers.begin?.();
    const [alice, bob] = [`a-${randomUUID()}`, `b-${randomUUID()}`];
    await host('POST', '/api/users/sync/batch', { users: [alice, bob].map((id) => ({ externalUserId: id, name: id })) });
    await host('POST', '/api/messages', { receiverId: bob, content: 'Where is my parcel?' }, alice);
    await until('the event was handled after a repetition', () => got.length === 1);
    assert.equal(got[0][1], 'Where is my parcel?');
    await host('DELETE', `/api/admin/webhooks/${created.webhook?.id ?? created.id}`);

    const sign = (body, timestamp) =>
      `v1,${createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(`${got[0][0]}.${timestamp}.${body}`).digest('base64')}`;
    const send = (body, timestamp, signature) =>
      fetch(address, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json', 'webhook-id': got[0][0], 'webhook-timestamp': `${timestamp}`, ...(signature && { 'webhook-signature': signature }) },
      }).then(({ status }) => status);
    const now = Math.floor(Date.now() / 1000);
    const body = JSON.stringify({ id: got[0][0], type: 'message.created', data: { content: 'again' } });
    assert.equal(await send(body, now, sign(body, now)), 204, 'a repetition is acknowledged');
    assert.equal(got.length, 1, 'and not handled again');
    assert.equal(await send(body, now, sign(`${body} `, now)), 401, 'another body');
    assert.equal(await send(body, now - 301, sign(body, now - 301)), 401, 'an old request');
    assert.equal(await send(body, now), 401, 'no signature');
    const both = `v1,AAAA ${sign(body, now)}`;
    assert.equal(await send(body, now, both), 204, 'one of two signatures is enough');
    console.error = error;
  });
}

test('user sync: registration, change, everybody with the refused ones named, and the command', async () => {
  const sync = createUserSync({ url: BASE_URL, secret: INTERNAL_API_SECRET });
  const id = `s-${randomUUID()}`;
  assert.equal((await sync.sync({ id, name: 'Ann' })).name, 'Ann');
  assert.equal((await sync.sync({ id, name: 'Ann Ant', metadata: { tier: 'gold' } })).name, 'Ann Ant');
  const many = Array.from({ length: 1_200 }, (_, n) => ({ id: `${id}-${n}`, name: `User ${n}` }));
  const failed = await sync.syncAll([...many, { id: 'me', name: '' }]);
  assert.deepEqual(failed.map(({ user }) => user.id), ['me']);
  assert.deepEqual(new Set(failed[0].details.map(({ field }) => field)), new Set(['externalUserId', 'name']));
  const last = await host('GET', `/api/users/${id}-1199`);
  assert.equal(last.name, 'User 1199');
  await sync.disconnect(id);
  await sync.remove(id);
  await assert.rejects(sync.sync({ id: 'me', name: 'x' }), (error) => error.status === 400 && error.details[0].field === 'externalUserId');

  const file = `${mkdtempSync(`${tmpdir()}/users-`)}/users.json`;
  writeFileSync(file, JSON.stringify([{ id: `${id}-x`, name: 'From a file' }]));
  const script = new URL('../user-sync.js', import.meta.url).pathname;
  const printed = execFileSync(process.execPath, [script, file], { env: { ...process.env, CHAT_URL: BASE_URL }, encoding: 'utf8' });
  assert.match(printed, /1 of 1 users synced/);
});

test('proxy: adds the user, passes bodies, errors and streams, and no credentials of the page', async () => {
  const { createServer } = await import('node:http');
  const userOf = ({ headers }) => headers['x-demo-user'];
  const server = createServer(createProxy({ url: BASE_URL, secret: AUTH_JWT_SECRET, userOf }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  const base = `http://127.0.0.1:${server.address().port}/chat`;
  const [alice, bob] = [`p-${randomUUID()}`, `q-${randomUUID()}`];
  await host('POST', '/api/users/sync/batch', { users: [alice, bob].map((id) => ({ externalUserId: id, name: id })) });
  const call = (user, method, path, body, more = {}) =>
    fetch(base + path, { method, headers: { ...(user && { 'X-Demo-User': user }), 'Content-Type': 'application/json', ...more }, body: body && JSON.stringify(body) });

  assert.equal((await call(undefined, 'GET', '/users/me')).status, 401, 'without a session');
  const stream = await call(bob, 'GET', '/events');
  const sent = await call(alice, 'POST', '/messages', { receiverId: bob, content: 'Grüße 👋', clientMessageId: randomUUID() });
  assert.equal(sent.status, 201);
  const message = await sent.json();
  assert.equal(message.senderId, alice);
  let events = '';
  for await (const part of stream.body) {
    events += Buffer.from(part).toString();
    if (events.includes(message.id)) break;
  }
  const listed = await (await call(bob, 'GET', `/conversations/${message.conversationId}/messages?limit=1`)).json();
  assert.equal(listed.messages[0].content, 'Grüße 👋');
  assert.equal((await call(alice, 'DELETE', `/messages/${message.id}`)).status, 204);
  const refused = await call(bob, 'POST', '/messages', { receiverId: alice });
  assert.equal(refused.status, 400);
  assert.equal((await refused.json()).code, 'VALIDATION_ERROR');

  const claimed = { 'X-Internal-Secret': INTERNAL_API_SECRET, 'X-Acting-User': bob, Authorization: 'Bearer x' };
  const me = await (await call(alice, 'GET', '/users/me', undefined, claimed)).json();
  assert.equal(me.externalUserId, alice, 'credentials of the page are not passed on');
  assert.equal((await call(alice, 'POST', '/users/sync', { externalUserId: 'x', name: 'x' }, claimed)).status, 401, 'the page has no rights of the host');
  assert.equal((await call(alice, 'GET', '/%2e%2e/%2e%2e/metrics')).status, 404);
  const token = await (await call(alice, 'POST', '/token')).text();
  const direct = await fetch(`${BASE_URL}/api/users/me`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal((await direct.json()).externalUserId, alice);
});
