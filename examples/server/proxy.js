// A backend that stands between its pages and the REST API: pages call `/chat/…` with the session cookie of the product, and the backend adds the user.
//
//   CHAT_URL=http://127.0.0.1:8080 AUTH_JWT_SECRET=… PORT=9100 node proxy.js
//
// It adds a token of the user, not the internal secret: so the service applies the user's own rights and rate limits, and a fault in the proxy
// gives nobody the rights of the host.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';

const TOKEN_SECONDS = 300;
/** Headers that are passed on. The others, above all credentials, stay on their side. */
const REQUEST_HEADERS = ['accept', 'content-type', 'last-event-id', 'traceparent', 'x-request-id'];
const RESPONSE_HEADERS = ['content-type', 'retry-after', 'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'x-request-id'];

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Returns a token of the user (HS256), also for the page's WebSocket. */
export function chatToken(userId, secret, seconds = TOKEN_SECONDS) {
  const now = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: userId, iat: now, exp: now + seconds })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/**
 * Returns a handler for `node:http`. In Express: `app.all('/chat/*path', handler)`, before any parser of bodies.
 *
 * @param {{ url: string, secret: string, userOf: (request: import('node:http').IncomingMessage) => string | undefined }} options address of the
 *   service, its AUTH_JWT_SECRET, and the product's own way to find the user of a request
 */
export function createProxy({ url, secret, userOf }) {
  return async (request, response) => {
    const refuse = (status, error, headers = {}) => response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify({ error }));
    const user = userOf(request);
    if (!user) return refuse(401, 'Log in first.');
    const target = new URL(request.url.replace(/^\/chat\//, '/api/'), url);
    // A path such as /chat/../health leaves /api.
    if (!target.pathname.startsWith('/api/') || target.origin !== new URL(url).origin) return refuse(404, 'There is nothing at this path.');
    if (request.method === 'POST' && target.pathname === '/api/token') return response.end(chatToken(user, secret));
    const headers = { Authorization: `Bearer ${chatToken(user, secret)}` };
    for (const name of REQUEST_HEADERS) if (request.headers[name]) headers[name] = request.headers[name];
    const hasBody = request.headers['content-length'] > 0 || 'transfer-encoding' in request.headers;
    const aborted = new AbortController();
    response.on('close', () => aborted.abort());
    let answer;
    try {
      answer = await fetch(target, { method: request.method, headers, body: hasBody ? request : undefined, duplex: 'half', redirect: 'manual', signal: aborted.signal });
    } catch {
      // The outcome is unknown: the page repeats the request, with the same clientMessageId.
      return refuse(503, 'The chat does not answer.', { 'Retry-After': '1' });
    }
    const passed = RESPONSE_HEADERS.filter((name) => answer.headers.has(name)).map((name) => [name, answer.headers.get(name)]);
    response.writeHead(answer.status, Object.fromEntries(passed));
    response.flushHeaders(); // an event stream begins before its first event
    if (!answer.body) return response.end();
    await pipeline(Readable.fromWeb(answer.body), response).catch(() => response.destroy());
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { CHAT_URL = 'http://127.0.0.1:8080', AUTH_JWT_SECRET, PORT = '9100', HOST = '127.0.0.1' } = process.env;
  if (!AUTH_JWT_SECRET) {
    console.error('AUTH_JWT_SECRET is not set: give the secret that the service checks tokens with.');
    process.exit(78);
  }
  // The example takes the user from a header. A product takes it from its session.
  const userOf = ({ headers }) => headers['x-demo-user'];
  const proxy = createProxy({ url: CHAT_URL, secret: AUTH_JWT_SECRET, userOf });
  createServer(proxy).listen(Number(PORT), HOST, () => console.log(`listening on http://${HOST}:${PORT}/chat/`));
}
