// A webhook receiver with Express: verify, answer at once, work once per event.
//
//   WEBHOOK_SECRET=whsec_… PORT=9000 node webhook-handler.js
import express from 'express';
import { pathToFileURL } from 'node:url';
import { verifyWebhook, WebhookError } from './webhook-signature.js';

/** Handlers of your product, by type of event. Types without an entry are acknowledged and passed over. */
const handlers = {
  'message.created': async ({ data }) => console.log(`${data.senderId} wrote in ${data.conversationId}`),
  'participant.added': async ({ data }) => console.log(`${data.userIds.join(', ')} joined ${data.conversationId}`),
  'user.offline': async ({ data }) => console.log(`${data.userId} is offline`),
};

/**
 * Ids of the events that were taken already. An event may come more than once, under the same id. Replace this with your database: insert the id
 * under a unique index, in the transaction in which the work is done.
 */
export function memoryOfIds(most = 100_000) {
  const ids = new Set();
  return {
    /** Says whether `id` is new, and remembers it. */
    async claim(id) {
      if (ids.has(id)) return false;
      ids.add(id);
      if (ids.size > most) ids.delete(ids.values().next().value);
      return true;
    },
    /** Forgets an id whose work failed, so that the next delivery does it again. */
    async release(id) {
      ids.delete(id);
    },
  };
}

export function createApp({ secret, handle = handlers, seen = memoryOfIds() }) {
  const app = express();
  app.disable('x-powered-by');
  // The raw body, for this route alone: the signature is over the bytes.
  app.post('/webhooks/chat', express.raw({ type: 'application/json', limit: '1mb' }), async (request, response) => {
    let event;
    try {
      event = verifyWebhook(secret, request.body, request.headers);
    } catch (error) {
      if (!(error instanceof WebhookError)) throw error;
      return response.status(401).json({ error: error.message });
    }
    if (!(await seen.claim(event.id))) return response.sendStatus(204);
    try {
      // Keep it short, or put the event into a queue of your own: the answer must come within WEBHOOK_TIMEOUT_MS (5 s).
      await handle[event.type]?.(event);
    } catch (error) {
      await seen.release(event.id);
      console.error(`${event.type} ${event.id} failed; it will come again`, error);
      return response.sendStatus(500);
    }
    response.sendStatus(204);
  });
  return app;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { WEBHOOK_SECRET, PORT = '9000' } = process.env;
  if (!WEBHOOK_SECRET) {
    console.error('WEBHOOK_SECRET is not set: give the secret of the endpoint.');
    process.exit(78);
  }
  createApp({ secret: WEBHOOK_SECRET }).listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${PORT}/webhooks/chat`));
}
