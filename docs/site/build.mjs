// Builds the site: collects the documents, writes the pages of both API documents, and runs VitePress.
//   node build.mjs OUTPUT WORK     OUTPUT is the folder of the site, WORK one for temporary files
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build } from 'vitepress';
import { documents, ROOT, sidebar } from './documents.mjs';
import { copyOf, target } from './links.mjs';
import { eventPages } from './reference/asyncapi.mjs';
import { restPages } from './reference/openapi.mjs';

const [output, work] = process.argv.slice(2).map((path) => resolve(path));
if (!output || !work) throw new Error('usage: node build.mjs OUTPUT WORK');
const source = join(work, 'source');
rmSync(source, { recursive: true, force: true });

const write = (path, text) => {
  mkdirSync(dirname(join(source, path)), { recursive: true });
  writeFileSync(join(source, path), text);
};
const read = (path) => readFileSync(join(ROOT, path), 'utf8');

const all = documents();
const references = [restPages(JSON.parse(read('openapi/openapi.json'))), eventPages(JSON.parse(read('openapi/asyncapi.json')))];
for (const { path, page } of all) write(`${page}.md`, read(path));
for (const { pages } of references) for (const [page, text] of Object.entries(pages)) write(`${page}.md`, text);

// Files of the repository that documents link to are copied, folders as lists of their files.
const pages = Object.fromEntries(all.map(({ path, page }) => [path, page]));
const publicFiles = new Set(['openapi/openapi.json', 'openapi/openapi.yaml', 'openapi/asyncapi.json', 'openapi/asyncapi.yaml', 'openapi/schemas']);
for (const { path } of all) {
  for (const [, link] of read(path).matchAll(/\]\(([^)\s]+)/g)) {
    const found = target(path, link);
    if (found && !pages[found] && !pages[`${found}/README.md`] && existsSync(join(ROOT, found))) publicFiles.add(found);
  }
}
for (const path of publicFiles) publish(path);

function publish(path) {
  const from = join(ROOT, path);
  if (!statSync(from).isDirectory()) return cpSync(from, join(source, 'public', copyOf(path)));
  const names = readdirSync(from, { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => name).sort();
  for (const name of names) publish(`${path}/${name}`);
  write(`${copyOf(path)}.md`, `# ${path}\n\n${names.map((name) => `- [${name}](/${copyOf(`${path}/${name}`)})`).join('\n')}\n`);
}

// Pages import Vue, which is looked for in their own folder.
symlinkSync(join(import.meta.dirname, 'node_modules'), join(source, 'node_modules'));
cpSync(join(ROOT, 'examples/page/public/favicon.svg'), join(source, 'public/favicon.svg'));
const manifest = {
  source,
  output,
  cache: join(work, 'cache'),
  pages,
  sources: Object.fromEntries(all.map(({ path, page }) => [`${page}.md`, path])),
  sidebar: sidebar(all, references.map(({ group }) => group)),
};
process.env.SITE_MANIFEST = join(work, 'manifest.json');
writeFileSync(process.env.SITE_MANIFEST, JSON.stringify(manifest));
await build(import.meta.dirname, { logLevel: 'warn' });
