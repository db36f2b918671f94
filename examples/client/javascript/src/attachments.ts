import type { ChatClient } from './client';
import { ChatError } from './errors';
import type { components } from './generated/rest';

export type AttachmentFile = components['schemas']['AttachmentFile'];
export type AttachmentLink = components['schemas']['AttachmentLink'];
type Upload = components['schemas']['AttachmentUpload'];

export interface UploadOptions {
  /** The name of the file. Default: that of a `File`. */
  name?: string;
  /** Called after each stored piece, with the number of stored bytes and the size of the file. */
  onProgress?(stored: number, size: number): void;
  /** Ends the upload; the service then forgets it. */
  signal?: AbortSignal;
}

const PATH = '/api/attachments';
/** How often in a row an upload may make no progress before it fails. Each attempt repeats its request for about half a minute. */
const MAX_STALLS = 5;
/** A link is asked for again this long before it ends, and after a minute in any case: the clock of this machine may be wrong. */
const LINK_MARGIN_MS = 10_000;
const MAX_LINK_AGE_MS = 60_000;
const MAX_LINKS = 500;

/**
 * Files of users (the service's plugin `attachments`): uploads in pieces that continue after a break, and links for those who read a message with the
 * file. It is no part of the client itself, so that a page without files does not load it.
 */
export class Attachments {
  private readonly links = new Map<string, { link: Promise<AttachmentLink>; endsAt: number }>();

  constructor(private readonly client: ChatClient) {}

  /**
   * Uploads a file. Send a message with `attachments: [{ url: file.url }]` afterwards.
   * Fails with the code of the service if the file is too large, of a type that is not accepted, or beyond the user's quota.
   */
  async upload(file: Blob, options: UploadOptions = {}): Promise<AttachmentFile> {
    const { signal, onProgress } = options;
    const name = options.name ?? (file as Partial<File>).name ?? 'file';
    const body = { name, size: file.size, ...(file.type && { mimeType: file.type }) };
    signal?.throwIfAborted();
    // An upload that nobody knows of is removed by the service, so a repetition is harmless.
    const begun = await this.client.call<Upload>(`${PATH}/uploads`, { method: 'POST', body, isRepeatable: true });
    const path = `${PATH}/uploads/${begun.id}`;
    try {
      let { offset } = begun;
      for (let stalls = 0; offset < file.size; ) {
        signal?.throwIfAborted();
        const next = await this.sendPiece(path, file, offset, begun.maxPieceSize);
        stalls = next > offset ? 0 : stalls + 1;
        if (stalls >= MAX_STALLS) throw new ChatError('NETWORK', 'The file could not be uploaded.');
        offset = next;
        onProgress?.(offset, file.size);
      }
      signal?.throwIfAborted();
      return await this.client.call<AttachmentFile>(`${path}/complete`, { method: 'POST', isRepeatable: true });
    } catch (error) {
      if (signal?.aborted) void this.client.call(path, { method: 'DELETE' }).catch(() => undefined);
      throw error;
    }
  }

  /** Sends the piece at `offset`. Returns the offset of the next one, which the service knows best. */
  private async sendPiece(path: string, file: Blob, offset: number, size: number): Promise<number> {
    const piece = file.slice(offset, offset + size, 'application/octet-stream');
    try {
      return (await this.client.call<Upload>(path, { method: 'PUT', query: { offset }, body: piece })).offset;
    } catch (error) {
      // After a broken connection the piece may be stored already: then its repetition is refused.
      const isUnsure = error instanceof ChatError && ['CONFLICT', 'NETWORK', 'UNAVAILABLE'].includes(error.code);
      if (!isUnsure) throw error;
      return (await this.client.call<Upload>(path)).offset;
    }
  }

  /**
   * Returns addresses of a file and its thumbnail that work without a token until `expiresAt`. Repeated calls share a link until shortly before its end.
   * `url` is the URL by which a message carries the file; with the id of that message a new file is found at once.
   */
  link(url: string, messageId?: string): Promise<AttachmentLink> {
    const known = this.links.get(url);
    if (known && known.endsAt > Date.now()) return known.link;
    const link = this.readLink(url, messageId);
    const entry = { link, endsAt: Infinity };
    this.links.delete(url);
    this.links.set(url, entry);
    const [oldest] = this.links.keys();
    if (this.links.size > MAX_LINKS && oldest) this.links.delete(oldest);
    link.then(
      ({ expiresAt }) => (entry.endsAt = Math.min(Date.parse(expiresAt) - LINK_MARGIN_MS, Date.now() + MAX_LINK_AGE_MS)),
      () => this.links.delete(url),
    );
    return link;
  }

  private async readLink(url: string, messageId?: string): Promise<AttachmentLink> {
    if (!isStored(url)) throw new ChatError('NOT_FOUND', 'The URL is not one of a stored file.');
    const link = await this.client.call<AttachmentLink>(`${url}/link`, { query: { messageId } });
    const absolute = (path: string): string => this.client.baseUrl + path;
    return { ...link, url: absolute(link.url), ...(link.thumbnailUrl && { thumbnailUrl: absolute(link.thumbnailUrl) }) };
  }
}

/** Whether an attachment's URL names a file of the service; others lead to storage of the host. */
export function isStored(url: string): boolean {
  return /^\/api\/attachments\/att_[a-z0-9]+$/.test(url);
}
