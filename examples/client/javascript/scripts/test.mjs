// Builds the tests and runs them with Node's own runner, against the service that the environment names.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const chosen = process.argv.slice(2);
const names = readdirSync(`${root}test`).filter((name) => name.endsWith('.test.ts') && (chosen.length === 0 || chosen.some((part) => name.includes(part))));
const outdir = `${root}dist/test`;
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: names.map((name) => `${root}test/${name}`),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node18',
  outdir,
  outExtension: { '.js': '.mjs' },
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
const files = names.map((name) => `${outdir}/${name.replace(/\.ts$/, '.mjs')}`);
const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--expose-gc', '--test', ...files], { stdio: 'inherit', cwd: root });
process.exitCode = status ?? 1;
