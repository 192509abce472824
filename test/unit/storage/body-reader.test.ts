import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { readBody, type Body } from '../../../src/storage/body-reader.ts'
import { expectError } from '../../support/expect-error.ts'

const LIMITS = { windowMs: 1_000, windowBytesMin: 100 }

function read(
  body: Body,
  length: number,
  sha256: string | null = null,
  options: { readonly clock?: VirtualClock; readonly signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  return readBody(
    body,
    { url: 's3://bucket', key: 'a', length, sha256 },
    { clock: options.clock ?? new VirtualClock(), limits: LIMITS, signal: options.signal },
  )
}

const chunks = (...lengths: number[]): Readable =>
  Readable.from(lengths.map((length, index) => Buffer.alloc(length, index + 1)))

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

test('a body in pieces comes back whole', async () => {
  const expected = Buffer.from([1, 1, 1, 2, 2])
  const bytes = await read(chunks(3, 2), 5, sha256Of(expected))
  expect(Buffer.compare(bytes, expected)).toBe(0)
})

test('an empty body is no error', async () => {
  expect(await read(chunks(), 0, sha256Of(new Uint8Array(0)))).toHaveLength(0)
})

test.each([
  ['short', chunks(3, 1), 5],
  ['long', chunks(3, 3), 5],
  ['empty', chunks(), 5],
])('a body that is too %s is object_corrupt', async (_name, body, length) => {
  await expectError(read(body, length), 'object_corrupt')
})

test('a body with another checksum is object_corrupt', async () => {
  const error = await expectError(read(chunks(5), 5, '00'.repeat(32)), 'object_corrupt')
  expect(error.details).toMatchObject({ expectedSha256: '00'.repeat(32) })
})

test('a body that brings enough in every window may take for ever', async () => {
  const clock = new VirtualClock()
  const pieces = function* (): Generator<Buffer> {
    for (let i = 0; i < 50; i++) {
      clock.advance(900)
      yield Buffer.alloc(100, i)
    }
  }
  expect(await read(Readable.from(pieces()), 5_000, null, { clock })).toHaveLength(5_000)
})

test('a body that brings too little in a window is given up and destroyed', async () => {
  const clock = new VirtualClock()
  const destroyed = Promise.withResolvers<never>()
  const body: Body = {
    destroy: (error) => destroyed.reject(error),
    async *[Symbol.asyncIterator]() {
      yield Buffer.alloc(1_000)
      clock.advance(LIMITS.windowMs)
      yield Buffer.alloc(LIMITS.windowBytesMin - 1)
      clock.advance(LIMITS.windowMs)
      await destroyed.promise
    },
  }
  const error = await expectError(read(body, 5_000, null, { clock }), 'store_unavailable')
  expect(error.message).toContain('99 bytes in 1000 ms')
})

test('a body whose reader aborts is given up and destroyed', async () => {
  const controller = new AbortController()
  const body = new Readable({ read: () => {} })
  const result = expectError(read(body, 5, null, { signal: controller.signal }), 'aborted')
  controller.abort(new Error('enough'))
  await result
  expect(body.destroyed).toBe(true)
})
