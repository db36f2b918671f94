// Two people chat in two pages that have an input, a button and a list of messages: node two-pages.mjs ADDRESS ADDRESS
import assert from 'node:assert/strict';
import { launch } from './chromium.mjs';

const browser = await launch();
const pages = await Promise.all(process.argv.slice(2).map(async (address) => {
  const page = await browser.newPage();
  page.on('pageerror', (error) => assert.fail(error));
  await page.goto(address);
  return page;
}));
assert.equal(pages.length, 2);
for (const [from, to, text] of [[0, 1, 'Where is my parcel?'], [1, 0, 'On its way.']]) {
  await pages[from].fill('input', text);
  await pages[from].click('button');
  await pages[to].getByText(text).waitFor();
}
for (const page of pages) assert.equal(await page.locator('li').count(), 2, 'each message is shown once');
await browser.close();
