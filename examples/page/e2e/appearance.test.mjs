// Each view on a phone and on a desktop, light and dark, left to right and right to left: axe-core finds nothing, nothing is cut off.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, axe, BASE, composer, host, launch, newConversation, newUsers, openPage, picture, row, say, until } from './support.mjs';

let browser;
let fixture;
before(async () => {
  browser = await launch();
  fixture = await furnish();
});
after(() => browser?.close());

/** Some conversations as people have them. */
async function furnish() {
  const [mira, jonas, amal, chen, sofia] = await newUsers('Mira Holm', 'Jonas Weber', 'أمل حداد', 'Chen Li', 'Sofia Rossi');
  const garden = await newConversation('group', [mira, jonas, amal, chen, sofia], 'Community garden');
  const direct = await newConversation('direct', [mira, sofia]);
  const arabic = await newConversation('direct', [mira, amal]);
  const team = await newConversation('group', [mira, chen, jonas], 'Release team');
  const news = await newConversation('public', [sofia, mira], 'Announcements');
  const react = (message, emoji, user) => host('POST', `/api/messages/${message.id}/reactions`, { emoji }, user.id);

  await say(news, sofia, 'The new opening hours are on the notice board.');
  await say(team, chen, 'Build 0.4.2 is green: `cargo test` passes on every machine.');
  await say(team, jonas, 'I will tag it after lunch.');
  await say(arabic, amal, 'مرحبا ميرا، هل وصلت الكتب؟');
  await say(arabic, mira, 'Hello أمل، نعم وصلت هذا الصباح. شكرا جزيلا!');
  await say(arabic, amal, 'ممتاز! الرابط هنا https://example.com/books');
  await say(direct, sofia, 'Are we still on for Thursday?');
  const plan = await say(garden, jonas, 'Morning! The tomatoes need water before the weekend. Who is around on Saturday?');
  await say(garden, sofia, 'I can come at nine 🌱');
  await say(garden, chen, 'Me too. Shall I bring the long hose?', { replyTo: plan.id });
  const list = await say(garden, mira, 'Yes please! I made a list of what is left to do: https://example.com/garden/list');
  await say(garden, amal, 'شكرا على القائمة! سأحضر البذور معي يوم السبت.');
  await react(list, '❤️', sofia);
  await react(list, '❤️', jonas);
  await react(list, '🙌', chen);
  await react(plan, '👍', mira);
  await say(garden, jonas, 'The gate code has changed.', { threadId: list.id });
  await say(garden, chen, 'Noted, thanks. Does the shed have the same one?', { threadId: list.id });
  await host('PUT', `/api/messages/${plan.id}/pin`, undefined, mira.id);
  for (const user of [jonas, sofia, chen, amal]) await host('PUT', `/api/conversations/${garden}/read`, undefined, user.id);
  await host('PUT', `/api/conversations/${team}/read`, undefined, mira.id);
  await host('PUT', `/api/conversations/${arabic}/read`, undefined, mira.id);
  await host('PATCH', `/api/conversations/${news}/me`, { muted: true }, mira.id);
  await host('PATCH', `/api/conversations/${garden}/me`, { pinned: true }, mira.id);
  await say(garden, mira, '@Jonas Weber could you open the gate at half past eight?', { mentions: [jonas.id] });
  return { mira, jonas, amal, chen, sofia, garden, direct, arabic, team, plan, list };
}

const VIEWS = [
  ['list', () => ''],
  ['conversation', ({ garden }) => at(garden)],
  ['thread', ({ garden, list }) => at(garden, `/thread/${list.id}`)],
  ['pins', ({ garden }) => at(garden, '/pins')],
  ['members', ({ garden }) => at(garden, '/members')],
  ['arabic', ({ arabic }) => at(arabic)],
];
const SIZES = { phone: { width: 360, height: 740 }, desktop: { width: 1440, height: 900 } };

/** Nothing is wider than the screen, and every control of the open view is inside it. */
const misfits = (page) =>
  page.evaluate(() => {
    const wide = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > wide ? [`the page is ${document.documentElement.scrollWidth} px wide`] : [];
    for (const element of document.querySelectorAll('button, a, textarea, input, .bubble')) {
      const box = element.getBoundingClientRect();
      if (box.width === 0 || element.matches('.visually-hidden, .visually-hidden *') || getComputedStyle(element).visibility === 'hidden') continue;
      if (box.left < -1 || box.right > wide + 1) found.push(`${element.className || element.tagName}: ${box.left} to ${box.right}`);
    }
    return found;
  });

