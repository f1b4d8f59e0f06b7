import { defaultServerConditions } from 'vite'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Examples import 'lagoa' as users do; in a checkout that is the source.
  resolve: { conditions: ['lagoa-source'] },
  // Node knows no condition `module`: packages put files there that only bundlers can load.
  ssr: { resolve: { conditions: ['lagoa-source', ...defaultServerConditions.filter((condition) => condition !== 'module')] } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', './scripts/closing-line.ts'],
    projects: [
      // `fast` is part of `npm run check`: pure, no process is started.
      { extends: true, test: { name: 'fast', include: ['test/*.test.ts', 'test/console/*.test.ts'] } },
      { extends: true, test: { name: 'rooms', include: ['test/{storage,catalog,lake,alerts,streams,sandbox,platform,server,query,flows}/**/*.test.ts'] } },
      { extends: true, test: { name: 'whole', include: ['test/{cli,docs,e2e,examples,chaos}/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
      // The same rounds as in `whole`, many more of them: `npm run test:chaos`.
      { extends: true, test: { name: 'chaos', include: ['test/chaos/*.test.ts'], env: { CHAOS_FORM: 'full' }, testTimeout: 180_000, hookTimeout: 180_000 } },
      // Other engines of Delta Lake; `npm run test:interop` installs and runs them. A second JVM at a time is more than a small machine bears.
      {
        extends: true,
        test: { name: 'interop', include: ['test/interop/*.test.ts'], testTimeout: 600_000, hookTimeout: 600_000, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
