// The documents of the repository that are pages of the site, with their addresses, and the menu.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** The menu. A document of docs/ that is in no group is in the group of plugins. */
const GROUPS = [
  ['Start', ['INTEGRATION', 'QUICKREF', 'TROUBLESHOOTING', 'MIGRATING']],
  ['Interfaces', ['API', 'WEBSOCKET', 'EVENTS', 'WEBHOOKS', 'NATS', 'SOCKETIO']],
  ['Plugins', ['PLUGINS', 'HOOKS', 'ACCOUNTS', 'ATTACHMENTS', 'NOTIFICATIONS', 'MODERATION']],
  ['Operation', ['CONFIGURATION', 'OPERATIONS', 'PERFORMANCE']],
  ['Design', ['ARCHITECTURE', 'CONTRIBUTING', 'GLOSSARY']],
];

/** All documents: path in the repository, address without `.md`, title. */
export function documents() {
  const paths = ['README.md', 'CHANGELOG.md'];
  for (const name of readdirSync(join(ROOT, 'docs'))) if (name.endsWith('.md')) paths.push(`docs/${name}`);
  const examples = (folder) => {
    for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
      if (entry.name === 'node_modules') continue;
      if (entry.isDirectory()) examples(`${folder}/${entry.name}`);
      else if (entry.name === 'README.md') paths.push(`${folder}/README.md`);
    }
  };
  examples('examples');
  return paths.filter((path) => existsSync(join(ROOT, path))).map((path) => ({ path, page: pageOf(path), title: titleOf(path) }));
}

function pageOf(path) {
  if (path === 'README.md') return 'index';
  return path.replace(/^docs\//, '').replace(/\/README\.md$/, '').replace(/\.md$/, '').toLowerCase();
}

function titleOf(path) {
  return readFileSync(join(ROOT, path), 'utf8').match(/^# (.+)$/m)?.[1].replaceAll('`', '') ?? path;
}

/** The menu at the side, with the generated pages. */
export function sidebar(all, generated) {
  const item = ({ title, page }) => ({ text: title, link: page === 'index' ? '/' : `/${page}` });
  const byPath = new Map(all.map((document) => [document.path, document]));
  const named = new Set(GROUPS.flatMap(([, names]) => names));
  const rest = all.filter(({ path }) => path.startsWith('docs/') && !named.has(path.slice(5, -3)));
  const groups = GROUPS.map(([text, names]) => {
    const items = names.map((name) => byPath.get(`docs/${name}.md`)).filter(Boolean);
    if (text === 'Plugins') items.push(...rest);
    return { text, items: items.map(item) };
  });
  groups[0].items.unshift({ text: 'Overview', link: '/' });
  groups.at(-1).items.push(item(byPath.get('CHANGELOG.md')));
  const examples = all.filter(({ path }) => path.startsWith('examples/')).map(item);
  groups.splice(2, 0, ...generated.map((group) => ({ collapsed: true, ...group })), { text: 'Examples', collapsed: true, items: examples });
  return groups;
}
