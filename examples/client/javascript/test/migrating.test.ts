// The blocks of docs/MIGRATING.md: what is written after a migration works as it is printed, and what is written before it is JavaScript.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { disconnectAll, host, newClient, newGroup, newUsers } from './support/service';
import type { Message } from '../src/index';

after(disconnectAll);

const document = readFileSync(new URL('../../../../../docs/MIGRATING.md', import.meta.url), 'utf8');
const AsyncFunction = (async () => undefined).constructor as new (...parts: string[]) => (...values: unknown[]) => Promise<void>;
const blocks = [...document.matchAll(/^(Before|After)[^\n]*:\n\n```js\n([\s\S]*?)```/gm)].map(([, kind, source]) => [kind!, source!] as const);

test('every block is read', () => {
  assert.equal(blocks.length, document.split('```js').length - 1);
  assert.deepEqual(blocks.map(([kind]) => kind), ['Before', 'After', 'Before', 'After', 'Before', 'After']);
});

test('the blocks of other products are JavaScript', () => {
  for (const [kind, source] of blocks) if (kind === 'Before') new AsyncFunction(source);
});

for (const [index, [, source]] of blocks.filter(([kind]) => kind === 'After').entries()) {
  test(`block ${index + 1} after a migration sends a message that is stored once and shown`, async () => {
    const [alice, bob] = (await newUsers(2)) as [string, string];
    const conversationId = await newGroup([alice, bob]);
    const chat = newClient(alice);
    if (!source.includes('chat.connect()')) chat.connect();
    let shown = 0;
    const run = new AsyncFunction('chat', 'conversationId', 'text', 'id', 'render', source);
    await run(chat, conversationId, 'Where is my parcel?', 'old-1', () => (shown += 1));
    const { messages } = await host<{ messages: Message[] }>('GET', `/api/conversations/${conversationId}/messages`, undefined, bob);
    assert.deepEqual(messages.map(({ content }) => content), ['Where is my parcel?']);
    if (source.includes('render(')) assert.ok(shown > 0);
    if (source.includes('chat.react')) assert.deepEqual(messages[0]!.reactions.map(({ emoji, count }) => [emoji, count]), [['👍', 1]]);
    chat.disconnect();
  });
}
