// Two people talk: everything that one does, the other sees.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { at, composer, history, host, launch, newConversation, newUsers, openPage, row, say, until, write } from './support.mjs';

let browser;
let pages = [];
before(async () => (browser = await launch()));
after(() => browser?.close());
afterEach(async () => {
  const faults = pages.flatMap((page) => page.faults);
  await Promise.all(pages.map((page) => page.context().close()));
  pages = [];
  assert.deepEqual(faults, [], 'no script fails and nothing breaks the content policy');
});

async function open(user, options) {
  const page = await openPage(browser, user, options);
  pages.push(page);
  return page;
}

const action = async (page, text, name) => {
  await row(page, text).last().hover();
  await row(page, text).last().getByRole('button', { name, exact: true }).click();
};
const menu = async (page, text, item) => {
  await action(page, text, 'More actions');
  await page.getByRole('menuitem', { name: item, exact: true }).click();
};
const ticks = (page, text, name) => row(page, text).getByRole('img', { name, exact: true }).waitFor();

test('a direct conversation begins with a search, and shows messages, ticks, typing and presence', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const a = await open(mira);
  await a.getByText('No conversations here yet').waitFor();
  await a.getByRole('button', { name: 'New conversation' }).click();
  await a.getByRole('searchbox', { name: 'Find people by name' }).fill(jonas.id);
  await a.getByRole('option', { name: /Jonas Weber/ }).click();
  await a.getByRole('button', { name: 'Open conversation' }).click();
  await write(a, 'Shall we meet at ten?');
  await ticks(a, 'Shall we meet', 'Sent');

  const b = await open(jonas);
  await b.getByText('Shall we meet at ten?').waitFor();
  assert.equal(await b.locator('.badge[aria-label="1 unread"]').count(), 1, 'the list counts what is unread');
  assert.equal(await b.title(), '(1) Chat');
  await ticks(a, 'Shall we meet', 'Delivered');
  await b.getByRole('link', { name: /Mira Holm/ }).click();
  await b.getByText('New messages').waitFor();
  await ticks(a, 'Shall we meet', 'Read');
  assert.equal(await b.locator('.badge').count(), 0);
  await until('Jonas is shown as online', () => a.locator('.conversation-head').getByText('online').isVisible());

  await composer(b).pressSequentially('Yes');
  await a.locator('.typing-line', { hasText: 'Jonas Weber is typing' }).waitFor();
  await composer(b).press('Enter');
  await row(a, 'Yes').waitFor();
  await a.locator('.typing-line', { hasText: 'typing' }).waitFor({ state: 'hidden' });

  await a.reload();
  await ticks(a, 'Shall we meet', 'Read');
});

test('reactions, quotes, edits, deletion, pins and threads reach the other page', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const id = await newConversation('direct', [mira, jonas]);
  await say(id, mira, 'The plan is ready');
  const [a, b] = [await open(mira, { hash: at(id) }), await open(jonas, { hash: at(id) })];

  await action(b, 'The plan is ready', 'React with 🎉');
  await row(a, 'The plan is ready').getByRole('button', { name: /^🎉 1, by Jonas Weber/ }).click();
  await row(b, 'The plan is ready').getByRole('button', { name: /^🎉 2/ }).waitFor();
  await action(a, 'The plan is ready', 'Choose a reaction');
  await a.getByRole('searchbox', { name: 'Search emoji' }).or(a.getByLabel('Search emoji')).first().fill('rocket');
  await a.getByRole('gridcell', { name: /rocket/i }).first().click();
  await row(b, 'The plan is ready').getByRole('button', { name: /^🚀 1/ }).waitFor();

  await action(b, 'The plan is ready', 'Reply');
  await write(b, 'Send it to me');
  await row(a, 'Send it to me').locator('.quote', { hasText: 'The plan is ready' }).waitFor();

  await ticks(b, 'Send it to me', 'Read');
  await menu(b, 'Send it to me', 'Edit');
  const edit = b.getByRole('textbox', { name: 'Edit the message' });
  await edit.fill('Please send it to me');
  await edit.press('Enter');
  await row(a, 'Please send it to me').getByText('edited').waitFor();

  await menu(a, 'Please send it to me', 'Pin');
  await row(b, 'Please send it to me').getByRole('img', { name: 'Pinned' }).waitFor();
  await b.getByRole('button', { name: 'Pinned messages' }).click();
  await b.getByRole('region', { name: 'Pinned messages' }).getByText('Please send it to me').waitFor();

  await action(a, 'Please send it to me', 'Reply in a thread');
  await a.getByRole('textbox', { name: 'Reply in the thread' }).fill('Here it is');
  await a.getByRole('textbox', { name: 'Reply in the thread' }).press('Enter');
  await a.getByRole('region', { name: 'Thread' }).getByText('Here it is').waitFor();
  await row(b, 'Please send it to me').getByRole('button', { name: '1 reply' }).click();
  await b.getByRole('region', { name: 'Thread' }).getByText('Here it is').waitFor();

  await action(a, 'Here it is', 'More actions');
  await a.getByRole('menuitem', { name: 'Delete' }).click();
  await a.getByRole('menuitem', { name: 'Delete for everyone?' }).click();
  await b.getByText('Message deleted').first().waitFor();
  const stored = await history(id, mira);
  assert.deepEqual(stored.map(({ content, isDeleted }) => [content, isDeleted]), [['The plan is ready', false], ['Please send it to me', false], ['', true]]);
});

