// The bindings in a document of jsdom, against the running service.
import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { memo, StrictMode, useEffect } from 'react';
import { renderToString } from 'react-dom/server';
import type { Message } from 'chat-service-client';
import { Proxy } from '../../javascript/test/support/proxy';
import { BASE_URL, host, makeToken, newGroup, newUsers, SOCKET_URL, until, webSocket } from '../../javascript/test/support/service';
import { ChatProvider, useChatSocket, useConversation, useConversations, useNotifications, useTyping } from '../src/index';

const dom = new JSDOM('<div id="root"></div>', { pretendToBeVisual: true });
for (const name of ['window', 'document', 'navigator'] as const) {
  Object.defineProperty(globalThis, name, { value: name === 'window' ? dom.window : dom.window[name], configurable: true });
}
const { createRoot, hydrateRoot } = await import('react-dom/client');
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

test('notifications are shown live, and useTyping renders only what it shows', async () => {
  const [alice, bob] = (await newUsers(2)) as [string, string];
  const group = await newGroup([alice, bob]);
  let renders = 0;
  const Bell = () => {
    const { notifications, unreadCount, markAllRead } = useNotifications();
    return (
      <ul onClick={() => void markAllRead()}>
        <li>{`unread ${unreadCount}`}</li>
        {notifications.map(({ id, title }) => (
          <li key={id}>{title}</li>
        ))}
      </ul>
    );
  };
  const Typing = () => {
    const users = useTyping(group);
    renders += 1;
    return <li>{`typing ${users.join()}`}</li>;
  };
  root.render(
    <StrictMode>
      <ChatProvider options={options(bob)}>
        <Bell />
        <Typing />
      </ChatProvider>
    </StrictMode>,
  );
  await until('the list is shown', () => texts().includes('unread 0'));
  await host('POST', '/api/notifications', { userIds: [bob], kind: 'LIKE', title: 'New like' });
  await until('the notification is shown', () => texts().includes('New like') && texts().includes('unread 1'));
  document.querySelector('ul')?.dispatchEvent(new dom.window.MouseEvent('click', { bubbles: true }));
  await until('it is read', () => texts().includes('unread 0'));
  await wait(500);
  const before = renders;
  await sendAs(alice, group, 'a message is no typing');
  await wait(500);
  assert.equal(renders, before);
  const { ChatClient } = await import('chat-service-client');
  const other = new ChatClient(options(alice)).connect();
  await until('Alice is connected', () => other.state.status === 'connected');
  other.type(group);
  await until('Alice is typing', () => texts().includes(`typing ${alice}`));
  other.disconnect();
  assert.deepEqual(errors, []);
});

test('another key of the provider is another user, and nothing of the first one stays', async () => {
  const users = (await newUsers(2)) as [string, string];
  const groups = [await newGroup([users[0]]), await newGroup([users[1]])];
  const proxy = await Proxy.start();
  const Names = () => <ul>{useConversations().conversations.map(({ id }) => <li key={id}>{id}</li>)}</ul>;
  const show = (user: string) =>
    root.render(
      <ChatProvider key={user} options={options(user, proxy.url)}>
        <Names />
      </ChatProvider>,
    );
  for (let round = 0; round < 4; round++) {
    show(users[round % 2]!);
    await until(`the conversations of user ${round % 2} alone`, () => texts().join() === groups[round % 2] && proxy.open === 1);
  }
  root.unmount();
  await until('no socket is left', () => proxy.open === 0);
  assert.deepEqual(errors, []);
  await proxy.stop();
});

test('a page that a server rendered is taken over without a difference', async () => {
  const [user] = (await newUsers(1)) as [string];
  const group = await newGroup([user]);
  await sendAs(user, group, 'from before');
  const View = () => (
    <ul>
      {useConversation(group).messages.map(({ id, content }) => (
        <li key={id}>{content}</li>
      ))}
      <li>{`${useNotifications().unreadCount} and ${useTyping(group).length}`}</li>
    </ul>
  );
  const page = (
    <StrictMode>
      <ChatProvider options={options(user)}>
        <View />
      </ChatProvider>
    </StrictMode>
  );
  const element = document.createElement('div');
  element.innerHTML = renderToString(page);
  document.body.replaceChildren(element);
  const hydrated = hydrateRoot(element, page);
  await until('the message is shown', () => texts().includes('from before'));
  hydrated.unmount();
  assert.deepEqual(errors, []);
});

test('a server renders without connecting, and needs no WebSocket', () => {
  const View = () => <p>{useConversation('cnv_01hzx3v7k9q2m4n6p8r0s2t4v6').messages.length} messages</p>;
  const html = renderToString(
    <ChatProvider options={{ ...options('server'), webSocket: undefined, getToken: () => assert.fail('a server needs no token') }}>
      <View />
    </ChatProvider>,
  );
  assert.match(html, /messages/);
});
