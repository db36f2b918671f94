// Compiles the NestJS example beside the others and runs the tests.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';

const root = new URL('..', import.meta.url).pathname;
rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`], { cwd: root, stdio: 'inherit' });
copyFileSync(`${root}webhook-signature.js`, `${root}dist/webhook-signature.js`);
process.exitCode = spawnSync(process.execPath, ['--test', `${root}test/server.test.mjs`], { stdio: 'inherit' }).status ?? 1;
