// Builds dist/ for the package. React and the client stay outside.
import { execFileSync } from 'node:child_process';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const common = { entryPoints: [`${root}src/index.ts`], bundle: true, target: 'es2020', jsx: 'automatic', external: ['react', 'react/*', 'chat-service-client'] };
await build({ ...common, format: 'esm', outfile: `${root}dist/index.js` });
await build({ ...common, format: 'cjs', outfile: `${root}dist/index.cjs` });
execFileSync('npx', ['tsc', '--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
