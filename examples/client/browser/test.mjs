// The client in Chromium, against the running service that the environment names (./dev env): CHROMIUM is the browser's program.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { launch } from './chromium.mjs';

const { BASE_URL, WS_URL, AUTH_JWT_SECRET, INTERNAL_API_SECRET } = process.env;
assert.ok(BASE_URL && WS_URL && AUTH_JWT_SECRET && INTERNAL_API_SECRET, 'the variables of ./dev env are set');
const here = new URL('.', import.meta.url).pathname;
const client = new URL('../javascript/', import.meta.url).pathname;
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css' };

let browser, folder, site, proxy;

before(async () => {
  folder = mkdtempSync(`${tmpdir()}/chat-browser-`);
  browser = await launch();
  site = await listen(createServer((request, response) => {
    const path = new URL(request.url, 'http://site').pathname.replace(/\/$/, '/index.html');
    const file = { '/page.html': `${here}page.html`, '/chat-client.js': `${client}chat-client.js` }[path] ?? `${folder}/vite/dist${path}`;
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': `${TYPES[file.split('.').pop()]}; charset=utf-8` }).end(readFileSync(file));
  }));
  proxy = await startProxy(new URL(WS_URL));
});

after(async () => {
  await browser?.close();
  site?.server.close();
  proxy?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function listen(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: server.address().port };
}

/** A way to the sockets that can be closed: an open connection is cut, a new one refused. */
async function startProxy({ hostname, port }) {
  const open = new Set();
  const state = { isClosed: false, opened: 0 };
  const { server, port: own } = await listen(createTcpServer((socket) => {
    if (state.isClosed) return socket.destroy();
    state.opened += 1;
    const other = connect(Number(port), hostname);
    for (const end of [socket, other]) {
      open.add(end);
      end.on('error', () => undefined).on('close', () => (open.delete(end), socket.destroy(), other.destroy()));
    }
    socket.pipe(other).pipe(socket);
  }));
  const cut = () => open.forEach((end) => end.destroy());
  return Object.assign(state, { url: `ws://127.0.0.1:${own}/ws`, cut, close: () => (cut(), server.close()) });
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function makeToken(user, seconds = 86_400) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, iat: now, exp: now + seconds, jti: randomUUID() })}`;
  return `${text}.${createHmac('sha256', AUTH_JWT_SECRET).update(text).digest('base64url')}`;
}

/** A request in the host's name, or for a user. Repeated while the service is not available, as the API requires. */
async function host(method, path, body, actingUser) {
  const headers = { 'X-Internal-Secret': INTERNAL_API_SECRET, 'Content-Type': 'application/json', ...(actingUser && { 'X-Acting-User': actingUser }) };
  const send = () => fetch(BASE_URL + path, { method, headers, body: body && JSON.stringify(body) });
  let response = await send();
  for (let tries = 0; response.status === 503 && tries < 5; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    response = await send();
  }
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}

/** Two new users and a group of both. */
async function newGroup() {
  const users = ['a', 'b'].map((name) => `${name}-${randomUUID().slice(0, 13)}`);
  await host('POST', '/api/users/sync/batch', { users: users.map((id) => ({ externalUserId: id, name: id })) });
  const { id } = await host('POST', '/api/conversations', { type: 'group', participantIds: users }, users[0]);
  return { users, id };
}

const history = async ({ users, id }) => (await host('GET', `/api/conversations/${id}/messages?limit=100`, undefined, users[0])).messages.reverse();

const address = (path, parameters) => `http://127.0.0.1:${site.port}${path}?${new URLSearchParams(parameters)}`;

/** A tab with the client of the first member. */
async function openTab(context, { users, id }) {
  const page = await context.newPage();
  await page.goto(address('/page.html', { service: BASE_URL, socket: proxy.url, conversation: id, token: makeToken(users[0]) }));
  return page;
}

