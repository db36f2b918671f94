// Builds dist/ for the package, and chat-client.js, the same client as one file for pages without a bundler.
// With --check it compares chat-client.js with the sources, and the size of the minified core with its limit. The core is what a bundler
// keeps of an application that uses the client and no optional part.
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const MAX_GZIPPED_BYTES = 12 * 1024;
const root = new URL('..', import.meta.url).pathname;
const common = { entryPoints: [`${root}src/index.ts`], bundle: true, target: 'es2020', charset: 'utf8', write: false, legalComments: 'none' };

const [esm, cjs, minified, core] = await Promise.all([
  build({ ...common, format: 'esm' }),
  build({ ...common, format: 'cjs' }),
  build({ ...common, format: 'esm', minify: true }),
  build({ ...common, entryPoints: [`${root}src/core.ts`], format: 'esm', minify: true }),
]);
const banner = '// The client of the Chat Service as one file: built from src/ by `npm run build`. Do not edit.\n';
const single = banner + esm.outputFiles[0].text;
const sizeOf = ({ outputFiles }) => gzipSync(outputFiles[0].contents, { level: 9 }).length;
const size = sizeOf(core);
console.log(`minified and gzipped: core ${size} bytes (limit ${MAX_GZIPPED_BYTES}), with every optional part ${sizeOf(minified)} bytes`);
if (size > MAX_GZIPPED_BYTES) process.exitCode = 1;

if (process.argv.includes('--check')) {
  if ((await readFile(`${root}chat-client.js`, 'utf8').catch(() => '')) !== single) {
    console.error('chat-client.js is out of date: run npm run build');
    process.exitCode = 1;
  }
} else {
  execFileSync('npx', ['tsc', '--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
  await writeFile(`${root}dist/index.js`, esm.outputFiles[0].text);
  await writeFile(`${root}dist/index.cjs`, cjs.outputFiles[0].text);
  await writeFile(`${root}chat-client.js`, single);
}
