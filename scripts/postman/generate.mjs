// Generates openapi/postman/ from openapi/openapi.json: the collection, and an environment for each kind of deployment.
// openapi-to-postmanv2 converts the requests; flow.mjs orders them and adds variables and scripts. Ids derive from names, so the
// result depends on nothing but its inputs. With --check it compares instead of writing.
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import converter from 'openapi-to-postmanv2';
import { environments, folders, variables } from './flow.mjs';

const OPENAPI = new URL('../../openapi/', import.meta.url);
const TARGET = new URL('postman/', OPENAPI);

const document = JSON.parse(await readFile(new URL('openapi.json', OPENAPI), 'utf8'));
const operations = operationsOf(document);
const converted = await convert(document);

const files = { 'chat-service.postman_collection.json': collection() };
for (const [name, servers] of Object.entries(environments)) {
  files[`${name.toLowerCase()}.postman_environment.json`] = environment(name, servers);
}

let isStale = false;
await mkdir(TARGET, { recursive: true });
for (const [name, content] of Object.entries(files)) {
  const path = new URL(name, TARGET);
  const text = `${JSON.stringify(content, null, 2)}\n`;
  if (!process.argv.includes('--check')) {
    await writeFile(path, text);
  } else if ((await readFile(path, 'utf8').catch(() => '')) !== text) {
    isStale = true;
    console.error(`${fileURLToPath(path)} is out of date: run ./dev postman`);
  }
}
process.exitCode = isStale ? 1 : 0;

function collection() {
  const missing = new Set(operations.keys());
  const item = Object.entries(folders).map(([name, requests]) => ({
    id: uuid(`folder ${name}`),
    name,
    description: document.tags.find((tag) => tag.name === name).description,
    item: Object.entries(requests).map(([operationId, plan]) => {
      if (!missing.delete(operationId)) throw new Error(`flow.mjs: there is no operation ${operationId}, or it is there twice`);
      return requestItem(operations.get(operationId), plan);
    }),
  }));
  if (missing.size) throw new Error(`flow.mjs has no place for ${[...missing].join(', ')}`);
  return {
    info: {
      _postman_id: uuid('collection'),
      name: document.info.title,
      description: `${document.info.description}\n\nRun the whole collection, or create a conversation and a message first: later requests use their ids. \`token\` is a token of the user \`user_id\`; \`internal_secret\` is the service's INTERNAL_API_SECRET. Requests that destroy something act on a resource that their script makes.`,
      schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
    },
    item,
    auth: { type: 'bearer', bearer: [{ key: 'token', value: '{{token}}', type: 'string' }] },
    event: [
      script('prerequest', 'collection', `const at = (hours) => new Date(Date.now() + hours * 3600e3).toISOString();
pm.variables.set('tomorrow', at(24));
pm.variables.set('an_hour_ago', at(-1));`),
      script('test', 'collection', `pm.test('The response has a request id', () => pm.response.to.have.header('X-Request-Id'));
pm.test('The response came within 15 s', () => pm.expect(pm.response.responseTime).to.be.below(15000));`),
    ],
    variable: Object.entries(variables).map(([key, value]) => ({ key, value, type: 'string' })),
  };
}

function requestItem({ path, method, operation }, plan) {
  const source = converted.get(`${method.toUpperCase()} ${path}`);
  const { request } = source;
  const id = uuid(operation.operationId);
  const { url } = request;
  url.host = ['{{base_url}}'];
  delete request.name;
  for (const part of url.variable ?? []) {
    const variable = plan.path?.[part.key];
    if (!variable) throw new Error(`flow.mjs: ${operation.operationId} has no value for ${part.key}`);
    Object.assign(part, { value: `{{${variable}}}` });
    delete part.disabled;
  }
  const example = { limit: '50', archived: 'false' };
  for (const part of [...(url.query ?? []), ...(request.header ?? [])]) {
    const isHeader = (request.header ?? []).includes(part);
    const isFixed = part.key === 'Content-Type' || part.key === 'Accept';
    const value = plan.query?.[part.key];
    if (!isFixed) {
      part.value = value ?? (isHeader ? '{{user_id}}' : (example[part.key] ?? ''));
      part.disabled = value === undefined;
    }
  }
  if (url.query?.length === 0) delete url.query;
  const media = operation.requestBody?.content['application/json'];
  if (media) {
    request.body = {
      mode: 'raw',
      raw: JSON.stringify({ ...media.example, ...plan.body }, null, 2),
      options: { raw: { language: 'json' } },
    };
  } else if (plan.bytes) {
    request.body = { mode: 'raw', raw: plan.bytes };
  }
  request.auth = auth(operation, plan);
  if (!request.auth) delete request.auth;
  return {
    id,
    name: operation.summary,
    request,
    response: [],
    event: scripts(operation, plan),
  };
}

