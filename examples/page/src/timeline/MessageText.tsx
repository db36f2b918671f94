import { find } from 'linkifyjs';
import { Fragment, type ReactNode } from 'react';
import { useChatClient } from 'chat-service-react';
import { directionOf } from '../lib/direction';
import { useNames } from '../people/names';

const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\u200d|\ufe0f|\s)+$/u;
const segmenter = new Intl.Segmenter();

interface Props {
  text: string;
  mentions: readonly string[];
}

/** The text of a message: paragraphs with a direction of their own, links, mentions and code. It is plain text; nothing in it is HTML. */
export function MessageText({ text, mentions }: Props) {
  const client = useChatClient();
  useNames(mentions); // renders again when a name becomes known
  const names = mentions.map((id) => (id.startsWith('@') ? id.slice(1) : (client.user(id)?.name ?? id)));
  const own = client.user(client.userId ?? '')?.name ?? client.userId;
  const isJumbo = text.length <= 40 && EMOJI_ONLY.test(text) && [...segmenter.segment(text.replace(/\s/g, ''))].length <= 3;
  return (
    <div className="text" data-jumbo={isJumbo || undefined}>
      {text.split('\n').map((line, index) => (
        <p key={index} dir={directionOf(line)}>
          {line === '' ? <br /> : withCode(line, (part) => withMentions(part, names, own))}
        </p>
      ))}
    </div>
  );
}

function withCode(line: string, rest: (part: string) => ReactNode): ReactNode {
  const parts = line.split(/`([^`]+)`/);
  return parts.map((part, index) =>
    index % 2 === 1 ? (
      <code key={index} dir="ltr">
        {part}
      </code>
    ) : (
      <Fragment key={index}>{rest(part)}</Fragment>
    ),
  );
}

function withMentions(text: string, names: readonly string[], own: string | undefined): ReactNode {
  if (names.length === 0 || !text.includes('@')) return withLinks(text);
  // The longest first: “@Ann Lee” is not “@Ann”.
  const escaped = [...names].sort((a, b) => b.length - a.length).map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return text.split(new RegExp(`(@(?:${escaped.join('|')}))`)).map((part, index) =>
    index % 2 === 1 ? (
      <bdi key={index} className="mention" data-own={part === `@${own}` || part === '@all' || part === '@here' || undefined}>
        {part}
      </bdi>
    ) : (
      <Fragment key={index}>{withLinks(part)}</Fragment>
    ),
  );
}

function withLinks(text: string): ReactNode {
  const links = find(text).filter(({ href }) => /^(https?|mailto):/.test(href));
  if (links.length === 0) return text;
  const parts: ReactNode[] = [];
  let end = 0;
  for (const { start, end: next, href, value } of links) {
    parts.push(text.slice(end, start));
    parts.push(
      <a key={start} href={href} target="_blank" rel="noopener noreferrer" dir="ltr">
        {value}
      </a>,
    );
    end = next;
  }
  parts.push(text.slice(end));
  return parts;
}
