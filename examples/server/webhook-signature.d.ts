export class WebhookError extends Error {}

export interface WebhookEvent {
  id: string;
  type: string;
  timestamp: string;
  conversationId?: string;
  seq?: number;
  actorId?: string;
  data: any;
}

export function verifyWebhook(
  secret: string,
  rawBody: Buffer | string,
  headers: Record<string, string | string[] | undefined>,
  now?: number,
): WebhookEvent;
