import { defineConfig } from 'vitest/config'

// `unit` lives beside the code. `e2e` starts real daemons, guests and clients, one file at a time: two busy cores are all
// that a small machine has. `npm test` runs them one after the other, the quick ones first.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