async function settle(page, name) {
  await until('the conversations are listed', () => page.evaluate(() => document.querySelectorAll('.conversation-row').length >= 2 || getComputedStyle(document.querySelector('.sidebar')).display === 'none'));
  if (name === 'conversation') await row(page, 'could you open the gate').waitFor();
  if (name === 'thread') await page.locator('.panel').getByText('Does the shed').waitFor();
  if (name === 'pins') await page.locator('.panel').getByText('The tomatoes need water').waitFor();
  if (name === 'members') await page.locator('.panel').getByText('Chen Li').waitFor();
  await page.waitForTimeout(300); // pictures show the names, too, which come one by one
}

for (const [device, viewport] of Object.entries(SIZES)) {
  for (const theme of ['light', 'dark']) {
    test(`${device}, ${theme}: every view fits and axe finds nothing`, async () => {
      const { mira } = fixture;
      const page = await openPage(browser, mira, { theme, viewport });
      const found = [];
      for (const [name, hash] of VIEWS) {
        await page.evaluate((next) => (location.hash = next), hash(fixture));
        await settle(page, name);
        found.push(...[...(await misfits(page)), ...(await axe(page))].map((fault) => `${name}: ${fault}`));
        await picture(page, `${name}-${device}-${theme}`);
      }
      assert.deepEqual([...found, ...page.faults], []);
      await page.context().close();
    });
  }
}

test('right to left: the views are mirrored, fit, and axe finds nothing', async () => {
  const { amal, garden } = fixture;
  for (const [device, viewport] of Object.entries(SIZES)) {
    const page = await openPage(browser, amal, { direction: 'rtl', viewport, hash: at(garden) });
    await settle(page, 'conversation');
    assert.deepEqual([...(await misfits(page)), ...(await axe(page))], []);
    if (device === 'desktop') {
      const [sidebar, main] = await Promise.all(['.sidebar', '.conversation'].map((part) => page.locator(part).boundingBox()));
      assert.ok(sidebar.x > main.x, 'the list is on the right');
      const own = await row(page, 'شكرا على القائمة').locator('.bubble').boundingBox();
      const other = await row(page, 'I can come at nine').locator('.bubble').boundingBox();
      assert.ok(own.x < other.x, 'own messages are on the left');
    }
    await picture(page, `rtl-${device}`);
    await page.context().close();
  }
});

test('dialogs, menus and the picker: axe finds nothing, and they work with the keyboard', async () => {
  const { mira, garden } = fixture;
  const page = await openPage(browser, mira, { hash: at(garden) });
  await settle(page, 'conversation');
  await page.getByRole('button', { name: 'New conversation' }).press('Enter');
  await page.getByRole('searchbox', { name: 'Find people by name' }).fill('a');
  await page.locator('.options [role=option]').first().waitFor();
  assert.deepEqual(await axe(page), []);
  await picture(page, 'new-conversation');
  // The first one clears the search field.
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.ok(await page.getByRole('button', { name: 'New conversation' }).evaluate((button) => button === document.activeElement), 'the focus returns');

  await page.locator('.timeline').focus();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowDown');
  const focused = page.locator('article.message:focus');
  await focused.getByRole('button', { name: 'More actions' }).press('Enter');
  await page.getByRole('menu').waitFor();
  assert.deepEqual(await axe(page), []);
  await picture(page, 'menu');
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Insert an emoji' }).press('Enter');
  await page.getByRole('gridcell').first().waitFor();
  assert.deepEqual(await axe(page), []);
  await picture(page, 'emoji');
  await page.keyboard.press('Escape');

  await composer(page).fill('@');
  await page.getByRole('listbox', { name: 'People to mention' }).waitFor();
  assert.deepEqual(await axe(page), []);
  await composer(page).fill('');
  await page.getByRole('button', { name: /settings/ }).press('Enter');
  await page.getByRole('menu').waitFor();
  assert.deepEqual(await axe(page), []);
  await page.keyboard.press('Escape');
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('without development users the sign-in page says so, and with them it lists them', async () => {
  const page = await browser.newPage({ viewport: SIZES.desktop });
  await page.goto(BASE);
  await page.getByRole('button', { name: /Continue as/ }).first().waitFor();
  assert.deepEqual(await axe(page), []);
  await picture(page, 'sign-in');
  await page.close();
  const response = await fetch(`${BASE}/dev-users.json`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('Access-Control-Allow-Origin'), null, 'no page of another site can read the tokens');
  const { request } = await import('node:http');
  const status = await new Promise((resolve) => request(`${BASE}/dev-users.json`, { headers: { Host: 'chat.example' } }, (answer) => resolve(answer.statusCode)).end());
  assert.equal(status, 404, 'under another name there are no development users');
});
