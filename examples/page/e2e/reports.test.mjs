// Faults that others reported of their pages must not occur here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { at, composer, history, host, launch, newConversation, newUsers, openPage, row, say, until, write } from './support.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

async function pair() {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  return { mira, jonas, id: await newConversation('direct', [mira, jonas]) };
}

test('Enter that confirms a candidate of an input method sends nothing; the next Enter sends once', async () => {
  const { mira, jonas, id } = await pair();
  const page = await openPage(browser, mira, { hash: at(id) });
  await composer(page).fill('日本');
  const presses = {
    chrome: [['keydown', { key: 'Enter', keyCode: 229, isComposing: true }], ['compositionend', { data: '日本' }]],
    safari: [['compositionend', { data: '日本' }], ['keydown', { key: 'Enter', keyCode: 229 }]],
    android: [['keydown', { key: 'Unidentified', keyCode: 229 }], ['compositionend', { data: '日本' }]],
  };
  for (const events of Object.values(presses)) {
    await composer(page).evaluate((field, list) => {
      for (const [type, init] of list) {
        const Kind = type === 'keydown' ? KeyboardEvent : CompositionEvent;
        field.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, ...init }));
      }
    }, events);
  }
  assert.equal(await composer(page).inputValue(), '日本');
  await composer(page).press('Enter');
  await row(page, '日本').getByRole('img', { name: 'Sent' }).waitFor();
  assert.deepEqual((await history(id, jonas)).map(({ content }) => content), ['日本']);
  await page.context().close();
});

const SAFARI_ENTER = [['compositionend', { data: 'x' }], ['keydown', { key: 'Enter', keyCode: 229 }]];
const compose = (field, events) =>
  field.evaluate((element, list) => {
    for (const [type, init] of list) {
      const Kind = type === 'keydown' ? KeyboardEvent : CompositionEvent;
      element.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, ...init }));
    }
  }, events);

test('Enter that confirms a candidate neither picks a mention, nor saves an edit, nor leaves a search', async () => {
  const [mira, jonas, chen] = await newUsers('Mira Holm', 'Jonas Weber', 'Chen Li');
  const id = await newConversation('group', [mira, jonas, chen], 'Garden');
  await say(id, mira, 'Before');
  const page = await openPage(browser, mira, { hash: at(id) });
  await row(page, 'Before').waitFor();
  await composer(page).pressSequentially('@Jo');
  const list = page.getByRole('listbox', { name: 'People to mention' });
  await list.waitFor();
  await compose(composer(page), SAFARI_ENTER);
  assert.equal(await composer(page).inputValue(), '@Jo');
  await list.waitFor();
  await composer(page).press('Enter');
  assert.equal(await composer(page).inputValue(), '@Jonas Weber ');
  await composer(page).fill('');

  await composer(page).press('ArrowUp');
  const edit = page.getByRole('textbox', { name: 'Edit the message' });
  await edit.fill('After');
  await compose(edit, SAFARI_ENTER);
  assert.equal(await edit.inputValue(), 'After');
  assert.equal((await history(id, jonas)).at(-1).content, 'Before');
  await edit.press('Enter');
  await row(page, 'After').getByText('edited').waitFor();

  await page.getByRole('button', { name: 'New conversation' }).click();
  const search = page.getByRole('searchbox', { name: 'Find people by name' });
  await search.fill('日本');
  await compose(search, SAFARI_ENTER);
  assert.equal(await search.inputValue(), '日本');
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('a message goes to the conversation that is shown at the key press, whatever is opened in the same moment', { timeout: 200_000 }, async () => {
  const [mira, jonas] = await newUsers('Mira Holm', 'Jonas Weber');
  const ids = [await newConversation('group', [mira, jonas], 'First'), await newConversation('group', [mira, jonas], 'Second')];
  const page = await openPage(browser, mira, { hash: at(ids[0]) });
  await composer(page).waitFor();
  const rounds = Number(process.env.E2E_SWITCHES ?? 100);
  await page.evaluate(
    async ([all, count]) => {
      const setText = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
      const frame = () => new Promise(requestAnimationFrame);
      const shown = () => document.querySelector('.conversation-head h2').textContent;
      for (let round = 0; round < count; round++) {
        const field = document.querySelector('.composer-input');
        setText.call(field, `${shown()} ${round}`);
        field.dispatchEvent(new Event('input', { bubbles: true }));
        if (round % 2) await frame();
        // The switch of the round before came only now: no key press can reach this field any more.
        if (!field.isConnected) {
          round -= 1;
          continue;
        }
        // The switch and the key press in one task.
        location.hash = `#/c/${all[Math.random() < 0.5 ? 0 : 1]}`;
        field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 13, bubbles: true, cancelable: true }));
        await frame();
      }
    },
    [ids, rounds],
  );
  const lists = await until('all are stored', async () => {
    const found = await Promise.all(ids.map((id) => history(id, jonas)));
    return found[0].length + found[1].length >= rounds && found;
  }, 120_000);
  assert.equal(lists[0].length + lists[1].length, rounds, 'each once');
  for (const [index, name] of ['First', 'Second'].entries()) {
    for (const { content } of lists[index]) assert.ok(content.startsWith(name), `“${content}” is in ${name}`);
  }
  await page.context().close();
});

