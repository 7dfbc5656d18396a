import { defineConfig } from 'vitest/config'

/** A whole cloud or its daemon, crashes included, and no guest: the machines are simulated. */
const withoutGuests = ['test/{api,crash,daemon,simulation}/**/*.test.ts']
/** Vitest itself would leave one core free, which is half of a small machine. */
const maxWorkers = '100%'

// `unit` lives beside the code; its files and those of `api` run on all cores. `e2e` boots guests, each of which takes a
// small machine for itself: its files come one at a time, after all others.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 240_000,
          maxWorkers,
        },
      },
      {
        test: {
          name: 'api',
          include: withoutGuests,
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
