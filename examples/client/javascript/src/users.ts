import type { components } from './generated/rest';
import type { Rest } from './http';

export type User = components['schemas']['User'];

/** Profiles that are kept; the oldest are forgotten first. */
const MAX_KNOWN = 5_000;
/** Profiles that are read at the same time. */
const MAX_READS = 4;

/**
 * Public profiles by id, each read once. Profiles that another answer contains (members, search results) are added with `add`, which saves the
 * request.
 */
export class Users {
  private readonly known = new Map<string, User>();
  private readonly wanted = new Set<string>();
  /** Ids that are being read, and those that could not be read. */
  private readonly asked = new Set<string>();
  private running = 0;

  constructor(
    private readonly rest: Rest,
    private readonly signal: AbortSignal,
    private readonly changed: () => void,
  ) {}

  /** The profile, if it is known; otherwise it is read, and `changed` is called when it is there. */
  get(id: string): User | undefined {
    const user = this.known.get(id);
    if (!user && id !== 'system' && !this.asked.has(id)) {
      this.asked.add(id);
      this.wanted.add(id);
      queueMicrotask(() => this.next());
    }
    return user;
  }

  add(users: readonly User[]): void {
    if (users.length === 0) return;
    for (const user of users) {
      this.known.delete(user.externalUserId);
      this.known.set(user.externalUserId, user);
      this.wanted.delete(user.externalUserId);
    }
    for (const id of this.known.keys()) {
      if (this.known.size <= MAX_KNOWN) break;
      this.known.delete(id);
      this.asked.delete(id);
    }
    this.changed();
  }

  /** Asks again for profiles that could not be read while there was no connection. */
  retry(): void {
    for (const id of this.asked) if (!this.known.has(id) && !this.wanted.has(id)) this.asked.delete(id);
    this.changed();
  }

  private next(): void {
    for (const id of this.wanted) {
      if (this.running >= MAX_READS || this.signal.aborted) return;
      this.wanted.delete(id);
      this.running += 1;
      void this.rest
        .call<User>(`/api/users/${encodeURIComponent(id)}`)
        .then((user) => this.add([user]))
        .catch(() => undefined) // a deleted user has no profile; its id stays
        .finally(() => {
          this.running -= 1;
          this.next();
        });
    }
  }
}
