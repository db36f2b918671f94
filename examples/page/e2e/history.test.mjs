// A long history: it is loaded by scrolling, few of its rows exist, and scrolling is smooth.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, host, launch, newConversation, newUsers, openPage, say, until } from './support.mjs';

const COUNT = Number(process.env.E2E_MESSAGES ?? 10_000);
let browser;
let id;
let mira;
let jonas;

before(
  async () => {
    browser = await launch();
    [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
    id = await newConversation('direct', [mira, jonas]);
    const started = Date.now();
    // Several at a time: the order of the texts does not matter here.
    let next = 0;
    const send = async () => {
      while (next < COUNT) {
        const number = next++;
        await say(id, number % 3 ? mira : jonas, `Message ${number} ${'and some more words '.repeat(number % 9)}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, send));
    await host('PUT', `/api/conversations/${id}/read`, undefined, mira.id);
    console.log(`# ${COUNT} messages in ${Date.now() - started} ms`);
  },
  // Also on a loaded machine with a development build.
  { timeout: 600_000 },
);
after(() => browser?.close());

const loaded = (page) => page.evaluate(() => Number(document.querySelector('.timeline').dataset.loaded));

test(`${COUNT} messages are loaded by scrolling, few of them are in the page, and scrolling is smooth`, { timeout: 240_000 }, async () => {
  const page = await openPage(browser, mira, { hash: at(id) });
  await page.locator('.timeline article.message').first().waitFor();
  await page.mouse.move(800, 400);
  await until(
    'the beginning is reached',
    async () => {
      await page.evaluate(() => (document.querySelector('.timeline').scrollTop = 0));
      return page.getByText('This is the beginning.').isVisible();
    },
    200_000,
  );
  assert.ok((await loaded(page)) >= COUNT);
  assert.ok((await page.locator('article.message').count()) < 120, 'rows exist only near the visible part');
  // Processor time of the page's thread: a loaded machine without a graphics card draws late, whatever the page does.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value * 1000;
  };
  const before = await busy();
  const median = await page.evaluate(async () => {
    const list = document.querySelector('.timeline');
    const pauses = [];
    let last = performance.now();
    for (let frame = 0; frame < 240; frame++) {
      list.scrollTop += 60;
      await new Promise(requestAnimationFrame);
      pauses.push(performance.now() - last);
      last = performance.now();
    }
    return pauses.sort((a, b) => a - b)[120];
  });
  const work = ((await busy()) - before) / 240;
  console.log(`# frames of 60 px: ${work.toFixed(1)} ms of work each, median distance ${median.toFixed(1)} ms`);
  // 3,600 px per second is faster than people scroll; two frames leave room for a slow machine.
  assert.ok(work < 2000 / 60, `a frame took ${work} ms of work`);
  await page.context().close();
});
