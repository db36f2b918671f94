// Builds the tests and runs them with Node's own runner, against the service that the environment names.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const names = readdirSync(`${root}test`).filter((name) => /\.test\.tsx?$/.test(name));
const outdir = `${root}dist/test`;
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: names.map((name) => `${root}test/${name}`),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node18',
  jsx: 'automatic',
  outdir,
  outExtension: { '.js': '.mjs' },
  external: ['react', 'react/*', 'react-dom', 'react-dom/*', 'jsdom', 'ws'],
  alias: { 'chat-service-client': `${root}../javascript/src/index.ts` },
  sourcemap: 'inline',
  logLevel: 'warning',
});
const files = names.map((name) => `${outdir}/${name.replace(/\.tsx?$/, '.mjs')}`);
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit', cwd: root });
process.exitCode = status ?? 1;
