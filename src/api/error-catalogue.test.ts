import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { catalogue, type ErrorCode, KilnError } from '../lib/errors.ts'

const source = join(import.meta.dirname, '..')
const files = globSync('**/*.ts', { cwd: source }).filter((path) => !/\.(test|suite)\.ts$/.test(path))

describe('the catalogue of errors', () => {
  test('has every code that the code throws', () => {
    const thrown = files.flatMap((path) =>
      [...readFileSync(join(source, path), 'utf8').matchAll(/new KilnError\(\s*'([^']+)'/g)].map((match) => match[1]!),
    )
    expect(thrown.length).toBeGreaterThan(50)
    expect([...new Set(thrown)].filter((code) => !Object.hasOwn(catalogue, code))).toEqual([])
  })

  test.each(Object.entries(catalogue))(
    '%s has the form of a code of EC2 and the status of an error',
    (code, status) => {
      expect(code).toMatch(/^[A-Z][A-Za-z0-9]+(?:\.[A-Z][A-Za-z]+)?$/)
      expect([301, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 416, 500, 501, 503]).toContain(status)
      const error = new KilnError(code as ErrorCode, 'why')
      expect(error).toMatchObject({ code, status, message: 'why' })
    },
  )

  test('blames the caller below 500 and Kiln above', () => {
    const ours = Object.entries(catalogue).filter(([, status]) => status >= 500)
    expect(ours.map(([code]) => code).sort()).toEqual(
      [
        'InsufficientInstanceCapacity',
        'InternalError',
        'NotImplemented',
        'RequestLimitExceeded',
        'ServerBusy',
        'Unavailable',
      ].sort(),
    )
  })
})
