import { usePresence } from 'chat-service-react';
import { GroupIcon, HashIcon } from './icons';

/** A colour that stays the same for an id. */
function hueOf(id: string): number {
  let hash = 0;
  for (const letter of id) hash = (hash * 31 + letter.codePointAt(0)!) >>> 0;
  return hash % 8;
}

function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => (word ? [...word][0] : '') ?? '');
  return letters.join('').toUpperCase();
}

interface Props {
  id: string;
  name: string;
  kind?: 'user' | 'group' | 'public';
  size?: 'small' | 'large';
}

/** Initials on a colour. Pictures of users are at addresses of the host, which the content policy would have to allow. */
export function Avatar({ id, name, kind = 'user', size }: Props) {
  return (
    // The initials are drawn by the style sheet: they are a picture, not a text that a control would have to be named by.
    <span className="avatar" data-hue={hueOf(id)} data-size={size} data-kind={kind} data-initials={kind === 'user' ? initialsOf(name) : undefined} aria-hidden="true">
      {kind === 'group' ? <GroupIcon /> : kind === 'public' ? <HashIcon /> : null}
    </span>
  );
}

/** The avatar of a user, with a dot for the presence. */
export function UserAvatar(props: Props) {
  const status = usePresence(props.id)?.status ?? 'offline';
  return (
    <span className="avatar-frame">
      <Avatar {...props} />
      {status !== 'offline' && <span className="presence-dot" data-status={status} role="img" aria-label={status} />}
    </span>
  );
}
