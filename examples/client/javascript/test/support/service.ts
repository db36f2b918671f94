// The running service that the tests talk to, and tokens of its users. `./dev test` and `./dev env` set the variables.
import { createHmac, randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { ChatClient, type ChatClientOptions, memoryStorage, type WebSocketFactory } from '../../src/index';

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set. Start the service with ./dev up and run: eval "$(./dev env)"`);
  return value;
};

export const BASE_URL = need('BASE_URL');
export const SOCKET_URL = need('WS_URL');
const JWT_SECRET = need('AUTH_JWT_SECRET');
const INTERNAL_SECRET = need('INTERNAL_API_SECRET');

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export function makeToken(user: string, lifeSeconds = 3600): string {
  const now = Math.floor(Date.now() / 1000);
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, iat: now, exp: now + lifeSeconds, jti: randomUUID() })}`;
  return `${body}.${createHmac('sha256', JWT_SECRET).update(body).digest('base64url')}`;
}

/** A request in the host's name, or for a user. Repeated while the service is not available, as the API requires. */
export async function host<T = unknown>(method: string, path: string, body?: unknown, actingUser?: string): Promise<T> {
  const headers: Record<string, string> = { 'X-Internal-Secret': INTERNAL_SECRET, 'Content-Type': 'application/json' };
  if (actingUser) headers['X-Acting-User'] = encodeURIComponent(actingUser);
  const send = () => fetch(BASE_URL + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  let response = await send();
  for (let tries = 0; response.status === 503 && tries < 5; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    response = await send();
  }
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Users whom no other test knows. */
export async function newUsers(count: number): Promise<string[]> {
  const users = Array.from({ length: count }, () => `u-${randomUUID().slice(0, 13)}`);
  await host('POST', '/api/users/sync/batch', { users: users.map((id) => ({ externalUserId: id, name: id })) });
  return users;
}

/** A group of users; the first one owns it. */
export async function newGroup(users: string[]): Promise<string> {
  const { id } = await host<{ id: string }>('POST', '/api/conversations', { type: 'group', participantIds: users }, users[0]);
  return id;
}

export const webSocket: WebSocketFactory = (url, protocols) => new WebSocket(url, protocols) as unknown as globalThis.WebSocket;

const clients: ChatClient[] = [];

export function newClient(user: string, options: Partial<ChatClientOptions> = {}): ChatClient {
  const client = new ChatClient({ url: BASE_URL, socketUrl: SOCKET_URL, getToken: () => makeToken(user), storage: memoryStorage(), webSocket, ...options });
  clients.push(client);
  return client;
}

/** Leaves a client that was disconnected to the garbage collector. */
export function forget(client: ChatClient): void {
  clients.splice(clients.indexOf(client), 1);
}

/** Ends every client of a test. */
export function disconnectAll(): void {
  for (const client of clients.splice(0)) client.disconnect();
}

/** Waits for a condition; fails with `what` when it does not come. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
