// Settings of the site. build.mjs writes its pages and the file that SITE_MANIFEST names.
import { transformerStyleToClass } from '@shikijs/transformers';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitepress';
import { anchorOf, rewriteLinks } from '../links.mjs';

const manifest = JSON.parse(readFileSync(process.env.SITE_MANIFEST, 'utf8'));
const base = '/docs/';

// The content policy of nginx forbids inline styles: the colours of code become classes.
const colours = transformerStyleToClass({ classPrefix: 'c-' });

export default defineConfig({
  base,
  srcDir: manifest.source,
  outDir: manifest.output,
  cacheDir: manifest.cache,
  title: 'Chat Service',
  description: 'Documents of the Chat Service: interfaces, plugins, operation, and the reference of REST and events',
  lang: 'en',
  cleanUrls: true,
  metaChunk: true,
  // Otherwise each change of the theme adds an inline style, which the content policy forbids.
  appearance: { disableTransition: false },
  head: [['link', { rel: 'icon', href: `${base}favicon.svg`, type: 'image/svg+xml' }]],
  markdown: {
    anchor: { slugify: anchorOf },
    codeTransformers: [colours],
    config: (md) => {
      rewriteLinks(md, manifest);
      // Two braces in a text are no expression.
      const text = md.renderer.rules.text;
      md.renderer.rules.text = (...args) => text(...args).replaceAll('{{', '&#123;&#123;');
    },
  },
  themeConfig: {
    siteTitle: 'Chat Service',
    search: { provider: 'local', options: { detailedView: true } },
    nav: [
      { text: 'Integration', link: '/integration' },
      { text: 'REST', link: '/rest/' },
      { text: 'Events', link: '/asyncapi/' },
      { text: 'Operation', link: '/operations' },
    ],
    sidebar: manifest.sidebar,
    outline: { level: [2, 3] },
    externalLinkIcon: true,
  },
  // The content policy of nginx forbids inline scripts, which become files, and styles of elements, which theme/style.css has.
  transformHtml(code) {
    return code.replaceAll(/ style="(--vp-vh:0px;|position:relative;)"/g, '').replace(/<script( id="[^"]*")?>([^]*?)<\/script>/g, (_, id, script) => {
      const name = `inline-${createHash('sha256').update(script).digest('hex').slice(0, 12)}.js`;
      mkdirSync(join(manifest.output, 'assets'), { recursive: true });
      writeFileSync(join(manifest.output, 'assets', name), script);
      return `<script${id ?? ''} src="${base}assets/${name}"></script>`;
    });
  },
  buildEnd({ outDir }) {
    writeFileSync(join(outDir, 'assets/code.css'), colours.getCSS());
  },
  // The index of the search is one file, loaded with the first search.
  vite: { build: { chunkSizeWarningLimit: 4_000 } },
  transformHead: () => [['link', { rel: 'stylesheet', href: `${base}assets/code.css` }]],
});
