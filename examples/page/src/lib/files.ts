import { Attachments, type ChatClient } from 'chat-service-client';

const known = new WeakMap<ChatClient, Attachments>();

/** The files of a client's user. One object for each client, so that links are shared. */
export function filesOf(client: ChatClient): Attachments {
  const files = known.get(client) ?? new Attachments(client);
  known.set(client, files);
  return files;
}

export function formatSize(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
