import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', './scripts/closing-line.ts'],
    projects: [
      // `fast` is part of `npm run check`: pure, no process is started.
      { extends: true, test: { name: 'fast', include: ['test/*.test.ts', 'test/console/*.test.ts'] } },
      { extends: true, test: { name: 'rooms', include: ['test/{storage,lake,alerts,streams,platform,server,query}/**/*.test.ts'] } },
      { extends: true, test: { name: 'whole', include: ['test/{cli,docs,e2e,examples}/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
    ],
  },
})
