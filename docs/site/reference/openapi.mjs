// Pages of the REST API: one per tag, an overview, and the schemas.
import { code, document, inline, json, paragraphs, Schemas } from './schema.mjs';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const CALLERS = { bearer: 'a user with a token', internalSecret: 'the host with the internal secret' };
const slug = (tag) => tag.toLowerCase().replace(/[^a-z]+/g, '-').replace(/-$/, '');

/** The pages, as a map of their paths to their texts, and their group of the menu. */
export function restPages(api) {
  const schemas = new Schemas(api, (name) => `/rest/schemas#${name}`);
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method: method.toUpperCase(), shared: item.parameters ?? [], ...item[method] })),
  );
  const tags = api.tags
    .map(({ name, description }) => ({ name, description, page: `rest/${slug(name)}`, all: operations.filter((one) => one.tags?.[0] === name) }))
    .filter(({ all }) => all.length > 0);
  const lost = operations.filter(({ tags: own }) => !api.tags.some(({ name }) => name === own?.[0]));
  if (lost.length > 0) throw new Error(`no tag of the document has ${lost.map(({ operationId }) => operationId).join(', ')}`);

  const pages = { 'rest/index': overview(api, tags), 'rest/schemas': schemas.page('Schemas of REST', 'The named schemas of the OpenAPI document.') };
  for (const tag of tags) {
    pages[tag.page] = document([`# ${tag.name}`, paragraphs(tag.description), ...tag.all.flatMap((one) => operation(api, one, schemas))]);
  }
  const items = [{ text: 'Overview', link: '/rest/' }, ...tags.map(({ name, page }) => ({ text: name, link: `/${page}` })), { text: 'Schemas', link: '/rest/schemas' }];
  return { pages, group: { text: 'REST reference', items } };
}

function overview(api, tags) {
  const parts = [
    '# REST reference',
    `Version ${api.info.version}. ${inline(api.info.description)}`,
    'The document itself: [openapi.json](/files/openapi/openapi.json), [openapi.yaml](/files/openapi/openapi.yaml). To try requests, open Swagger UI at `/api/docs` of a running service.',
  ];
  for (const { name, description, page, all } of tags) {
    const rows = all.map(({ method, path, summary, operationId }) => `| ${code(method)} | ${code(path)} | [${inline(summary)}](/${page}#${operationId}) |`);
    parts.push(`## ${name}`, inline(description), ['| method | path | operation |', '|---|---|---|', ...rows].join('\n'));
  }
  return document(parts);
}

function operation(api, { method, path, operationId, summary, description, deprecated, security, parameters = [], shared, requestBody, responses }, schemas) {
  const callers = security?.flatMap((way) => Object.keys(way).map((name) => CALLERS[name] ?? name)) ?? [];
  const parts = [
    `## ${inline(summary)} {#${operationId}}`,
    `${code(`${method} ${path}`)}${deprecated ? ' **deprecated**' : ''}`,
    paragraphs(description),
    callers.length > 0 ? `For ${callers.join(' or ')}.` : 'Open to everybody.',
  ];
  const all = [...shared, ...parameters].map((one) => component(api, one));
  if (all.length > 0) {
    const rows = all.map(
      (one) => `| ${code(one.name)} | ${one.in} | ${schemas.type(one.schema)}${one.required ? '' : ' (optional)'} | ${inline(one.description ?? one.schema?.description)} |`,
    );
    parts.push(['| parameter | in | type | description |', '|---|---|---|---|', ...rows].join('\n'));
  }
  const [bodyType, body] = Object.entries(component(api, requestBody)?.content ?? {})[0] ?? [];
  if (body) {
    parts.push(`**Body**: ${schemas.type(body.schema)}${bodyType === 'application/json' ? '' : `, ${code(bodyType)}`}`, schemas.fields(body.schema));
    const example = exampleOf(body);
    if (example !== undefined) parts.push(json(example));
  }
  parts.push('**Responses**', responseTable(api, responses, schemas));
  const success = Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1];
  const [type, content] = Object.entries(component(api, success)?.content ?? {})[0] ?? [];
  const example = content && exampleOf(content);
  if (example !== undefined) parts.push(type === 'application/json' ? json(example) : `\`\`\`text\n${String(example).trimEnd()}\n\`\`\``);
  return parts;
}

function responseTable(api, responses, schemas) {
  const rows = Object.entries(responses).map(([status, given]) => {
    const { description, content } = component(api, given);
    const schema = Object.values(content ?? {})[0]?.schema;
    return `| ${code(status)} | ${schema ? schemas.type(schema) : 'none'} | ${inline(description)} |`;
  });
  return ['| status | body | meaning |', '|---|---|---|', ...rows].join('\n');
}

const exampleOf = ({ example, examples }) => example ?? Object.values(examples ?? {})[0]?.value;

function component(api, value) {
  if (!value?.$ref) return value;
  return value.$ref.split('/').slice(1).reduce((at, part) => at[part], api);
}