/** Undefined means the credentials of the collection: the user's token. */
function auth({ security }, { token }) {
  if (token) return { type: 'bearer', bearer: [{ key: 'token', value: `{{${token}}}`, type: 'string' }] };
  if (!security) return { type: 'noauth' };
  if (security.some((way) => way.bearer)) return undefined;
  const entry = (key, value) => ({ key, value, type: 'string' });
  return { type: 'apikey', apikey: [entry('key', 'X-Internal-Secret'), entry('value', '{{internal_secret}}'), entry('in', 'header')] };
}

function scripts(operation, plan) {
  const before = [plan.skipped, plan.before].filter(Boolean).join('\n');
  const statuses = Object.keys(operation.responses).filter((status) => status.startsWith('2'));
  const lines = [`pm.test('The status is ${statuses.join(' or ')}', () => pm.expect(pm.response.code).to.be.oneOf([${statuses.join(', ')}]));`];
  const media = operation.responses[statuses[0]].content?.['application/json'];
  if (media) {
    const fields = required(media.schema);
    lines.push("const body = pm.response.code < 300 ? pm.response.json() : {};");
    if (fields.length) {
      lines.push(`pm.test('The response has every required field', () => pm.expect(body).to.include.all.keys(${fields.map((name) => `'${name}'`).join(', ')}));`);
    }
    for (const [variable, at] of Object.entries(plan.saves ?? {})) {
      const value = `body${at.split('.').map((part) => (/^\d+$/.test(part) ? `?.[${part}]` : `?.${part}`)).join('')}`;
      lines.push(`if (${value}) pm.collectionVariables.set('${variable}', ${value});`);
    }
  }
  if (plan.after) lines.push(plan.after);
  return [
    ...(before ? [script('prerequest', operation.operationId, before)] : []),
    script('test', operation.operationId, lines.join('\n')),
  ];
}

/** The required fields of a schema of a response. */
function required(schema) {
  if (schema.$ref) return required(document.components.schemas[schema.$ref.split('/').pop()]);
  return [...(schema.required ?? []), ...(schema.allOf ?? []).flatMap(required)];
}

function script(listen, owner, text) {
  return { listen, script: { id: uuid(`${listen} ${owner}`), type: 'text/javascript', exec: text.split('\n') } };
}

function environment(name, servers) {
  const plain = Object.entries(servers).map(([key, value]) => ({ key, value, type: 'default', enabled: true }));
  const secret = ['token', 'internal_secret'].map((key) => ({ key, value: '', type: 'secret', enabled: true }));
  return { id: uuid(`environment ${name}`), name, values: [...plain, ...secret], _postman_variable_scope: 'environment' };
}

function operationsOf({ paths }) {
  const found = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) found.set(operation.operationId, { path, method, operation });
  }
  return found;
}

/** The converted requests, by method and path. */
async function convert(source) {
  const options = { folderStrategy: 'Tags', parametersResolution: 'Example', includeAuthInfoInExample: false };
  const result = await new Promise((resolve, reject) => {
    converter.convertV2({ type: 'json', data: structuredClone(source) }, options, (error, found) => (error ? reject(error) : resolve(found)));
  });
  if (!result.result) throw new Error(result.reason);
  const found = new Map();
  const visit = (items) => {
    for (const item of items) {
      if (item.item) visit(item.item);
      else found.set(`${item.request.method} /${item.request.url.path.join('/').replaceAll(/:(\w+)/g, '{$1}')}`, item);
    }
  };
  visit(result.output[0].data.item);
  return found;
}

/** A UUID that depends on the name only. */
function uuid(name) {
  const hex = createHash('sha256').update(`chat-service ${name}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
