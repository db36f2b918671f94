// Links between the documents, which are written for a reader of the repository, become links of the site.
import { statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { ROOT } from './documents.mjs';

/**
 * Rewrites relative links and pictures: a document becomes its page, any other file of the repository a copy below /files.
 * `pages` maps paths in the repository to pages; `sources` maps pages, as `index.md`, to paths in the repository.
 */
export function rewriteLinks(md, { pages, sources }) {
  md.core.ruler.push('links-of-the-repository', ({ tokens, env }) => {
    const source = sources[env.relativePath];
    if (source === undefined) return;
    for (const { children } of tokens) {
      for (const token of children ?? []) {
        const attribute = token.type === 'image' ? 'src' : token.type === 'link_open' ? 'href' : undefined;
        if (attribute) token.attrSet(attribute, resolve(source, token.attrGet(attribute), pages));
      }
    }
  });
}

/** The paths in the repository that the link of a document names, without its fragment. */
export function target(source, link) {
  if (/^([a-z]+:|\/|#)/i.test(link)) return undefined;
  return posix.normalize(posix.join(posix.dirname(source), decodeURI(link.split('#')[0]))).replace(/\/$/, '');
}

function resolve(source, link, pages) {
  const path = target(source, link);
  if (path === undefined) return link;
  const fragment = link.includes('#') ? link.slice(link.indexOf('#')) : '';
  const page = pages[path] ?? pages[`${path}/README.md`];
  if (page !== undefined) return `/${page === 'index' ? '' : page}${fragment}`;
  return `/${copyOf(path)}`;
}

/** The address of the copy of a file, or of the list of a folder. The generator takes names of unknown types for pages, so they end with .txt. */
export function copyOf(path) {
  if (path.startsWith('docs/images/')) return path.slice('docs/'.length);
  const isFolder = statSync(join(ROOT, path), { throwIfNoEntry: false })?.isDirectory();
  return `files/${path}${isFolder || /\.(json|yaml)$/.test(path) ? '' : '.txt'}`;
}

/** The anchors of headings as code hosts make them, because the documents link to them. */
export function anchorOf(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-');
}