async function until(what, condition, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('the package installs into an empty Vite project, and a chat works in 15 lines', async () => {
  // A copy, because packing builds the client, and other tests read its files at the same time.
  const source = `${folder}/client`;
  cpSync(client, source, { recursive: true, filter: (path) => !/\/(node_modules|dist)$/.test(path) });
  symlinkSync(`${client}node_modules`, `${source}/node_modules`);
  const printed = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', folder], { cwd: source, encoding: 'utf8' });
  const [packed] = JSON.parse(printed.slice(printed.indexOf('['))); // after the output of the build
  const names = packed.files.map(({ path }) => path).sort();
  assert.ok(names.includes('dist/index.js') && names.includes('dist/index.cjs') && names.includes('dist/types/index.d.ts'), names.join(' '));
  assert.ok(!names.some((name) => /test|src\//.test(name)), `only what applications need: ${names.join(' ')}`);

  const project = `${folder}/vite`;
  cpSync(`${here}app`, project, { recursive: true });
  assert.ok(readFileSync(`${project}/main.js`, 'utf8').trim().split('\n').length <= 15);
  writeFileSync(`${project}/package.json`, '{ "private": true, "type": "module" }');
  execFileSync('npm', ['install', '--offline', '--silent', '--no-audit', '--no-fund', `${folder}/${packed.filename}`], { cwd: project });
  assert.deepEqual(readdirSync(`${project}/node_modules`).filter((name) => !name.startsWith('.')), ['chat-service-client'], 'no dependencies');
  const required = 'const { ChatClient } = require("chat-service-client"); import("chat-service-client").then((m) => console.log(typeof ChatClient, typeof m.ChatClient))';
  assert.equal(execFileSync(process.execPath, ['--input-type=commonjs', '-e', required], { cwd: project, encoding: 'utf8' }).trim(), 'function function');
  execFileSync(process.execPath, [`${here}node_modules/vite/bin/vite.js`, 'build', '--target', 'esnext', '--logLevel', 'error'], { cwd: project, stdio: 'inherit' });

  const group = await newGroup();
  const addresses = group.users.map((user) => address('/', { service: BASE_URL, conversation: group.id, token: makeToken(user) }));
  // Not execFileSync: this process serves the page.
  await promisify(execFile)(process.execPath, [`${here}two-pages.mjs`, ...addresses]);
});

test('ten messages of two tabs, written offline and across a reload, are stored once and in order', async () => {
  const group = await newGroup();
  const context = await browser.newContext();
  const tabs = [await openTab(context, group), await openTab(context, group)];
  for (const tab of tabs) await tab.waitForFunction('globalThis.isOpen && chat.state.status === "connected"');
  proxy.isClosed = true;
  proxy.cut();
  for (const tab of tabs) await tab.waitForFunction('chat.state.status !== "connected"');
  for (let n = 1; n <= 10; n++) {
    await tabs[n % 2].evaluate((text) => void chat.send(conversation, text).catch(() => undefined), `${n}`);
    await until('both tabs know of it', async () => (await Promise.all(tabs.map((tab) => tab.evaluate('chat.conversation(conversation).pending.length')))).every((count) => count === n));
  }
  await tabs[0].reload();
  await tabs[0].waitForFunction('chat.conversation(conversation).pending.length === 10');
  proxy.isClosed = false;
  const eleventh = tabs[1].evaluate('chat.send(conversation, "11").then(({ content }) => content)');
  assert.equal(await eleventh, '11');
  assert.deepEqual((await history(group)).map(({ content }) => content), Array.from({ length: 11 }, (_, n) => `${n + 1}`));
  for (const tab of tabs) {
    await tab.waitForFunction('chat.conversation(conversation).pending.length === 0 && chat.conversation(conversation).messages.length === 11');
  }
  await context.close();
});

test('when the sending tab closes, another one goes on', async () => {
  const group = await newGroup();
  const context = await browser.newContext();
  const tabs = [await openTab(context, group), await openTab(context, group)];
  for (const tab of tabs) await tab.waitForFunction('globalThis.isOpen && chat.state.status === "connected"');
  await tabs[0].evaluate('for (let n = 1; n <= 40; n++) void chat.send(conversation, `${n}`).catch(() => undefined)');
  await until('the first ones are stored', async () => (await history(group)).length > 3);
  await tabs[0].close();
  await until('all are stored', async () => (await history(group)).length >= 40, 30_000);
  assert.deepEqual((await history(group)).map(({ content }) => content), Array.from({ length: 40 }, (_, n) => `${n + 1}`));
  await context.close();
});

test('a tab that is hidden for 15 minutes, with timers that come a minute late, keeps its connection and misses nothing', async () => {
  const group = await newGroup();
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.clock.install();
  await tab.goto(address('/page.html', { service: BASE_URL, socket: proxy.url, conversation: group.id, token: makeToken(group.users[0]) }));
  await tab.waitForFunction('globalThis.isOpen && chat.state.status === "connected"');
  const setVisibility = (value) => tab.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, value);
  await setVisibility('hidden');
  const opened = proxy.opened;
  for (let minute = 1; minute <= 15; minute++) {
    if (minute % 3 !== 0) await host('POST', `/api/conversations/${group.id}/messages`, { content: `${minute}` }, group.users[1]);
    // Timers that fell due in this minute run once, at its end, as in a hidden tab.
    await tab.clock.fastForward(60_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await tab.waitForFunction('chat.conversation(conversation).messages.length === 10');
  assert.equal(proxy.opened, opened, 'no reconnect');
  assert.deepEqual(await tab.evaluate('states.slice(states.indexOf("connected") + 1)'), []);

  // The connection dies while the tab is hidden: it is replaced within 5 s after the tab is visible again.
  proxy.cut();
  await setVisibility('visible');
  await tab.clock.runFor(5_000);
  await until('a new connection', async () => (await tab.evaluate('chat.state.status')) === 'connected' && proxy.opened > opened);
  await host('POST', `/api/conversations/${group.id}/messages`, { content: '16' }, group.users[1]);
  await tab.waitForFunction('chat.conversation(conversation).messages.length === 11');
  await context.close();
});

test('Swagger UI begins with chat and ends with administration, is collapsed, and keeps the authorisation', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (entry) => entry.type() === 'error' && problems.push(entry.text()));
  await page.goto(`${BASE_URL}/api/docs`);
  const sections = page.locator('[data-tag]');
  await sections.first().waitFor();
  const tags = await sections.evaluateAll((found) => found.map((section) => section.getAttribute('data-tag')));
  assert.equal(tags[0], 'Conversations');
  assert.ok(tags.at(-1).startsWith('Admin/'), tags.join(', '));
  assert.equal(await page.locator('.opblock').count(), 0, 'no operation is open');
  assert.match(await page.locator('link[rel=icon]').getAttribute('href'), /^data:image\/svg/);

  const token = makeToken('alice');
  await page.locator('button.authorize').first().click();
  await page.locator('.auth-container input').first().fill(token);
  await page.locator('.auth-btn-wrapper button.authorize').first().click();
  await page.reload();
  await page.locator('button.authorize.locked').waitFor();
  await sections.filter({ hasText: /^Users/ }).first().click();
  const me = page.locator('.opblock-get', { hasText: '/api/users/me' }).first();
  await me.click();
  await me.getByRole('button', { name: 'Try it out' }).click();
  const answered = page.waitForResponse((response) => response.url().endsWith('/api/users/me'));
  await me.getByRole('button', { name: 'Execute' }).click();
  assert.equal((await (await answered).json()).externalUserId, 'alice');
  assert.deepEqual(problems, []);
  await context.close();
});

const HOUR = 3_600_000;
const LIFE_SECONDS = 6;

test('a wrong device clock causes no refresh storm and no sign-out, and each message is shown once', async () => {
  const clocks = { 'an hour fast': [HOUR, 0], 'an hour slow': [-HOUR, 0], 'three days slow': [-72 * HOUR, 0], 'right, and then jumps': [0, 5 * HOUR] };
  await Promise.all(Object.entries(clocks).map(([name, [offset, jump]]) => withClock(name, offset, jump)));
});

async function withClock(name, offset, jump) {
  const group = await newGroup();
  const context = await browser.newContext();
  await context.addInitScript((ms) => {
    const Real = Date;
    globalThis.clockOffset = ms;
    globalThis.Date = class extends Real {
      constructor(...given) {
        super(...(given.length ? given : [Real.now() + globalThis.clockOffset]));
      }
      static now() {
        return Real.now() + globalThis.clockOffset;
      }
    };
  }, offset);
  const tab = await context.newPage();
  let calls = 0;
  await tab.exposeFunction('freshToken', () => ((calls += 1), makeToken(group.users[0], LIFE_SECONDS)));
  const began = Date.now();
  await tab.goto(address('/page.html', { service: BASE_URL, socket: proxy.url, conversation: group.id }));
  await tab.waitForFunction('globalThis.isOpen && chat.state.status === "connected"');
  await host('POST', `/api/conversations/${group.id}/messages`, { content: 'first' }, group.users[1]);
  await tab.waitForFunction('chat.conversation(conversation).messages.length === 1');
  await tab.evaluate((ms) => void (globalThis.clockOffset += ms), jump);
  const shown = await tab.evaluate(`(async () => {
    const lists = [];
    const note = () => {
      const { messages, pending } = chat.conversation(conversation);
      lists.push([...messages.map(({ content }) => content), ...pending.map(({ item }) => item.body.content)].join(','));
    };
    chat.subscribe(conversation, note);
    await chat.send(conversation, 'second');
    await new Promise((resolve) => setTimeout(resolve, ${2 * LIFE_SECONDS * 1000}));
    return lists;
  })()`);
  assert.ok(shown.length > 0 && shown.every((list) => list === 'first,second'), `${name}: ${shown.join(' | ')}`);
  // A token is renewed when four fifths of its life are over.
  const lives = Math.ceil((Date.now() - began) / (LIFE_SECONDS * 800));
  assert.ok(calls >= 2 && calls <= 1 + lives, `${name}: ${calls} calls of the token provider in ${lives} lives`);
  assert.ok(!(await tab.evaluate('states')).includes('stopped'));
  await context.close();
}
