// Verifies a webhook of the Chat Service (Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`). No dependencies.
import { createHmac, timingSafeEqual } from 'node:crypto';

const TOLERANCE_SECONDS = 300;

export class WebhookError extends Error {}

/**
 * Returns the event, or throws a WebhookError.
 *
 * @param {string} secret the endpoint's secret: `whsec_…`, or the text of WEBHOOK_SECRET
 * @param {Buffer | string} rawBody the bytes as they came: a parsed and printed body has another signature
 * @param {Record<string, string | string[] | undefined>} headers with lower-case names, as Node gives them
 * @returns {{ id: string, type: string, timestamp: string, conversationId?: string, seq?: number, actorId?: string, data: any }}
 */
export function verifyWebhook(secret, rawBody, headers, now = Date.now()) {
  const id = text(headers['webhook-id']);
  const timestamp = text(headers['webhook-timestamp']);
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS)) throw new WebhookError('The timestamp is not of this moment.');
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(rawBody).digest();
  // Two signatures come while the secret is being rotated: one match is enough.
  const isOurs = text(headers['webhook-signature'])
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice('v1,'.length), 'base64'))
    .some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
  if (!isOurs) throw new WebhookError('The signature is wrong.');
  return JSON.parse(rawBody.toString());
}

function text(header) {
  if (typeof header !== 'string' || header === '') throw new WebhookError('A webhook header is missing.');
  return header;
}
