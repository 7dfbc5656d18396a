/** What the codec takes and refuses, and how errors look on the wire. The official client's own view is in `test/api`. */
import { describe, expect, test } from 'vitest'
import { KilnError } from '../../lib/errors.ts'
import { base64Of, readBlockIndex, readChecksum, readInteger, readSnapshotId, readStartSnapshot } from './codec.ts'
import { ebsErrorAnswer } from './errors.ts'
import { routeOf } from './routes.ts'

const start = (value: unknown) => readStartSnapshot(Buffer.from(JSON.stringify(value)))
const codeOf = (work: () => unknown) => {
  try {
    return { accepted: work() }
  } catch (error) {
    return (error as KilnError).code
  }
}

describe('routes', () => {
  test.each([
    ['POST', '/snapshots', { operation: 'StartSnapshot', snapshotId: '', blockIndex: '' }],
    ['POST', '/snapshots/completion/snap-1', { operation: 'CompleteSnapshot', snapshotId: 'snap-1', blockIndex: '' }],
    ['GET', '/snapshots/snap-1/blocks', { operation: 'ListSnapshotBlocks', snapshotId: 'snap-1', blockIndex: '' }],
    [
      'GET',
      '/snapshots/snap-1/changedblocks',
      { operation: 'ListChangedBlocks', snapshotId: 'snap-1', blockIndex: '' },
    ],
    ['GET', '/snapshots/snap-1/blocks/7', { operation: 'GetSnapshotBlock', snapshotId: 'snap-1', blockIndex: '7' }],
    ['PUT', '/snapshots/snap-1/blocks/7', { operation: 'PutSnapshotBlock', snapshotId: 'snap-1', blockIndex: '7' }],
    ['GET', '/snapshots/snap%2D1/blocks', { operation: 'ListSnapshotBlocks', snapshotId: 'snap-1', blockIndex: '' }],
  ])('%s %s', (method, path, route) => expect(routeOf(method, path)).toEqual(route))

  test.each([
    ['GET', '/snapshots'],
    ['POST', '/'],
    ['PUT', '/snapshots/snap-1/blocks'],
    ['GET', '/snapshots/snap-1/blocks/7/more'],
    ['DELETE', '/snapshots/snap-1/blocks/7'],
    ['GET', '/snapshots/snap-%/blocksx'],
  ])('%s %s is none', (method, path) => {
    expect(codeOf(() => routeOf(method, path))).toBe('UnknownOperationException')
  })
})

describe('values', () => {
  test('numbers are whole, in digits, and within their bounds', () => {
    expect(readInteger('N', '12', { min: 0, max: 12 })).toBe(12)
    for (const text of [undefined, '', '13', '-1', '1.5', '1e1', ' 1', '0x1', '9'.repeat(30)]) {
      expect(codeOf(() => readInteger('N', text, { min: 0, max: 12 }))).toBe(
        'ValidationException.InvalidParameterValue',
      )
    }
    expect(codeOf(() => readBlockIndex('2147483648'))).toBe('ValidationException.InvalidParameterValue')
  })

  test('a checksum is 32 bytes in base64, and nothing else', () => {
    const hexadecimal = 'ab'.repeat(32)
    expect(readChecksum('C', base64Of(hexadecimal))).toBe(hexadecimal)
    for (const text of [undefined, '', hexadecimal, base64Of('ab'), base64Of(hexadecimal).replace('=', '')]) {
      expect(codeOf(() => readChecksum('C', text))).toBe('ValidationException.InvalidParameterValue')
    }
  })

  test('a snapshot id has the form that the reference gives', () => {
    expect(readSnapshotId('S', 'snap-0a')).toBe('snap-0a')
    for (const text of [undefined, '', 'snap-', 'snap-X', 'vol-1', `snap-${'0'.repeat(60)}`]) {
      expect(codeOf(() => readSnapshotId('S', text))).toBe('ValidationException.InvalidSnapshotId')
    }
  })

  test.each<[unknown, string]>([
    [null, 'ValidationException.InvalidParameterValue'],
    [[], 'ValidationException.InvalidParameterValue'],
    [{}, 'ValidationException.InvalidParameterValue'],
    [{ VolumeSize: '1' }, 'ValidationException.InvalidVolumeSize'],
    [{ VolumeSize: 1.5 }, 'ValidationException.InvalidVolumeSize'],
    [{ VolumeSize: 1, ParentSnapshotId: 7 }, 'ValidationException.InvalidParameterValue'],
    [{ VolumeSize: 1, Description: '' }, 'ValidationException.InvalidParameterValue'],
    [{ VolumeSize: 1, Encrypted: 'true' }, 'ValidationException.InvalidParameterValue'],
    [{ VolumeSize: 1, Tags: {} }, 'ValidationException.InvalidTag'],
    [{ VolumeSize: 1, Tags: [null] }, 'ValidationException.InvalidTag'],
    [{ VolumeSize: 1, Tags: [{ Key: 'a' }, { Key: 'a' }] }, 'ValidationException.InvalidTag'],
    [{ VolumeSize: 1, Tags: [{ Key: 'a', Value: 'x'.repeat(256) }] }, 'ValidationException.InvalidTag'],
  ])('to start with %j is refused', (value, code) => expect(codeOf(() => start(value))).toBe(code))

  test('a start keeps what it knows, takes null for nothing, and passes over the rest', () => {
    expect(start({ VolumeSize: 65_536, Timeout: null, Tags: [{ Key: 'a' }], Future: 1 })).toEqual({
      VolumeSize: 65_536,
      Tags: [{ Key: 'a', Value: '' }],
    })
    expect(codeOf(() => readStartSnapshot(Buffer.from([0xff])))).toBe('ValidationException.InvalidParameterValue')
  })
})

describe('errors', () => {
  const answer = (error: KilnError) => {
    const { status, headers, body } = ebsErrorAnswer(error)
    return { status, name: headers!['x-amzn-errortype'], ...(JSON.parse(String(body)) as object) }
  }

  test('have a name, a status, and a reason where the model has one', () => {
    expect(answer(new KilnError('ValidationException.InvalidBlockToken', 'm'))).toEqual({
      ...{ status: 400, name: 'ValidationException', Message: 'm', Reason: 'INVALID_BLOCK_TOKEN' },
    })
    expect(answer(new KilnError('InvalidSnapshot.NotFound', 'm'))).toEqual({
      ...{ status: 404, name: 'ResourceNotFoundException', Message: 'm', Reason: 'SNAPSHOT_NOT_FOUND' },
    })
    expect(answer(new KilnError('IdempotentParameterMismatch', 'm'))).toEqual({
      ...{ status: 409, name: 'ConflictException', Message: 'm' },
    })
    expect(answer(new KilnError('InternalError', 'm'))).toEqual({
      ...{ status: 500, name: 'InternalServerException', Message: 'm' },
    })
    expect(answer(new KilnError('AccessDeniedException.UnauthorizedAccount', 'm'))).toEqual({
      ...{ status: 403, name: 'AccessDeniedException', Message: 'm', Reason: 'UNAUTHORIZED_ACCOUNT' },
    })
    expect(answer(new KilnError('MissingAuthenticationToken', 'm'))).toMatchObject({ status: 403 })
  })

  test('have a message of at most 256 characters', () => {
    const { body } = ebsErrorAnswer(new KilnError('InternalError', 'x'.repeat(1000)))
    expect((JSON.parse(String(body)) as { Message: string }).Message).toHaveLength(256)
  })
})
