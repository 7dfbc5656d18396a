import { describe, expect, test } from 'vitest'
import { violations } from './import-rules.ts'

/** What is said of one file. */
function said(path: string, text: string): string[] {
  return violations([{ path, text }]).map((one) => one.message)
}

describe('rooms', () => {
  test.each([
    ['src/blocks/chunks.ts', "import { limits } from '../lib/limits.ts'"],
    ['src/cloud/images/images.ts', "import type { State } from '../../state/state.ts'"],
    ['src/cloud/images/images.ts', "import { rules } from './image-rules.ts'"],
    ['src/cloud/ports.ts', "export type { MachineDriver } from '../machines/driver.ts'"],
    ['src/cloud/ports.ts', "export type { ContentStore } from '../objects/store.ts'"],
    ['src/cloud/ports.ts', "import { type Hash, type Store } from '../blocks/store.ts'"],
    ['src/cloud/costs/bills.ts', "import { rate } from '../../prices/rating.ts'"],
    ['src/cli/commands/cost.ts', "import { compareWorkload } from '../../prices/workload.ts'"],
    ['src/machines/driver.ts', "import type { NicAttachment } from '../network/driver.ts'"],
    ['src/cli/commands/image-pull.ts', "import { download } from '../../builder/catalogue/download.ts'"],
    ['src/cli/client.ts', "import { encode } from '../api/ec2/codec/encode.ts'"],
    ['src/cli/commands/serve.ts', "const { serve } = await import('../../server.ts')"],
    ['src/server.ts', "import { QemuDriver } from './machines/qemu/driver.ts'"],
    ['src/api/ec2/model/types.ts', "type A = import('@aws-sdk/client-ec2').RunInstancesRequest"],
  ])('%s may say %s', (path, text) => expect(said(path, text)).toEqual([]))

  test.each([
    ['src/lib/ids.ts', "import { state } from '../state/state.ts'", 'imports state/state.ts, which lib may not'],
    ['src/blocks/chunks.ts', "import { a } from '../state/a.ts'", 'imports state/a.ts, which blocks may not'],
    ['src/objects/local-contents.ts', "import { a } from '../state/a.ts'", 'imports state/a.ts, which objects may not'],
    ['src/cloud/a.ts', "import type { C } from '../objects/store.ts'", 'imports objects/store.ts, which cloud may not'],
    ['src/operations/runner.ts', "import { a } from '../cloud/a.ts'", 'imports cloud/a.ts, which operations may not'],
    [
      'src/cloud/a.ts',
      "import type { D } from '../machines/driver.ts'",
      'imports machines/driver.ts, which cloud may not',
    ],
    [
      'src/cloud/ports.ts',
      "import { D } from '../machines/driver.ts'",
      'imports machines/driver.ts, which cloud may not',
    ],
    [
      'src/cloud/ports.ts',
      "import { type D, E } from '../machines/driver.ts'",
      'imports machines/driver.ts, which cloud may not',
    ],
    [
      'src/machines/driver.ts',
      "import { probe } from '../network/driver.ts'",
      'imports network/driver.ts, which machines may not',
    ],
    ['src/prices/a.ts', "import { a } from '../cloud/a.ts'", 'imports cloud/a.ts, which prices may not'],
    ['src/api/ce/a.ts', "import { a } from '../../prices/a.ts'", 'imports prices/a.ts, which api may not'],
    ['src/api/ec2/a.ts', "export * from '../../state/state.ts'", 'imports state/state.ts, which api may not'],
    [
      'src/cli/a.ts',
      "import { images } from '../api/ec2/handlers/images.ts'",
      'imports api/ec2/handlers/images.ts, which cli may not',
    ],
    [
      'src/cli/a.ts',
      "import { a } from '../builder/kiln-linux/a.ts'",
      'imports builder/kiln-linux/a.ts, which cli may not',
    ],
    ['src/cli/serve.ts', "import { serve } from '../server.ts'", 'imports server.ts, which cli may not'],
    ['src/api/a.ts', "const a = await import('../server.ts')", 'imports server.ts, which api may not'],
    ['src/cloud/a.ts', "import {\n  a,\n  b,\n} from '../api/a.ts'", 'imports api/a.ts, which cloud may not'],
    ['src/cloud/a.ts', "import '../api/a.ts'", 'imports api/a.ts, which cloud may not'],
    ['src/cloud/a.test.ts', "import { a } from '../api/a.ts'", 'imports api/a.ts, which cloud may not'],
  ])('%s may not say %s', (path, text, message) => expect(said(path, text)).toEqual([message]))
})

