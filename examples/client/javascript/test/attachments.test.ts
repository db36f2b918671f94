// Files against the running service with the plugin `attachments`, also over a network that loses answers.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { Attachments, ChatError } from '../src/index';
import { BASE_URL, disconnectAll, host, newClient, newGroup, newUsers, until } from './support/service';

after(disconnectAll);

const MIB = 1 << 20;
/** Random bytes of a file. */
const noise = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(size));
const bytesOf = async (url: string) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** A fetch whose answers to pieces get lost: the first `times` after the service has stored the piece, without an answer to the client. */
function losing(times: number): { fetch: typeof fetch; lost(): number } {
  let lost = 0;
  const lossy: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (init?.method === 'PUT' && lost < times) {
      lost += 1;
      throw new TypeError('the connection broke');
    }
    return response;
  };
  return { fetch: lossy, lost: () => lost };
}

async function pair(): Promise<{ users: [string, string]; conversation: string }> {
  const users = (await newUsers(2)) as [string, string];
  return { users, conversation: await newGroup(users) };
}

test('a file goes up in pieces with progress, and comes down for a member through a link', async () => {
  const { users, conversation } = await pair();
  const [alice, bob] = users.map((user) => newClient(user).connect()) as [ReturnType<typeof newClient>, ReturnType<typeof newClient>];
  const content = noise(2 * MIB + 77);
  const seen: number[] = [];
  const file = await new Attachments(alice).upload(new File([content], 'data.bin'), { onProgress: (stored) => seen.push(stored) });
  assert.deepEqual(seen, [MIB, 2 * MIB, content.length]);
  assert.equal(file.name, 'data.bin');
  const message = await alice.send(conversation, { content: '', attachments: [{ url: file.url }] });
  assert.equal(message.attachments[0]!.size, content.length);
  const files = new Attachments(bob);
  const link = await files.link(file.url, message.id);
  assert.ok(link.url.startsWith(BASE_URL));
  assert.deepEqual(await bytesOf(link.url), content);
  assert.equal(await files.link(file.url), link, 'a second call shares the link');
  const [stranger] = (await newUsers(1)) as [string];
  await assert.rejects(new Attachments(newClient(stranger)).link(file.url, message.id), (error: ChatError) => error.code === 'NOT_FOUND');
});

test('an upload goes on after lost answers, and every byte is stored once', async () => {
  const [user] = (await newUsers(1)) as [string];
  const network = losing(3);
  const client = newClient(user, { fetch: network.fetch });
  const content = noise(3 * MIB);
  const files = new Attachments(client);
  const file = await files.upload(new Blob([content]), { name: 'lossy.bin' });
  assert.equal(network.lost(), 3);
  const { url } = await files.link(file.url);
  assert.deepEqual(await bytesOf(url), content);
});

test('a refusal names the reason, and an upload that is ended leaves nothing behind', async () => {
  const [user] = (await newUsers(1)) as [string];
  let piece = '';
  const watched: typeof fetch = (input, init) => {
    if (init?.method === 'PUT') piece = new URL(String(input)).pathname;
    return fetch(input, init);
  };
  const files = new Attachments(newClient(user, { fetch: watched }));
  await assert.rejects(files.upload(new Blob([]), { name: 'empty' }), (error: ChatError) => error.code === 'VALIDATION_ERROR');
  const end = new AbortController();
  const upload = files.upload(new Blob([noise(3 * MIB)]), { name: 'ended.bin', signal: end.signal, onProgress: () => end.abort() });
  await assert.rejects(upload, { name: 'AbortError' });
  await assert.rejects(files.upload(new Blob(['x']), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(files.link('https://shop.example/a.png'), (error: ChatError) => error.code === 'NOT_FOUND');
  await until('the service has forgotten the upload', () => host('GET', piece, undefined, user).then(() => false, (error) => /404/.test(String(error))));
});
