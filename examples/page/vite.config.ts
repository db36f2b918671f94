import optimizeLocales from '@react-aria/optimize-locales-plugin';
import react from '@vitejs/plugin-react';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const require = createRequire(import.meta.url);

/** The emoji picker reads its list by address; the list is copied into the build, so that the page needs no other host. */
function emojiData(): Plugin {
  return {
    name: 'emoji-data',
    apply: 'build',
    generateBundle() {
      for (const name of ['data.json', 'messages.json']) {
        const source = readFileSync(require.resolve(`emojibase-data/en/${name}`));
        this.emitFile({ type: 'asset', fileName: `emoji/en/${name}`, source });
      }
    },
  };
}

export default defineConfig({
  plugins: [
    react(),
    emojiData(),
    // The component library brings its few texts in more than thirty languages; the page itself is English.
    { ...optimizeLocales.vite({ locales: ['en-US', 'ar-AE'] }), enforce: 'pre' },
  ],
  resolve: {
    // The sources of this repository. In a project of your own, install the two packages instead.
    alias: {
      'chat-service-client': path('../client/javascript/src/index.ts'),
      'chat-service-react': path('../client/react/src/index.ts'),
    },
    dedupe: ['react', 'react-dom'],
  },
  build: {
    // The content policy forbids `data:` addresses and inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: {
    // `npm run dev` shows the page with the service of `./dev up`.
    proxy: Object.fromEntries(
      ['/api', '/ws', '/dev-users.json'].map((prefix) => [prefix, { target: process.env.BASE_URL ?? 'http://127.0.0.1:8080', ws: prefix === '/ws' }]),
    ),
  },
});