test('a group is created, mentions are completed, and its members and public conversations are found', async () => {
  const [mira, jonas, amal] = await newUsers('Mira Holm', 'Jonas Weber', 'Amal Haddad');
  const [a, b] = [await open(mira), await open(jonas)];
  await a.getByRole('button', { name: 'New conversation' }).click();
  await a.getByRole('tab', { name: 'Group' }).click();
  await a.getByRole('textbox', { name: 'Name (optional)' }).fill('Garden');
  for (const { id } of [jonas, amal]) {
    await a.getByRole('searchbox', { name: 'Find people by name' }).fill(id);
    await a.locator(`[data-key="${id}"]`).click();
  }
  await a.getByRole('button', { name: 'Create group' }).click();
  await a.getByRole('heading', { name: 'Garden' }).waitFor();
  await b.getByRole('link', { name: /Garden/ }).waitFor();

  await composer(a).pressSequentially('Hello @jo');
  await a.getByRole('option', { name: 'Jonas Weber' }).waitFor();
  await composer(a).press('Enter');
  assert.equal(await composer(a).inputValue(), 'Hello @Jonas Weber ');
  await composer(a).press('Enter');
  await b.locator('.badge[aria-label="1 mentions"]').waitFor();
  await b.getByRole('link', { name: /Garden/ }).click();
  await b.locator('.mention[data-own]', { hasText: '@Jonas Weber' }).waitFor();

  await a.getByRole('button', { name: 'Members' }).click();
  await a.getByRole('region', { name: /Members/ }).getByText('Amal Haddad').waitFor();

  const name = `News ${Date.now()}`;
  await newConversation('public', [amal], name);
  await b.getByRole('button', { name: 'New conversation' }).click();
  await b.getByRole('tab', { name: 'Join' }).click();
  await b.getByRole('searchbox', { name: 'Find public conversations' }).fill(name);
  await b.getByRole('button', { name: `Join ${name}` }).click();
  await b.getByRole('heading', { name }).waitFor();
  await write(b, 'I am here');
  await row(b, 'I am here').getByRole('img', { name: 'Sent' }).waitFor();
});

test('a message is forwarded, and conversations are pinned, muted and archived', async () => {
  const [mira, jonas, amal] = await newUsers('Mira Holm', 'Jonas Weber', 'Amal Haddad');
  const first = await newConversation('direct', [mira, jonas]);
  const second = await newConversation('group', [mira, amal], 'Garden');
  await say(first, jonas, 'Water the tomatoes');
  const a = await open(mira, { hash: at(first) });
  await menu(a, 'Water the tomatoes', 'Forward');
  await a.getByRole('option', { name: 'Garden' }).click();
  await a.getByRole('button', { name: 'Forward', exact: true }).click();
  await until('the copy is stored', async () => (await history(second, amal)).some(({ forwardedFrom }) => forwardedFrom?.senderId === jonas.id));

  const options = async (name, item) => {
    await a.locator('.conversation-row', { hasText: name }).hover();
    await a.getByRole('button', { name: `Options of ${name}` }).click();
    await a.getByRole('menuitem', { name: item }).click();
  };
  await options('Jonas Weber', 'Pin to the top');
  await until('the pinned one is first', async () => (await a.locator('.conversation-row').first().innerText()).includes('Jonas Weber'));
  await options('Garden', 'Mute');
  await a.locator('.conversation-row', { hasText: 'Garden' }).getByRole('img', { name: 'Muted' }).waitFor();
  await options('Garden', 'Archive');
  await a.locator('.conversation-row', { hasText: 'Garden' }).waitFor({ state: 'detached' });
  await a.reload();
  await a.locator('.conversation-row', { hasText: 'Jonas Weber' }).waitFor();
  assert.equal(await a.locator('.conversation-row', { hasText: 'Garden' }).count(), 0, 'archived after a reload, too');
  await a.getByRole('button', { name: /settings/ }).click();
  await a.getByRole('menuitem', { name: 'Archived chats' }).click();
  await a.locator('.conversation-row', { hasText: 'Garden' }).waitFor();
});

test('a draft survives a switch and a reload, and reaches the service', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const first = await newConversation('direct', [mira, jonas]);
  const second = await newConversation('group', [mira, jonas], 'Garden');
  const a = await open(mira, { hash: at(first) });
  await composer(a).fill('Not yet finis');
  await a.getByRole('link', { name: /Garden/ }).click();
  await a.getByRole('heading', { name: 'Garden' }).waitFor();
  assert.equal(await composer(a).inputValue(), '');
  await a.locator('.conversation-row', { hasText: 'Draft: Not yet finis' }).waitFor();
  await a.getByRole('link', { name: /Jonas Weber/ }).click();
  await until('the draft is back', async () => (await composer(a).inputValue()) === 'Not yet finis');
  await a.reload();
  await until('the draft is there after a reload', async () => (await composer(a).inputValue()) === 'Not yet finis');
  const { draft } = await host('GET', `/api/conversations/${first}`, undefined, mira.id);
  assert.equal(draft, 'Not yet finis');
  await composer(a).press('Enter');
  await until('a sent draft is gone', async () => (await host('GET', `/api/conversations/${first}`, undefined, mira.id)).draft === undefined);
  assert.deepEqual(await history(second, mira), []);
});
