import { afterAll, beforeAll, beforeEach, describe, test } from 'vitest'
import { bucketSuite } from './buckets.suite.ts'
import { snapshotUploadSuite } from './snapshot-uploads.suite.ts'
import { stateSuite } from './state.suite.ts'
import { openState } from './state.ts'
import { type PostgresServer, postgresPrograms, startPostgres } from './testing/postgres-server.ts'
import { usageSuite } from './usage.suite.ts'

const programs = postgresPrograms()

if (programs === undefined) {
  test.skip('state on PostgreSQL: skipped, because no PostgreSQL server is installed (Debian: postgresql)', () => {})
} else {
  describe('a real server', () => {
    let server: PostgresServer
    /** A database whose schema was made; each test has a copy. */
    let made: string
    let url: string
    beforeAll(async () => {
      server = await startPostgres(programs)
      made = await server.createDatabase()
      await (await openState({ url: made })).close()
    })
    afterAll(() => server.stop())
    beforeEach(async () => {
      url = await server.copyDatabase(made)
    })
    const open = () => openState({ url })
    stateSuite('PostgreSQL', open)
    snapshotUploadSuite('PostgreSQL', open)
    usageSuite('PostgreSQL', {
      open: (metering) => openState({ url }, metering),
      // The server takes back what a client had not committed when it was gone.
      kill: async () => {},
    })
    bucketSuite('PostgreSQL that sorts as English does', async () =>
      openState({ url: await server.createDatabase('english') }),
    )
  })
}