test('a screen reader hears new messages of others in the open conversation, and nothing else', async () => {
  const { mira, jonas, id } = await pair();
  const other = await newConversation('group', [mira, jonas], 'Garden');
  for (let number = 0; number < 120; number++) await say(id, jonas, `Earlier ${number}`);
  // Otherwise the conversation opens at its first unread message.
  await host('PUT', `/api/conversations/${id}/read`, undefined, mira.id);
  const page = await openPage(browser, mira, { hash: at(other) });
  await page.getByText('This is the beginning.').waitFor();
  await page.evaluate(() => {
    window.heard = [];
    const region = document.querySelector('[data-testid=announcer]');
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) window.heard.push(node.textContent);
    }).observe(region, { childList: true, subtree: true });
  });
  await page.getByRole('link', { name: /Jonas Weber/ }).click();
  await row(page, 'Earlier 119').waitFor();
  await page.evaluate(() => (document.querySelector('.timeline').scrollTop = 0));
  await until('history is loaded', async () => (await page.locator('.timeline').getAttribute('data-loaded')) > 100);
  await write(page, 'My own message');
  await row(page, 'My own message').getByRole('img', { name: 'Sent' }).waitFor();
  await say(other, jonas, 'Elsewhere');
  await say(id, jonas, 'For your ears');
  await row(page, 'For your ears').waitFor();
  await until('it is said', async () => (await page.evaluate(() => window.heard)).length > 0);
  const { id: last } = (await history(id, jonas)).at(-1);
  await host('POST', `/api/messages/${last}/reactions`, { emoji: '👍' }, jonas.id);
  await row(page, 'For your ears').getByRole('button', { name: /^👍 1/ }).waitFor();
  assert.deepEqual(await page.evaluate(() => window.heard), ['Jonas Weber: For your ears']);
  const log = page.getByRole('log', { name: 'Messages' });
  assert.equal(await log.getAttribute('aria-live'), 'off');
  await page.context().close();
});

test('the keyboard of a phone covers neither the composer nor the last message nor the header', async () => {
  const { mira, jonas, id } = await pair();
  for (let number = 0; number < 30; number++) await say(id, mira, `Line ${number}`);
  const page = await openPage(browser, mira, { viewport: { width: 390, height: 800 }, hash: at(id) });
  // The visual viewport of a browser that lays the keyboard over the page.
  await page.addInitScript(() => {
    const fake = Object.assign(new EventTarget(), { height: 800, width: 390, offsetTop: 0, scale: 1 });
    Object.defineProperty(window, 'visualViewport', { value: fake });
    window.setKeyboard = (height, offsetTop) => {
      Object.assign(fake, { height: innerHeight - height, offsetTop });
      fake.dispatchEvent(new Event('resize'));
    };
  });
  await page.reload();
  await row(page, 'Line 29').waitFor();
  const isInside = async (top, bottom) => {
    for (const part of ['.composer-row', '.conversation-head']) {
      const box = await page.locator(part).first().boundingBox();
      if (box.y < top - 1 || box.y + box.height > bottom + 1) return false;
    }
    const last = await row(page, 'Line 29').boundingBox();
    return last !== null && last.y >= top && last.y + last.height <= bottom;
  };
  for (const offset of [0, 80]) {
    await page.evaluate((top) => window.setKeyboard(300, top), offset);
    await until(`everything is above the keyboard, offset ${offset}`, () => isInside(offset, 500 + offset), 5_000);
    await page.evaluate(() => window.setKeyboard(0, 0));
    await until('the layout is as before', async () => (await isInside(0, 800)) && (await page.locator('.composer').boundingBox()).y > 700, 5_000);
  }
  await page.context().close();
});

