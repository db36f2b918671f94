// The documentation site at /docs/: pages, search and the reference, under the content policy of nginx.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BASE, launch } from './support.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function open(path, options = {}) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options })).newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.faults.push(message.text()));
  page.on('request', (request) => request.url().startsWith(BASE) || /^(data|blob):/.test(request.url()) || page.faults.push(request.url()));
  await page.goto(BASE + path, { waitUntil: 'networkidle' });
  return page;
}

test('the search finds a term of a document and leads to its heading', async () => {
  const page = await open('/docs/');
  await page.getByRole('heading', { name: 'Chat Service', level: 1 }).waitFor();
  await page.getByRole('button', { name: 'Search' }).first().click();
  await page.locator('#localsearch-input').fill('resume');
  await page.locator('.VPLocalSearchBox .result').first().waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(/#/);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('the reference has operations and messages, and links between documents work', async () => {
  const page = await open('/docs/rest/');
  await page.getByRole('link', { name: 'List messages of a conversation', exact: true }).click();
  await page.getByRole('heading', { name: /^List messages of a conversation/ }).waitFor();
  await page.goto(`${BASE}/docs/asyncapi/socket#PushMessageNew`, { waitUntil: 'networkidle' });
  await page.getByRole('heading', { name: /^message:new/ }).waitFor();
  await page.goto(`${BASE}/docs/events`, { waitUntil: 'networkidle' });
  await page.locator('.vp-doc a[href^="/docs/websocket"]').first().click();
  await page.waitForURL(/\/docs\/websocket/);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('a missing page is 404 in the look of the site', async () => {
  const page = await (await browser.newContext()).newPage();
  const response = await page.goto(`${BASE}/docs/no-such-page`);
  assert.equal(response.status(), 404);
  await page.getByText('PAGE NOT FOUND').waitFor();
  await page.context().close();
});

for (const theme of ['light', 'dark']) {
  test(`a document on a phone is wide enough and has no fault in the ${theme} theme`, async () => {
    const page = await open('/docs/integration', { viewport: { width: 390, height: 800 }, colorScheme: theme });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1), 'nothing makes the page wider than the screen');
    if (process.env.SITE_PICTURES) await page.screenshot({ path: `${process.env.SITE_PICTURES}/site-${theme}.png` });
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });
}