describe('doors', () => {
  const programs = "import { run } from '../../lib/programs.ts'"
  test('programs are started by few rooms, and by tests', () => {
    expect(said('src/lib/programs.ts', "import { spawn } from 'node:child_process'")).toEqual([])
    expect(said('src/machines/qemu/process.ts', programs)).toEqual([])
    expect(said('src/builder/kiln-linux/disk.ts', programs)).toEqual([])
    expect(said('src/blocks/nbd/server.test.ts', programs)).toEqual([])
    expect(said('src/blocks/testing/disks.ts', "import { run } from '../../lib/programs.ts'")).toEqual([])
    expect(said('src/cloud/images/images.ts', programs)).toHaveLength(1)
    expect(said('src/machines/simulated/driver.ts', programs)).toHaveLength(1)
    expect(said('src/machines/qemu/process.ts', "import { spawn } from 'node:child_process'")).toHaveLength(1)
    expect(said('src/machines/qemu/process.test.ts', "import { spawn } from 'node:child_process'")).toHaveLength(1)
  })

  test('the database belongs to the state', () => {
    for (const name of ['kysely', 'pg', 'node:sqlite']) {
      expect(said('src/state/database.ts', `import { a } from '${name}'`)).toEqual([])
      expect(said('src/cloud/images.ts', `import { a } from '${name}'`)).toHaveLength(1)
    }
    expect(said('src/api/a.ts', "import { a } from 'pgvector'")).toEqual([])
  })
})

describe('time, chance and names', () => {
  test.each(['Date.now()', 'new Date()', 'setTimeout(f, 1)', 'Math.random()', 'randomUUID()'])(
    '%s is given',
    (code) => {
      expect(said('src/cloud/a.ts', `const a = ${code}`)).toHaveLength(1)
      expect(said('src/operations/a.ts', `const a = ${code}`)).toHaveLength(1)
      expect(said('src/state/a.test.ts', `const a = ${code}`)).toEqual([])
      expect(said('src/lib/clock.ts', `const a = ${code}`)).toEqual([])
    },
  )

  test('a date of a given moment is fine, and so is what a comment or a text says', () => {
    expect(said('src/cloud/a.ts', 'const a = new Date(clock.now())')).toEqual([])
    expect(said('src/cloud/a.ts', "// not Date.now()\nconst a = 'Math.random()'")).toEqual([])
  })

  test("AWS's names stay in api", () => {
    expect(said('src/cloud/a.ts', 'return { ImageId: image.id }')).toEqual([
      "speaks of ImageId: AWS's names belong to api",
    ])
    expect(said('src/cloud/a.ts', 'return input.InstanceIds')).toHaveLength(1)
    expect(said('src/cloud/a.ts', "throw new KilnError('MissingParameter', 'needs ImageId: none given')")).toEqual([])
    expect(said('src/api/ec2/handlers/a.ts', 'return { ImageId: image.id }')).toEqual([])
  })

  test('a complaint names its line', () => {
    const text = "import { a } from './a.ts'\n\nconst b = Math.random()\n"
    expect(violations([{ path: 'src/cloud/b.ts', text }])).toMatchObject([{ path: 'src/cloud/b.ts', line: 3 }])
  })
})
