// One person loses the network: what they write waits visibly, and arrives once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, composer, history, host, launch, newConversation, newUsers, openPage, picture, row, say, startProxy, until, write } from './support.mjs';

let browser;
let proxy;
before(async () => {
  browser = await launch();
  proxy = await startProxy();
});
after(async () => {
  await browser?.close();
  proxy?.close();
});

test('without a network messages wait, and afterwards each is there once, in order, on both pages', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const id = await newConversation('direct', [mira, jonas]);
  await say(id, jonas, 'Are you on the train?');
  const a = await openPage(browser, mira, { base: proxy.url, hash: at(id) });
  const b = await openPage(browser, jonas, { hash: at(id) });
  await row(a, 'Are you on the train?').waitFor();

  proxy.cut();
  await a.getByText('Reconnecting').waitFor();
  const written = ['In the tunnel now', 'No network here', 'See you at six'];
  for (const text of written) await write(a, text);
  for (const text of written) await row(a, text).getByRole('img', { name: 'Waiting to be sent' }).waitFor();
  await picture(a, 'offline');
  for (const text of ['Take care', 'I wait at the exit']) await write(b, text);
  await row(b, 'I wait at the exit').getByRole('img', { name: 'Sent' }).waitFor();

  proxy.mend();
  await a.getByText('Reconnecting').waitFor({ state: 'detached', timeout: 40_000 });
  const all = ['Are you on the train?', 'Take care', 'I wait at the exit', ...written];
  for (const page of [a, b]) {
    await until('every message is on the page once', async () => {
      const texts = await page.locator('.timeline .text').allInnerTexts();
      return JSON.stringify(texts) === JSON.stringify(all);
    });
  }
  assert.deepEqual((await history(id, mira)).map(({ content }) => content), all);
  await row(a, 'See you at six').getByRole('img', { name: 'Read' }).waitFor();
});

test('messages that wait survive the end of the page and are sent once by the next one', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const id = await newConversation('direct', [mira, jonas]);
  const a = await openPage(browser, mira, { base: proxy.url, hash: at(id) });
  await a.getByText('This is the beginning.').waitFor();
  proxy.cut();
  await a.getByText('Reconnecting').waitFor();
  await write(a, 'Written before the reload');
  await row(a, 'Written before').getByRole('img', { name: 'Waiting to be sent' }).waitFor();
  proxy.mend();
  await a.reload();
  await row(a, 'Written before').getByRole('img', { name: 'Sent' }).waitFor({ timeout: 40_000 });
  await until('it is stored once', async () => (await history(id, jonas)).length === 1);
});

test('a message that the service refuses stays with its text and can be tried again', async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const id = await newConversation('direct', [mira, jonas]);
  const a = await openPage(browser, mira, { hash: at(id) });
  await a.getByText('This is the beginning.').waitFor();
  await host('PUT', `/api/users/me/blocks/${mira.id}`, undefined, jonas.id);
  await write(a, 'Can you hear me?');
  await row(a, 'Can you hear me?').getByText(/Not sent/).waitFor();
  await composer(a).fill('Another text');
  await host('DELETE', `/api/users/me/blocks/${mira.id}`, undefined, jonas.id);
  await row(a, 'Can you hear me?').getByRole('button', { name: 'Try again' }).click();
  await row(a, 'Can you hear me?').getByRole('img', { name: 'Sent' }).waitFor();
  assert.equal(await composer(a).inputValue(), 'Another text', 'the text in the field is not touched');
  assert.deepEqual((await history(id, jonas)).map(({ content }) => content), ['Can you hear me?']);
});