test('the layout follows a phone that is turned, and needs no visual viewport', async () => {
  const { mira, jonas, id } = await pair();
  for (let number = 0; number < 30; number++) await say(id, jonas, `Line ${number}`);
  await host('PUT', `/api/conversations/${id}/read`, undefined, mira.id);
  const page = await openPage(browser, mira, { viewport: { width: 390, height: 800 }, hash: at(id) });
  await page.addInitScript(() => Object.defineProperty(window, 'visualViewport', { value: undefined }));
  await page.reload();
  for (const size of [{ width: 390, height: 800 }, { width: 800, height: 390 }, { width: 390, height: 800 }]) {
    await page.setViewportSize(size);
    await until(`the end and the composer are in view at ${size.width} px`, async () => {
      const [last, field] = await Promise.all([row(page, 'Line 29').boundingBox(), page.locator('.composer').boundingBox()]);
      return last !== null && field !== null && last.y > 0 && last.y + last.height <= field.y + 1 && field.y + field.height <= size.height + 1;
    }, 5_000);
  }
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('each paragraph has the direction of its main language; names, code and times keep theirs', async () => {
  const [mira, evil] = await newUsers('Mira Holm', 'Eve \u202Eneb');
  const id = await newConversation('direct', [mira, evil]);
  const texts = {
    'Hello كيف حالك اليوم': 'rtl',
    '@Mira هل أنت هنا؟': 'rtl',
    'https://example.com/a-long-address هذا هو الرابط': 'rtl',
    '`cargo build` ثم انتظر': 'rtl',
    '1. البند الأول': 'rtl',
    'שלום world, מה שלומך היום?': 'rtl',
    'The word مرحبا means hello': 'ltr',
    'Plain English': 'ltr',
    '12345': 'auto',
  };
  for (const text of Object.keys(texts)) await say(id, evil, text);
  const page = await openPage(browser, mira, { hash: at(id) });
  await row(page, '12345').waitFor();
  for (const [text, direction] of Object.entries(texts)) {
    const paragraph = page.locator('.timeline .text p', { hasText: text.replaceAll('`', '') }).last();
    assert.equal(await paragraph.getAttribute('dir'), direction, text);
  }
  assert.equal(await page.locator('.timeline code').evaluate((code) => getComputedStyle(code).direction), 'ltr');
  for (const part of ['.conversation-head h2 bdi', '.conversation-row .row-title', '.timeline .message-author']) {
    assert.equal(await page.locator(part).first().evaluate((name) => name.tagName), 'BDI', `${part} is isolated`);
  }
  const boxes = await page.locator('.timeline .bubble').evaluateAll((all) =>
    all.map((bubble) => bubble.getBoundingClientRect().right - bubble.querySelector('time').getBoundingClientRect().right),
  );
  assert.ok(Math.max(...boxes) - Math.min(...boxes) < 1, 'the times stand in one place');
  await page.context().close();
});

test('a preview in the list has the direction of its main language', async () => {
  const [mira, jonas, amal] = await newUsers('Mira Holm', 'Jonas Weber', 'Amal Haddad');
  await say(await newConversation('direct', [mira, jonas]), jonas, 'The word مرحبا means hello');
  await say(await newConversation('direct', [mira, amal]), amal, 'Hello كيف حالك اليوم');
  const page = await openPage(browser, mira);
  for (const [text, direction] of [['means hello', 'ltr'], ['كيف حالك', 'rtl']]) {
    assert.equal(await page.locator('.conversation-row .preview', { hasText: text }).getAttribute('dir'), direction);
  }
  await page.context().close();
});

test('one page opens one socket, and leaves none behind when the user signs out', async () => {
  const { mira, id } = await pair();
  const page = await openPage(browser, mira, { hash: at(id) });
  let live = 0;
  let opened = 0;
  page.on('websocket', (socket) => {
    opened += 1;
    live += 1;
    socket.on('close', () => (live -= 1));
  });
  await page.reload();
  await page.getByText('This is the beginning.').waitFor();
  assert.deepEqual([opened, live], [1, 1]);
  await page.getByRole('button', { name: /settings/ }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Welcome to Chat' }).waitFor();
  await until('the socket is closed', () => live === 0);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('a page that stays open over midnight shows another day without a new message', async () => {
  const { mira, jonas, id } = await pair();
  await say(id, jonas, 'Before midnight');
  const page = await openPage(browser, mira, { timezoneId: 'Pacific/Kiritimati', hash: at(id) });
  await page.clock.install();
  await page.reload();
  await page.locator('.line', { hasText: 'Today' }).waitFor();
  await page.clock.fastForward(24 * 3_600_000);
  await page.locator('.line', { hasText: 'Yesterday' }).waitFor();
  await page.context().close();
});

test('a day line stands between messages of 23:50 and 00:10, in the time zone of each reader', async () => {
  const { mira, jonas, id } = await pair();
  await say(id, jonas, 'Good night');
  await say(id, jonas, 'Good morning');
  await host('PUT', `/api/conversations/${id}/read`, undefined, mira.id);
  // Midnight in Kiritimati and, a calendar day earlier, in Honolulu; some days ago.
  const midnight = new Date(Math.floor(Date.now() / 86_400_000 - 20) * 86_400_000 + 10 * 3_600_000).getTime();
  const times = { 'Good night': midnight - 600_000, 'Good morning': midnight + 600_000 };
  const labels = {};
  for (const timezoneId of ['Pacific/Kiritimati', 'Pacific/Honolulu', 'UTC']) {
    const page = await openPage(browser, mira, { timezoneId, locale: 'en-GB' });
    await page.route(/\/messages(\?|$)/, async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      for (const message of body.messages ?? []) if (times[message.content]) message.createdAt = new Date(times[message.content]).toISOString();
      await route.fulfill({ response, json: body });
    });
    await page.evaluate((hash) => (location.hash = hash), at(id));
    await row(page, 'Good morning').waitFor();
    labels[timezoneId] = await page.locator('.timeline .line').allInnerTexts();
    const order = await page.locator('.timeline .line, .timeline article.message').evaluateAll((all) => all.map((one) => (one.matches('.line') ? '-' : 'm')).join(''));
    assert.equal(order, timezoneId === 'UTC' ? '-mm' : '-m-m', timezoneId);
    await page.context().close();
  }
  assert.equal(labels['Pacific/Kiritimati'][0], labels['Pacific/Honolulu'][1], 'the same date begins a day earlier in Kiritimati');
});
