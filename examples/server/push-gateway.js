// A push gateway with Express: takes pushes of the Chat Service and sends them by FCM (HTTP v1) and APNs (HTTP/2).
//
//   PUSH_GATEWAY_SECRET=… FCM_PROJECT=my-project FCM_ACCESS_TOKEN=… PORT=9200 node push-gateway.js
//
// With APNs: APNS_TOPIC (the app's bundle id) and APNS_TOKEN (a provider token). Both kinds of tokens expire within an hour: replace `process.env` below
// with a call of your library (google-auth-library, or a JWT signed with your .p8 key).
import express from 'express';
import http2 from 'node:http2';
import { pathToFileURL } from 'node:url';
import { verifyWebhook, WebhookError } from './webhook-signature.js';

/** The text that the system shows, if the app does not make its own from the data. */
function shown(payload) {
  if (payload.type === 'notification') return { title: payload.title ?? payload.kind, body: payload.body ?? '' };
  return { title: payload.conversationName ?? payload.senderName ?? payload.senderId ?? '', body: payload.body };
}

/** Sends by FCM. Returns the status of the answer, and its Retry-After. */
async function sendByFcm({ token, payload, ttlSeconds, urgency, collapseKey }, env = process.env) {
  const base = env.FCM_URL ?? 'https://fcm.googleapis.com';
  const message = {
    token,
    notification: shown(payload),
    // FCM takes texts only.
    data: { chat: JSON.stringify(payload) },
    android: { ttl: `${ttlSeconds}s`, collapse_key: collapseKey, priority: urgency === 'high' ? 'high' : 'normal' },
  };
  const response = await fetch(`${base}/v1/projects/${env.FCM_PROJECT}/messages:send`, {
    method: 'POST',
    headers: { authorization: `Bearer ${env.FCM_ACCESS_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message }),
    signal: AbortSignal.timeout(8000),
  });
  return { status: response.status, retryAfter: response.headers.get('retry-after') };
}

/** Sends by APNs, over one connection per push; a product keeps it open. */
function sendByApns({ token, payload, ttlSeconds, urgency, collapseKey }, env = process.env) {
  return new Promise((resolve, reject) => {
    const client = http2.connect(env.APNS_URL ?? 'https://api.push.apple.com');
    client.on('error', reject);
    const request = client.request({
      ':method': 'POST',
      ':path': `/3/device/${encodeURIComponent(token)}`,
      authorization: `bearer ${env.APNS_TOKEN}`,
      'apns-topic': env.APNS_TOPIC ?? '',
      'apns-push-type': 'alert',
      'apns-priority': urgency === 'high' ? '10' : '5',
      'apns-expiration': String(Math.floor(Date.now() / 1000) + ttlSeconds),
      'apns-collapse-id': collapseKey,
    });
    request.setTimeout(8000, () => request.close());
    request.on('response', (headers) => {
      resolve({ status: headers[':status'], retryAfter: headers['retry-after'] });
      request.close();
      client.close();
    });
    request.on('error', reject);
    const badge = payload.unreadCount === undefined ? {} : { badge: payload.unreadCount };
    request.end(JSON.stringify({ aps: { alert: shown(payload), ...badge, 'mutable-content': 1 }, chat: payload }));
  });
}

export function createApp({ secret, send = { fcm: sendByFcm, apns: sendByApns } }) {
  const app = express();
  app.disable('x-powered-by');
  app.post('/push', express.raw({ type: 'application/json', limit: '64kb' }), async (request, response) => {
    let push;
    try {
      push = verifyWebhook(secret, request.body, request.headers);
    } catch (error) {
      if (!(error instanceof WebhookError)) throw error;
      return response.status(401).json({ error: error.message });
    }
    try {
      const { status, retryAfter } = await send[push.platform](push);
      if (retryAfter) response.set('Retry-After', retryAfter);
      // 404 and 410 remove the device, 429 and 503 make the service wait, other failures are repeated.
      response.sendStatus(status);
    } catch (error) {
      console.error(`push ${push.id} failed; it will come again`, error.message);
      response.sendStatus(502);
    }
  });
  return app;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const secret = process.env.PUSH_GATEWAY_SECRET;
  if (!secret) throw new Error('Set PUSH_GATEWAY_SECRET.');
  const port = Number(process.env.PORT ?? 9200);
  createApp({ secret }).listen(port, '127.0.0.1', () => console.log(`push gateway at http://127.0.0.1:${port}/push`));
}
