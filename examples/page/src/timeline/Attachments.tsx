import type { Message } from 'chat-service-client';

/** Files are links of the host. Only web addresses become links. */
export function Attachments({ attachments }: { attachments: Message['attachments'] }) {
  const shown = attachments.filter(({ url }) => /^https?:/i.test(url));
  if (shown.length === 0) return null;
  return (
    <ul className="attachments">
      {shown.map(({ url, name, size }) => (
        <li key={url}>
          <a href={url} target="_blank" rel="noopener noreferrer">
            <bdi>{name ?? url}</bdi>
            {size !== undefined && <span className="muted"> {formatSize(size)}</span>}
          </a>
        </li>
      ))}
    </ul>
  );
}

function formatSize(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
