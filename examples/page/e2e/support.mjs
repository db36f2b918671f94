// Shared by all tests: users of their own, pages of these users, and a network that can be cut. The environment names the running service (./dev env).
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { BASE_URL, AUTH_JWT_SECRET, INTERNAL_API_SECRET, IMAGES } = process.env;
assert.ok(BASE_URL && AUTH_JWT_SECRET && INTERNAL_API_SECRET, 'the variables of ./dev env are set');

const PROGRAMS = [process.env.CHROMIUM, '/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const BASE = BASE_URL;

export const launch = () => chromium.launch({ executablePath: PROGRAMS.find((path) => path && existsSync(path)), args: ['--no-sandbox'] });

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function makeToken(user) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, iat: now, exp: now + 86_400, jti: randomUUID() })}`;
  return `${text}.${createHmac('sha256', AUTH_JWT_SECRET).update(text).digest('base64url')}`;
}

/** A request in the host's name, or for a user. Repeated while the service is not available, as the API requires. */
export async function host(method, path, body, actingUser) {
  const headers = { 'X-Internal-Secret': INTERNAL_API_SECRET, 'Content-Type': 'application/json', ...(actingUser && { 'X-Acting-User': actingUser }) };
  for (let tries = 0; ; tries++) {
    const response = await fetch(BASE_URL + path, { method, headers, body: body && JSON.stringify(body) });
    if (response.ok) return response.status === 204 ? undefined : response.json();
    assert.ok(response.status === 503 && tries < 10, `${method} ${path}: ${response.status} ${await response.text()}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** New users with these names. */
export async function newUsers(...names) {
  const slug = (name) => name.split(' ')[0].toLowerCase().replace(/[^a-z]/g, '') || 'user';
  const users = names.map((name) => ({ id: `${slug(name)}-${randomUUID().slice(0, 8)}`, name }));
  await host('POST', '/api/users/sync/batch', { users: users.map(({ id, name }) => ({ externalUserId: id, name })) });
  return users;
}

export async function newConversation(type, members, name) {
  const participantIds = members.map(({ id }) => id);
  const { id } = await host('POST', '/api/conversations', { type, participantIds, ...(name && { name }) }, participantIds[0]);
  return id;
}

export const say = (conversation, user, content, more) =>
  host('POST', `/api/conversations/${conversation}/messages`, { content, clientMessageId: randomUUID(), ...more }, user.id);

/** All messages of a conversation, oldest first, as a member sees them. */
export async function history(conversation, user) {
  const all = [];
  for (let before, more = true; more; ) {
    const page = await host('GET', `/api/conversations/${conversation}/messages?limit=100${before ? `&before=${before}` : ''}`, undefined, user.id);
    all.push(...page.messages);
    before = page.nextCursor;
    more = page.hasMore;
  }
  return all.reverse();
}

/** A page of a user. Errors of scripts and of the content policy fail the test. */
export async function openPage(browser, user, { base = BASE_URL, hash = '', theme, direction, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options });
  await context.addInitScript(
    ([session, appearance]) => {
      sessionStorage.setItem('chat-session', session);
      if (appearance) localStorage.setItem('chat-appearance', appearance);
    },
    [JSON.stringify({ userId: user.id, token: makeToken(user.id) }), theme || direction ? JSON.stringify({ ...(theme && { theme }), ...(direction && { direction }) }) : ''],
  );
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => {
    // The browser reports a broken connection itself.
    if (message.type() === 'error' && !/ERR_|WebSocket|Failed to load resource/.test(message.text())) page.faults.push(message.text());
  });
  await page.goto(`${base}/${hash}`);
  await page.locator('.shell').waitFor();
  return page;
}

export const at = (conversation, rest = '') => `#/c/${conversation}${rest}`;
export const composer = (page) => page.getByRole('textbox', { name: 'Message', exact: true });
export const row = (page, text) => page.locator('.timeline article.message', { hasText: text });

export async function write(page, text) {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}

/** The faults that axe-core finds on the page, one text each. */
export async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ html, any }) => `${id}: ${help}: ${html.slice(0, 160)} ${any[0]?.message ?? ''}`));
}

/** A screenshot into the folder IMAGES; nothing without it. */
export async function picture(page, name) {
  if (!IMAGES) return;
  mkdirSync(IMAGES, { recursive: true });
  await page.screenshot({ path: `${IMAGES}/${name}.png` });
}

/** A way to the service that can be closed: an open connection is cut, a new one refused. */
export async function startProxy() {
  const { hostname, port } = new URL(BASE_URL);
  const open = new Set();
  const state = { isClosed: false };
  const server = createServer((socket) => {
    if (state.isClosed) return socket.destroy();
    const other = connect(Number(port), hostname);
    for (const end of [socket, other]) {
      open.add(end);
      end.on('error', () => undefined).on('close', () => (open.delete(end), socket.destroy(), other.destroy()));
    }
    socket.pipe(other).pipe(socket);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut() {
      state.isClosed = true;
      open.forEach((end) => end.destroy());
    },
    mend: () => (state.isClosed = false),
    close: () => (open.forEach((end) => end.destroy()), server.close()),
  };
}

export async function until(what, condition, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
