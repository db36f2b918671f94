import type { UserPresence } from './generated/socket';

type Listed = Omit<UserPresence, 'timestamp'> & { timestamp?: string };

/** Users that one socket may follow; more are not asked for. */
const MAX_FOLLOWED = 1_000;
const PER_REQUEST = 100;

/** Presence of users, and the users that are followed. A subscription ends with its socket, so each new one subscribes again. */
export class Followed {
  private readonly presences = new Map<string, UserPresence>();
  private readonly ids = new Set<string>();
  private waiting: Set<string> | undefined;
  private request: Promise<UserPresence[]> = Promise.resolve([]);

  constructor(private readonly subscribe: (userIds: string[]) => Promise<Listed[]>) {}

  presence(userId: string): UserPresence | undefined {
    return this.presences.get(userId);
  }

  take(presence: UserPresence): void {
    this.presences.set(presence.userId, presence);
  }

  /** Follows more users; calls of one moment share a request. */
  add(userIds: string[]): Promise<UserPresence[]> {
    if (!this.waiting) {
      const batch = new Set<string>();
      this.waiting = batch;
      this.request = Promise.resolve().then(() => {
        this.waiting = undefined;
        return this.ask([...batch]);
      });
    }
    for (const id of userIds) this.waiting.add(id);
    return this.request.then((found) => found.filter(({ userId }) => userIds.includes(userId)));
  }

  /** Subscribes again, after a new connection. */
  again(): Promise<UserPresence[]> {
    return this.ask([...this.ids]);
  }

  private async ask(userIds: string[]): Promise<UserPresence[]> {
    const all: UserPresence[] = [];
    for (const id of userIds) if (this.ids.size < MAX_FOLLOWED) this.ids.add(id);
    for (let start = 0; start < userIds.length; start += PER_REQUEST) {
      const found = (await this.subscribe(userIds.slice(start, start + PER_REQUEST))) as UserPresence[];
      for (const one of found) this.presences.set(one.userId, one);
      all.push(...found);
    }
    return all;
  }
}
