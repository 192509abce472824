/** What a job is asked for is taken as it is, or refused with every problem. */
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { validateJob } from '../../../src/engine/job-request.ts'

function problems(value: unknown): readonly string[] {
  try {
    validateJob(value)
  } catch (error) {
    if (!(error instanceof StratalogError)) throw error
    expect(error.code).toBe('argument_invalid')
    const list = error.details['problems'] as readonly { readonly path: string }[]
    return list.map(({ path }) => path)
  }
  return []
}

describe('a request for a job', () => {
  test.each([
    { kind: 'drill' },
    { kind: 'drill', archive: 's3://b/p', against: false, sample: 0.5 },
    { kind: 'drill', checks: [{ sql: 'SELECT 1', expected: [[1]] }] },
    { kind: 'replay', logs: ['a'], since: '2026-01-31', until: 1_700_000_000_000 },
    { kind: 'replay', from: 0, to: 10, speed: 'realtime', into: 'engine', resume: true },
    { kind: 'replay', speed: 2.5, into: { url: 'http://localhost:1/' } },
    { kind: 'restore', snapshot: 's', directory: 'night-1', eager: true },
    { kind: 'restore', at: '2026-01-31T12:00:00Z', logs: ['a'], rename: { a: 'b' } },
    { kind: 'restore', toOffsets: [{ log: 'a', partition: 0, offset: 7 }], plan: true },
  ])('is taken as it is: %j', (value) => {
    expect(validateJob(value)).toEqual(value)
  })

  test.each([
    [null, ['kind']],
    [{}, ['kind']],
    [{ kind: 'toString' }, ['kind']],
    [{ kind: 'drill', sample: 0 }, ['sample']],
    [{ kind: 'drill', sample: 1.5, against: 'yes', into: 'engine' }, ['against', 'sample', 'into']],
    [{ kind: 'drill', checks: [{ sql: 'SELECT 1' }] }, ['checks.0.expected']],
    [{ kind: 'replay', from: -1, to: 1.5 }, ['from', 'to']],
    [{ kind: 'replay', since: 'noon', speed: 'stepped' }, ['since', 'speed']],
    [{ kind: 'replay', into: '/tmp' }, ['into']],
    [{ kind: 'replay', into: { url: 'http://x/', headers: {} } }, ['into']],
    [{ kind: 'restore', rename: { a: 7 }, logs: 'a' }, ['logs', 'rename.a']],
    [{ kind: 'restore', dataDir: '/etc' }, ['dataDir']],
  ])('is refused with each of its problems: %j', (value, expected) => {
    expect(problems(value)).toEqual(expected)
  })

  test.each(['../up', '/etc', 'a/b', '.', '..', '', 'A', 'a\0', 'x'.repeat(129)])(
    'names a directory by no path: %j',
    (directory) => {
      expect(problems({ kind: 'restore', directory })).toEqual(['directory'])
    },
  )
})
