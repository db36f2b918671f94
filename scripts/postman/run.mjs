// Runs the collection with newman against the service that the environment names (./dev env), and again without a reset.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import har from '@har-sdk/validator';
import newman from 'newman';
import { folders } from './flow.mjs';

const RUNS = 2;
const { BASE_URL, WS_URL, AUTH_JWT_SECRET, INTERNAL_API_SECRET } = process.env;
if (!BASE_URL || !AUTH_JWT_SECRET || !INTERNAL_API_SECRET) throw new Error('BASE_URL, AUTH_JWT_SECRET and INTERNAL_API_SECRET are not set: eval "$(./dev env)"');

const file = (name) => fileURLToPath(new URL(`../../openapi/postman/${name}`, import.meta.url));
const collection = file('chat-service.postman_collection.json');
const environment = file('development.postman_environment.json');
const problems = [];

const text = readFileSync(collection, 'utf8');
for (const placeholder of text.match(/"<[a-z ]+>"/g) ?? []) problems.push(`the placeholder ${placeholder} is not an example`);

const parsed = JSON.parse(text);
const { info, item } = parsed;
if (!info.schema.includes('/v2.1.0/')) problems.push('the collection does not name its schema');
const validator = new har.PostmanValidator();
for (const { instancePath, message } of await validator.verify(parsed)) problems.push(`the schema of collections: ${instancePath} ${message}`);
if ((await validator.verify({ ...parsed, item: [{ request: 7 }] })).length === 0) problems.push('the validator finds no fault in a broken collection');
for (const folder of item) {
  for (const { name, request, event } of folder.item) {
    const isComplete = name && /^[A-Z]+$/.test(request.method) && request.url.host[0] === '{{base_url}}' && request.url.path.length > 0;
    const hasTest = event.some(({ listen, script }) => listen === 'test' && script.exec.length > 0);
    if (!isComplete || !hasTest) problems.push(`${folder.name}, ${name}: the request or its test is incomplete`);
  }
}
for (const name of ['development', 'docker', 'production']) {
  const { values } = JSON.parse(readFileSync(file(`${name}.postman_environment.json`), 'utf8'));
  if (values.some(({ type, value }) => type === 'secret' && value !== '')) problems.push(`the environment ${name} has a secret`);
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = Math.floor(Date.now() / 1000);
const unsigned = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: 'alice', iat: now, exp: now + 3600 })}`;
const token = `${unsigned}.${createHmac('sha256', AUTH_JWT_SECRET).update(unsigned).digest('base64url')}`;
const values = { base_url: BASE_URL, ws_url: WS_URL ?? '', token, internal_secret: INTERNAL_API_SECRET };
const envVar = Object.entries(values).map(([key, value]) => ({ key, value }));

const wanted = Object.values(folders).flatMap((requests) => Object.values(requests)).filter(({ skipped }) => !skipped).length;
for (let run = 1; run <= RUNS; run++) {
  const { stats, failures } = (await new Promise((resolve, reject) => {
    newman.run({ collection, environment, envVar, reporters: [], timeoutRequest: 30_000 }, (error, summary) => (error ? reject(error) : resolve(summary)));
  })).run;
  for (const { source, error } of failures) problems.push(`run ${run}, ${source?.name}: ${error.message}`);
  const sent = stats.items.total - stats.items.pending;
  if (stats.items.total < wanted) problems.push(`run ${run}: ${stats.items.total} requests of ${wanted}`);
  console.log(`run ${run}: ${sent} requests, ${stats.assertions.total} tests, ${failures.length} failures`);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length ? 1 : 0;
