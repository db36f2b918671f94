// Files of messages: chosen, shown while they are uploaded, sent, and read by the other member only.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { at, composer, history, launch, newConversation, newUsers, openPage, picture as screenshot, row, until } from './support.mjs';

const PICTURE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP4z8AARAwQCgAf7gP9Y167WwAAAABJRU5ErkJggg==', 'base64');
const NOTES = Buffer.from('Bring the keys.\n'.repeat(100_000));

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

async function open(user, conversation) {
  const page = await openPage(browser, user, { hash: at(conversation) });
  pages.push(page);
  await composer(page).waitFor();
  return page;
}

const choose = (page, ...files) => page.locator('input[type=file]').first().setInputFiles(files);

test('a picture and a text file are attached, sent, and opened by the other member', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const conversation = await newConversation('direct', [mira, jonas]);
  const [a, b] = [await open(mira, conversation), await open(jonas, conversation)];
  const list = a.getByRole('list', { name: 'Files of the message' });
  await choose(a, { name: 'dot.png', mimeType: 'image/png', buffer: PICTURE }, { name: 'notes.txt', mimeType: 'text/plain', buffer: NOTES });
  await list.getByText('1.6 MB').waitFor();
  await until('both are uploaded', async () => (await list.locator('progress').count()) === 0);
  await composer(a).fill('The keys');
  await composer(a).press('Enter');
  assert.equal(await list.count(), 0, 'the list is empty for the next message');
  const shown = row(b, 'The keys');
  const picture = shown.getByRole('img', { name: 'dot.png' });
  await until('the picture is shown', () => picture.evaluate((image) => image.complete && image.naturalWidth > 0).catch(() => false));
  await screenshot(b, 'files');
  const href = await shown.getByRole('link', { name: /notes\.txt/ }).getAttribute('href');
  const text = await b.evaluate(async (url) => (await fetch(url)).text(), href);
  assert.equal(text.length, NOTES.length);
  const [message] = await history(conversation, mira);
  assert.deepEqual(message.attachments.map(({ name }) => name), ['dot.png', 'notes.txt']);
});

test('a file that is taken away is not sent, and a file alone is a message', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const conversation = await newConversation('direct', [mira, jonas]);
  const a = await open(mira, conversation);
  await choose(a, { name: 'wrong.txt', mimeType: 'text/plain', buffer: Buffer.from('wrong') }, { name: 'right.txt', mimeType: 'text/plain', buffer: Buffer.from('right') });
  await a.getByRole('button', { name: 'Remove wrong.txt' }).click();
  await until('one is left', async () => (await a.locator('.file-list li').count()) === 1 && (await a.locator('.file-list progress').count()) === 0);
  await a.getByRole('button', { name: 'Send' }).click();
  await until('it is stored', async () => (await history(conversation, mira)).length === 1);
  const [message] = await history(conversation, mira);
  assert.deepEqual([message.content, message.attachments.map(({ name }) => name)], ['', ['right.txt']]);
});

test('a type that is not accepted is refused with the reason', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const a = await open(mira, await newConversation('direct', [mira, jonas]));
  const tiff = Buffer.concat([Buffer.from('II*\0'), Buffer.alloc(1000)]);
  await choose(a, { name: 'scan.tiff', mimeType: 'image/png', buffer: tiff });
  await a.getByText(/scan\.tiff could not be attached/).waitFor();
  assert.equal(await a.locator('.file-list li').count(), 0);
});
