import { isStored, type Message } from 'chat-service-client';
import { useChatClient } from 'chat-service-react';
import { useEffect, useState } from 'react';
import { filesOf, formatSize } from '../lib/files';

type Attachment = Message['attachments'][number];

/** The files of a message: stored files of the service, and links of the host. Of other addresses only web addresses become links. */
export function Attachments({ message: { id, attachments } }: { message: Message }) {
  const shown = attachments.filter(({ url }) => isStored(url) || /^https?:/i.test(url));
  if (shown.length === 0) return null;
  return (
    <ul className="attachments">
      {shown.map((attachment, index) => (
        <li key={index}>{isStored(attachment.url) ? <StoredFile attachment={attachment} messageId={id} /> : <FileLink attachment={attachment} href={attachment.url} />}</li>
      ))}
    </ul>
  );
}

function StoredFile({ attachment, messageId }: { attachment: Attachment; messageId: string }) {
  const link = useLink(attachment.url, messageId);
  if (link === null) return <span className="muted">{attachment.name ?? 'File'} is not available.</span>;
  if (!attachment.thumbnailUrl || !attachment.mimeType?.startsWith('image/')) return <FileLink attachment={attachment} href={link?.url} />;
  return (
    <a href={link?.url} target="_blank" rel="noopener noreferrer" className="picture">
      {link?.thumbnailUrl && <img src={link.thumbnailUrl} alt={attachment.name ?? 'Picture'} loading="lazy" />}
    </a>
  );
}

function FileLink({ attachment: { url, name, size }, href }: { attachment: Attachment; href: string | undefined }) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      <bdi>{name ?? url}</bdi>
      {size !== undefined && <span className="muted"> {formatSize(size)}</span>}
    </a>
  );
}

/** A link to a stored file while the file is shown, renewed before it ends. Undefined until it is there, null if the user cannot read the file. */
function useLink(url: string, messageId: string): { url: string; thumbnailUrl?: string } | null | undefined {
  const client = useChatClient();
  const [link, setLink] = useState<{ url: string; thumbnailUrl?: string } | null>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const read = () =>
      filesOf(client)
        .link(url, messageId)
        .then((found) => {
          if (isOver) return;
          // The picture that is shown already needs no other address.
          setLink((known) => ({ ...found, ...(known?.thumbnailUrl && { thumbnailUrl: known.thumbnailUrl }) }));
          timer = setTimeout(read, Math.max(5_000, (Date.parse(found.expiresAt) - Date.now()) / 2));
        })
        .catch(() => !isOver && setLink(null));
    void read();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [client, url, messageId]);
  return link;
}
