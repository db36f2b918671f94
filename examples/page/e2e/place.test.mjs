// The place in a history: rows that are visible stay where they are while older and newer messages come.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, host, launch, newConversation, newUsers, openPage, row, say, until } from './support.mjs';

const COUNT = 600;
let browser;
let fixture;
before(
  async () => {
    browser = await launch();
    fixture = await furnish();
  },
  { timeout: 120_000 },
);
after(() => browser?.close());

/** A history whose rows have very different heights. */
async function furnish() {
  const [mira, jonas, chen] = await newUsers('Mira Holm', 'Jonas Weber', 'Chen Li');
  const id = await newConversation('group', [mira, jonas, chen], 'Long talk');
  const authors = [mira, jonas, chen];
  let seed = 7;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  let root;
  for (let number = 0; number < COUNT; number++) {
    const more = {
      ...(root && random(9) === 0 && { replyTo: root }),
      ...(root && random(23) === 0 && { threadId: root }),
      ...(random(8) === 0 && { attachments: [{ url: 'https://example.com/picture.png', name: 'picture.png', size: 20_000 }] }),
    };
    const text = `Message ${number} ${'with some more words '.repeat(random(5) === 0 ? random(60) : random(6))}${random(12) === 0 ? '\n\nand\n\nparagraphs' : ''}`;
    const { id: sent } = await say(id, authors[random(3)], text, more);
    if (random(4) === 0) await host('POST', `/api/messages/${sent}/reactions`, { emoji: '👍' }, mira.id);
    if (random(10) === 0 && !more.threadId) root = sent;
  }
  await host('PUT', `/api/conversations/${id}/read`, undefined, mira.id);
  return { mira, jonas, id };
}

/**
 * Scrolls up by `step` pixels in every frame, and returns each frame in which a visible row did not move by the distance scrolled. `step` 0 only watches.
 * Positions are read after the frame was painted.
 */
const scrollUp = (page, step, frames) =>
  page.evaluate(
    async ([pixels, count]) => {
      const list = document.querySelector('.timeline');
      const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      const places = () => {
        const { top, bottom } = list.getBoundingClientRect();
        const found = new Map();
        for (const one of list.querySelectorAll('[data-message]')) {
          const box = one.getBoundingClientRect();
          if (box.bottom > top && box.top < bottom) found.set(one.dataset.message, box.top);
        }
        return found;
      };
      const jumps = [];
      await painted();
      for (let frame = 0; frame < count; frame++) {
        const before = places();
        const from = list.scrollTop;
        if (pixels) list.scrollTop = from - pixels;
        const moved = from - list.scrollTop;
        await painted();
        const now = places();
        const kept = [...before.keys()].filter((id) => now.has(id));
        if (before.size === 0 || (moved < 300 && kept.length === 0)) jumps.push({ frame, scrollTop: from, lost: true });
        else if (kept.length > 0) {
          const off = now.get(kept[0]) - before.get(kept[0]) - moved;
          if (Math.abs(off) > 2) jumps.push({ frame, scrollTop: from, off });
        }
      }
      return jumps;
    },
    [step, frames],
  );

const loaded = (page) => page.evaluate(() => Number(document.querySelector('.timeline').dataset.loaded));

/** A page whose history arrives `ms` later than asked for. */
async function openSlow(user, id, ms, options) {
  const page = await openPage(browser, user, { hash: '', ...options });
  await page.route(/\/messages\?.*before=/, async (route) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    await route.continue();
  });
  await page.evaluate((hash) => (location.hash = hash), at(id));
  await page.locator('.timeline article.message').first().waitFor();
  await page.waitForTimeout(500);
  return page;
}

for (const [device, viewport] of Object.entries({ phone: { width: 360, height: 740 }, desktop: { width: 1280, height: 800 } })) {
  for (const [speed, step] of Object.entries({ slowly: 25, fast: 160 })) {
    test(`${device}: scrolling up ${speed} through history that is loaded meanwhile moves rows only by the distance scrolled`, { timeout: 120_000 }, async () => {
      const { mira, id } = fixture;
      const page = await openSlow(mira, id, 150, { viewport });
      const jumps = [];
      for (let part = 0; part < 5 && (await loaded(page)) < 450; part++) jumps.push(...(await scrollUp(page, step, 90)));
      assert.ok((await loaded(page)) >= 150, 'history was loaded');
      assert.deepEqual(jumps.slice(0, 5), [], `${jumps.length} jumps`);
      await page.context().close();
    });
  }
}

test('a row that is visible stays in its place while older pages and new messages arrive', { timeout: 120_000 }, async () => {
  const { mira, jonas, id } = fixture;
  const page = await openSlow(mira, id, 400);
  for (let part = 0; part < 4; part++) {
    const known = await loaded(page);
    await page.evaluate(() => (document.querySelector('.timeline').scrollTop = 0));
    const watching = scrollUp(page, 0, 60);
    for (let number = 0; number < 3; number++) await say(id, jonas, `News ${part}.${number} ${'and more '.repeat(number * 20)}`);
    const jumps = await watching;
    await until('the page is loaded', async () => (await loaded(page)) >= known + 100);
    assert.deepEqual(jumps, [], `part ${part}`);
  }
  await page.context().close();
});
