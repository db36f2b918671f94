// The bindings in a document of jsdom, against the running service.
import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { memo, StrictMode, useEffect } from 'react';
import { renderToString } from 'react-dom/server';
import type { Message } from 'chat-service-client';
import { Proxy } from '../../javascript/test/support/proxy';
import { BASE_URL, host, makeToken, newGroup, newUsers, SOCKET_URL, until, webSocket } from '../../javascript/test/support/service';
import { ChatProvider, useChatSocket, useConversation, useConversations } from '../src/index';

const dom = new JSDOM('<div id="root"></div>', { pretendToBeVisual: true });
for (const name of ['window', 'document', 'navigator'] as const) {
  Object.defineProperty(globalThis, name, { value: name === 'window' ? dom.window : dom.window[name], configurable: true });
}
const { createRoot } = await import('react-dom/client');
const errors: unknown[][] = [];
console.error = (...text: unknown[]) => errors.push(text);

let root: ReturnType<typeof createRoot>;
beforeEach(() => {
  errors.length = 0;
  const element = document.createElement('div');
  document.body.replaceChildren(element);
  root = createRoot(element);
});
afterEach(() => root.unmount());
after(() => dom.window.close());

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const options = (user: string, socketUrl = SOCKET_URL) => ({ url: BASE_URL, socketUrl, webSocket, getToken: () => makeToken(user) });
const sendAs = (user: string, conversation: string, content: string) => host<Message>('POST', `/api/conversations/${conversation}/messages`, { content }, user);
const texts = () => [...document.querySelectorAll('li')].map((item) => item.textContent);

test('StrictMode opens one socket, and unmounting closes it', async () => {
  const [user] = (await newUsers(1)) as [string];
  const proxy = await Proxy.start();
  root.render(
    <StrictMode>
      <ChatProvider options={options(user, proxy.url)}>
        <p>chat</p>
      </ChatProvider>
    </StrictMode>,
  );
  await until('connected', () => proxy.open === 1);
  await wait(500);
  assert.deepEqual([proxy.opened, proxy.open], [1, 1]);
  root.unmount();
  await until('closed', () => proxy.open === 0);
  assert.deepEqual(errors, []);
  await proxy.stop();
});

test('a provider that is unmounted before its token comes opens no socket', async () => {
  const [user] = (await newUsers(1)) as [string];
  const proxy = await Proxy.start();
  let release: (token: string) => void = () => undefined;
  const slow = { ...options(user, proxy.url), getToken: () => new Promise<string>((resolve) => (release = resolve)) };
  root.render(<ChatProvider options={slow}>chat</ChatProvider>);
  await wait(100);
  root.unmount();
  await wait(50);
  release(makeToken(user));
  await wait(500);
  assert.equal(proxy.opened, 0);
  await proxy.stop();
});

test('a new message renders one row', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  for (let n = 0; n < 30; n++) await sendAs(alice, group, `${n}`);
  const renders = new Map<string, number>();
  const Row = memo(function Row({ message }: { message: Message }) {
    renders.set(message.content, (renders.get(message.content) ?? 0) + 1);
    return <li>{message.content}</li>;
  });
  const List = () => {
    const { messages } = useConversation(group);
    return (
      <ul>
        {messages.map((message) => (
          <Row key={message.id} message={message} />
        ))}
      </ul>
    );
  };
  root.render(
    <ChatProvider options={options(bob)}>
      <List />
    </ChatProvider>,
  );
  await until('thirty rows', () => texts().length === 30);
  renders.clear();
  await sendAs(alice, group, 'new');
  await until('the new row', () => texts().includes('new'));
  await wait(500);
  assert.deepEqual([...renders], [['new', 1]]);
});

test('a message in one conversation renders nothing of another one', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const [shown, other] = await Promise.all([newGroup([alice, bob]), newGroup([alice, bob])]);
  let renders = 0;
  const View = () => {
    const { messages } = useConversation(shown);
    renders += 1;
    return <p>{messages.length}</p>;
  };
  const Names = () => <ul>{useConversations().conversations.map(({ id, unreadCount }) => <li key={id}>{unreadCount}</li>)}</ul>;
  root.render(
    <ChatProvider options={options(bob)}>
      <View />
      <Names />
    </ChatProvider>,
  );
  await until('the list is shown', () => texts().length === 2);
  await wait(600);
  const before = renders;
  await sendAs(alice, other, 'elsewhere');
  await until('the count is shown', () => texts().includes('1'));
  assert.equal(renders, before);
});

test('useChatSocket sends, receives, and tells who is typing and online', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  const seen: string[] = [];
  const Window = () => {
    const chat = useChatSocket(group, { onMessage: ({ content }) => seen.push(content) });
    useEffect(() => {
      if (chat.isConnected) void chat.sendMessage('from the hook');
    }, [chat.isConnected]);
    return (
      <ul>
        {chat.messages.map(({ id, content }) => (
          <li key={id}>{content}</li>
        ))}
        <li>{`typing ${chat.typingUsers.join()}`}</li>
        <li>{`online ${chat.onlineUsers.join()}`}</li>
      </ul>
    );
  };
  root.render(
    <ChatProvider options={options(bob)}>
      <Window />
    </ChatProvider>,
  );
  await until('the message is shown', () => texts().includes('from the hook'));
  const { ChatClient } = await import('chat-service-client');
  const other = new ChatClient(options(alice)).connect();
  await until('Alice is connected', () => other.state.status === 'connected');
  other.type(group);
  await until('Alice is typing', () => texts().includes(`typing ${alice}`));
  await until('Alice is online', () => texts().includes(`online ${alice}`));
  other.disconnect();
  assert.deepEqual(seen, ['from the hook']);
  assert.deepEqual(errors, []);
});

test('a server renders without connecting', () => {
  const View = () => <p>{useConversation('cnv_01hzx3v7k9q2m4n6p8r0s2t4v6').messages.length} messages</p>;
  const html = renderToString(
    <ChatProvider options={{ ...options('server'), getToken: () => assert.fail('a server needs no token') }}>
      <View />
    </ChatProvider>,
  );
  assert.match(html, /messages/);
});
