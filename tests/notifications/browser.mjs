// A push service and its browsers, for the tests: it enforces RFC 8030 and RFC 8292 as strictly as the strictest public service, and decrypts every push
// as a browser does (RFC 8291, with the package http_ece).
//
// POST /browsers { name }                      makes a browser and returns its subscription
// POST /answers { name, status, headers, delayMs, times }  sets how the push service answers for it; `times` requests, then 201 again (0: always)
// GET  /received?name=                          returns what arrived, in order
// POST /push/<name>                             a push

import { createECDH, createPublicKey, randomBytes, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const ece = createRequire(process.argv[2] + '/')('http_ece');
const browsers = new Map();
let origin = '';

const read = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
};

function makeBrowser(name) {
  const keys = createECDH('prime256v1');
  keys.generateKeys();
  const auth = randomBytes(16);
  browsers.set(name, { keys, auth, answer: { status: 201 }, received: [] });
  return {
    endpoint: `${origin}/push/${name}`,
    keys: { p256dh: keys.getPublicKey('base64url'), auth: auth.toString('base64url') },
  };
}

// Returns the faults of the signature.
function checkVapid(header) {
  const match = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)$/.exec(header ?? '');
  if (!match) return { problems: ['Authorization has another form'] };
  const [, head, body, signature, key] = match;
  const point = Buffer.from(key, 'base64url');
  const problems = [];
  const jwk = {
    kty: 'EC', crv: 'P-256',
    x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33, 65).toString('base64url'),
  };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  const isSigned = verify(
    'sha256', Buffer.from(`${head}.${body}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'),
  );
  if (point.length !== 65 || !isSigned) problems.push('the signature is wrong');
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  const { alg } = JSON.parse(Buffer.from(head, 'base64url'));
  const now = Date.now() / 1000;
  if (alg !== 'ES256') problems.push(`alg is ${alg}`);
  if (claims.aud !== origin) problems.push(`aud is ${claims.aud}`);
  if (!(claims.exp > now && claims.exp <= now + 86400)) problems.push('exp is not within 24 hours');
  if (!/^(mailto:[^@\s]+@[\w-]+\.[\w.-]+|https:\/\/[\w-]+\.[\w.-]+(\/.*)?)$/.test(claims.sub ?? '')) {
    problems.push(`sub is ${claims.sub}`);
  }
  return { key, problems };
}

async function push(name, request, response) {
  const browser = browsers.get(name);
  const body = await read(request);
  if (!browser) return response.writeHead(404).end();
  const { key, problems } = checkVapid(request.headers.authorization);
  const { ttl, topic, urgency } = request.headers;
  if (!/^[1-9]\d*$/.test(ttl ?? '')) problems.push(`TTL is ${ttl}`);
  if (!/^[A-Za-z0-9]{1,32}$/.test(topic ?? '')) problems.push(`Topic is ${topic}`);
  if (!['very-low', 'low', 'normal', 'high'].includes(urgency)) problems.push(`Urgency is ${urgency}`);
  if (request.headers['content-encoding'] !== 'aes128gcm') problems.push('the encoding is another one');
  if (body.length > 4096) problems.push(`the body has ${body.length} bytes`);
  let payload = null;
  try {
    const plain = ece.decrypt(body, {
      version: 'aes128gcm', privateKey: browser.keys, authSecret: browser.auth.toString('base64url'),
    });
    payload = JSON.parse(plain);
  } catch (error) {
    problems.push(`it cannot be decrypted: ${error.message}`);
  }
  const { answer } = browser;
  const status = problems.length ? 400 : answer.status;
  browser.received.push({ at: Date.now(), status, key, ttl, topic, urgency, bytes: body.length, payload, problems });
  if (answer.times > 0 && --answer.times === 0) browser.answer = { status: 201 };
  setTimeout(() => response.writeHead(status, answer.headers).end('the answer of the push service'), answer.delayMs ?? 0);
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, origin);
  const json = (value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  if (url.pathname.startsWith('/push/')) return push(url.pathname.slice(6), request, response);
  if (url.pathname === '/received') return json(browsers.get(url.searchParams.get('name'))?.received ?? []);
  const body = JSON.parse(await read(request));
  if (url.pathname === '/browsers') return json(makeBrowser(body.name));
  browsers.get(body.name).answer = body;
  return json({});
});
server.listen(0, '127.0.0.1', () => {
  origin = `http://127.0.0.1:${server.address().port}`;
  console.log(origin);
});
