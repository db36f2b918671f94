// Keeps the users of the Chat Service as they are in the host's own database: at registration, at a change of profile, and all at once.
//
//   CHAT_URL=http://127.0.0.1:8080 INTERNAL_API_SECRET=… node user-sync.js users.json
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const BATCH = 1_000; // the most users of one request
const TRIES = 5;

/**
 * @param {{ url: string, secret: string }} options the address of the service and its INTERNAL_API_SECRET; never give the secret to a browser
 */
export function createUserSync({ url, secret }) {
  /** A request that is repeated while the service is away or asks to wait. All of these may be repeated: the last write wins. */
  async function call(method, path, body) {
    for (let attempt = 1; ; attempt++) {
      let response;
      try {
        response = await fetch(new URL(path, url), {
          method,
          headers: { 'X-Internal-Secret': secret, 'Content-Type': 'application/json' },
          body: body === undefined ? undefined : JSON.stringify(body),
          signal: AbortSignal.timeout(10_000),
        });
      } catch (error) {
        if (attempt === TRIES) throw error;
      }
      if (response?.ok) return response.status === 204 ? undefined : response.json();
      const isTransient = !response || response.status === 429 || response.status >= 500;
      if (!isTransient || attempt === TRIES) {
        const { message = '', details = [] } = (await response?.json().catch(() => ({}))) ?? {};
        throw Object.assign(new Error(`${method} ${path}: ${response?.status} ${message}`), { status: response?.status, details });
      }
      const seconds = Number(response?.headers.get('Retry-After')) || 2 ** attempt / 4;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }

  return {
    /** Somebody registered, or changed the profile: the same call. The service clears the fields that are left out. */
    sync: (user) => call('POST', '/api/users/sync', toChatUser(user)),

    /** Everybody, for the first start and for repairs. Gives the users that were refused, each with the reason. */
    async syncAll(users) {
      const failed = [];
      for (let from = 0; from < users.length; from += BATCH) {
        const batch = users.slice(from, from + BATCH);
        const { results } = await call('POST', '/api/users/sync/batch', { users: batch.map(toChatUser) });
        results.forEach(({ status, error }, index) => {
          if (status === 'failed') failed.push({ user: batch[index], details: error.details });
        });
      }
      return failed;
    },

    /** Somebody logged out everywhere, or lost the account's password: ends their sockets and refuses the tokens issued before. */
    disconnect: (id) => call('POST', `/api/users/${encodeURIComponent(id)}/disconnect`),

    /** Somebody deleted the account. `messages` says what becomes of what they wrote: `erase` or `anonymise`. */
    remove: (id, messages = 'anonymise') => call('DELETE', `/api/users/${encodeURIComponent(id)}?messages=${messages}`),
  };
}

/** The host's own record of a user as the Chat Service takes it. Change this to your fields. */
function toChatUser({ id, name, avatarUrl, email, roles, metadata }) {
  return { externalUserId: String(id), name, avatarUrl, email, roles, metadata };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { CHAT_URL, INTERNAL_API_SECRET } = process.env;
  const [file] = process.argv.slice(2);
  if (!CHAT_URL || !INTERNAL_API_SECRET || !file) {
    console.error('Usage: CHAT_URL=… INTERNAL_API_SECRET=… node user-sync.js users.json');
    process.exit(78);
  }
  const users = JSON.parse(await readFile(file, 'utf8'));
  const failed = await createUserSync({ url: CHAT_URL, secret: INTERNAL_API_SECRET }).syncAll(users);
  console.log(`${users.length - failed.length} of ${users.length} users synced`);
  for (const { user, details } of failed) console.error(`${user.id}: ${details.map(({ field, message }) => `${field} ${message}`).join('; ')}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
