import { defineConfig } from 'vitest/config'

/** A whole cloud or its daemon, crashes included, and no guest: the machines are simulated. */
const withoutGuests = ['test/{api,crash,daemon,simulation}/**/*.test.ts']
/** Vitest itself would leave one core free, which is half of a small machine. */
const maxWorkers = '100%'

/** Guests that keep a small machine busy for minutes. */
const wholeMachine = ['test/e2e/debian.test.ts', 'test/e2e/terraform.test.ts']

// `unit` lives beside the code; its files and those of `api` run on all cores. `e2e` boots small guests, which wait as often
// as they work: two files at a time. Those of `whole-machine` come one by one, after all others. Files share the modules of
// their worker, which are imported once instead of for each: none keeps anything there that another could see.
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
          isolate: false,
        },
      },
      {
        test: {
          name: 'api',
          include: withoutGuests,
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers,
          isolate: false,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: wholeMachine,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 2,
          isolate: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'whole-machine',
          include: wholeMachine,
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
