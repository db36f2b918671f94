// Pages of the events and commands: one per channel, an overview, and the schemas.
import { code, document, inline, json, paragraphs, Schemas } from './schema.mjs';

const slug = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const last = ({ $ref }) => $ref.split('/').at(-1);

/** The pages, as a map of their paths to their texts, and their group of the menu. */
export function eventPages(api) {
  const schemas = new Schemas(api, (name) => `/asyncapi/schemas#${name}`);
  const homes = homesOf(api);
  const address = (message) => `/asyncapi/${slug(homes.get(message))}#${message}`;
  const channels = Object.entries(api.channels);
  const pages = {
    'asyncapi/index': overview(api),
    'asyncapi/schemas': schemas.page('Schemas of events', 'The named schemas of the AsyncAPI document.'),
  };
  for (const [name, channel] of channels) pages[`asyncapi/${slug(name)}`] = channelPage(api, name, channel, { schemas, homes, address });
  const items = [
    { text: 'Overview', link: '/asyncapi/' },
    ...channels.map(([name, { title }]) => ({ text: title, link: `/asyncapi/${slug(name)}` })),
    { text: 'Schemas', link: '/asyncapi/schemas' },
  ];
  return { pages, group: { text: 'Events reference', items } };
}

/** The channel on whose page a message is described: the first one that has it. Another channel with it links there. */
function homesOf(api) {
  const homes = new Map();
  for (const [name, { messages }] of Object.entries(api.channels)) {
    for (const message of Object.values(messages)) if (!homes.has(last(message))) homes.set(last(message), name);
  }
  return homes;
}

function overview(api) {
  const servers = Object.entries(api.servers).map(
    ([name, { protocol, host, pathname = '', description }]) => `| ${code(name)} | ${code(`${protocol}://${host}${pathname}`)} | ${inline(description)} |`,
  );
  const channels = Object.entries(api.channels).map(
    ([name, { title, address, messages }]) => `| [${title}](/asyncapi/${slug(name)}) | ${address ? code(address) : 'chosen by the caller'} | ${Object.keys(messages).length} |`,
  );
  return document([
    '# Events reference',
    `Version ${api.info.version}. ${inline(api.info.description)}`,
    'The document itself: [asyncapi.json](/files/openapi/asyncapi.json), [asyncapi.yaml](/files/openapi/asyncapi.yaml); [JSON schemas of the events](/files/openapi/schemas).',
    ['| channel | address | messages |', '|---|---|---|', ...channels].join('\n'),
    ['| server | address | description |', '|---|---|---|', ...servers].join('\n'),
  ]);
}

function channelPage(api, name, channel, { schemas, homes, address }) {
  const parts = [`# ${channel.title}`, channel.address && `Address: ${code(channel.address)}`, paragraphs(channel.description)];
  const parameters = Object.entries(channel.parameters ?? {}).map(([parameter, { description }]) => `| ${code(parameter)} | ${inline(description)} |`);
  if (parameters.length > 0) parts.push(['| parameter | meaning |', '|---|---|', ...parameters].join('\n'));
  const operations = Object.values(api.operations).filter((one) => last(one.channel) === name);
  const replies = new Map(operations.flatMap((one) => (one.reply ? one.messages.map((message) => [last(message), last(one.reply.messages[0])]) : [])));
  for (const { summary, messages } of operations.filter(({ reply }) => !reply)) if (messages.length > 1) parts.push(inline(summary));

  const all = Object.values(channel.messages).map(last);
  const own = all.filter((message) => homes.get(message) === name);
  const shared = all.filter((message) => homes.get(message) !== name);
  if (shared.length > 0) {
    const items = shared.map((message) => `| [${code(api.components.messages[message].name)}](${address(message)}) | ${inline(api.components.messages[message].summary)} |`);
    parts.push(['| message | meaning |', '|---|---|', ...items].join('\n'));
  }
  for (const message of own) {
    const { title, summary, description, payload, headers, examples } = api.components.messages[message];
    parts.push(`## ${code(title)}${suffix(message)} {#${message}}`, sentence(inline(summary)), paragraphs(description));
    const reply = replies.get(message);
    if (reply) parts.push(`Reply: [${code(api.components.messages[reply].title)}](${address(reply)}).`);
    if (headers) parts.push('**Headers**', schemas.fields(headers));
    parts.push(schemas.fields(payload) || `Payload: ${schemas.type(payload)}.`);
    if (examples?.[0]) parts.push(json(examples[0].payload));
  }
  return document(parts);
}

/** Words for messages whose titles are not unique on their page. */
function suffix(message) {
  if (message.startsWith('Command')) return ' (command)';
  return /^(AckOf|AnswerTo)/.test(message) ? ' (reply)' : '';
}

const sentence = (text) => (!text || /[.!?]$/.test(text) ? text : `${text}.`);
