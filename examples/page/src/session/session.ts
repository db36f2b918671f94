/** A signed-in user of this tab. Two tabs can have two users, which is how one person tries a chat. */
export interface Session {
  userId: string;
  token: string;
}

/** A user of the development servers, with a token that `./dev up` issued. */
export interface DevelopmentUser extends Session {
  name: string;
}

const KEY = 'chat-session';

export function loadSession(): Session | undefined {
  try {
    const text = sessionStorage.getItem(KEY);
    return text ? (JSON.parse(text) as Session) : undefined;
  } catch {
    return undefined;
  }
}

export function saveSession({ userId, token }: Session): void {
  sessionStorage.setItem(KEY, JSON.stringify({ userId, token }));
}

export function clearSession(): void {
  sessionStorage.removeItem(KEY);
}

/**
 * The users of the development servers. `./dev up` writes this file, and nginx serves it on loopback only. In any other place there is no such
 * file, and the list is empty.
 */
export async function developmentUsers(): Promise<DevelopmentUser[]> {
  const response = await fetch('/dev-users.json', { cache: 'no-store' });
  if (!response.ok || !response.headers.get('Content-Type')?.includes('json')) return [];
  const { users } = (await response.json()) as { users: DevelopmentUser[] };
  return users;
}

let given = new Set<string>();

/** The token provider of the client. A product asks its own backend here, with the cookie of its own login. */
export async function renewToken(session: Session): Promise<string> {
  const isFirst = !given.has(session.token);
  given.add(session.token);
  if (isFirst) return session.token;
  const fresh = (await developmentUsers()).find(({ userId }) => userId === session.userId);
  if (fresh) saveSession(fresh);
  return fresh?.token ?? session.token;
}
