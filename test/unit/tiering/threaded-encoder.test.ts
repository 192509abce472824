/** Segments that another thread encodes are those this thread would have; a thread that ends ends nothing else. */
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import type { SegmentFormat } from '../../../src/format/segment.ts'
import { EncoderThread, type FromEncoder } from '../../../src/tiering/encoder-thread.ts'
import { type SegmentEncoder, inlineEncoder } from '../../../src/tiering/segment-encoder.ts'
import { type EncoderChannel, ThreadedEncoder } from '../../../src/tiering/threaded-encoder.ts'
import { expectError } from '../../support/expect-error.ts'

const HEADER = {
  engineId: 'engine',
  logId: 1,
  logName: 'events',
  partition: 0,
  timeColumn: 'n',
  keyColumn: null,
}
const ROWS = 100_000

/** Numbers in memory of one kind. */
function batch(
  baseOffset: number,
  Buffer: typeof SharedArrayBuffer | typeof ArrayBuffer,
): RecordBatch {
  const numbers = new Float64Array(new Buffer(ROWS * 8)).map((_, row) => baseOffset + row)
  const shared = new Float64Array(new Buffer(ROWS * 8))
  shared.set(numbers)
  const values = new Uint8Array(shared.buffer)
  const column = { type: 'float64', length: ROWS, nullCount: 0, validity: null } as const
  return {
    schema: { id: 0, fields: [{ name: 'n', type: 'float64', nullable: false }] },
    baseOffset,
    length: ROWS,
    columns: [{ ...column, offsets: null, values, dictionary: null }],
    appendTimeMin: 1,
    appendTimeMax: 2,
  }
}

const SHARED = [batch(0, SharedArrayBuffer), batch(ROWS, SharedArrayBuffer)]

/** A thread whose messages are cloned as they would be, and that ends when it is told to. */
function fakeThread(): {
  spawn: () => EncoderChannel
  spawned: () => number
  end: (error: Error | null) => void
} {
  let spawned = 0
  let end: (error: Error | null) => void = () => {}
  return {
    spawned: () => spawned,
    end: (error) => end(error),
    spawn: () => {
      spawned++
      let receive: (message: FromEncoder) => void = () => {}
      let isOver = false
      const thread = new EncoderThread((message, transfer) => {
        const cloned = structuredClone(message, { transfer: [...transfer] })
        queueMicrotask(() => {
          if (!isOver) receive(cloned)
        })
      })
      return {
        post: (message) => thread.receive(message),
        onMessage: (listener) => {
          receive = listener
        },
        onExit: (exited) => {
          end = (error) => {
            isOver = true
            exited(error)
          }
        },
        setActive: () => {},
        terminate: async () => end(null),
      }
    },
  }
}

async function bytesOf(
  encoder: SegmentEncoder,
  batches: readonly RecordBatch[],
  format: SegmentFormat = 'arrow',
): Promise<{ bytes: Buffer; segment: unknown }> {
  const pieces: Uint8Array[] = []
  const segment = await encoder.encode({ ...HEADER, format }, batches, async (piece) => {
    // The bytes hold until this sink is done, and no longer.
    await systemClock.yield()
    pieces.push(Uint8Array.from(piece))
  })
  return { bytes: Buffer.concat(pieces), segment }
}

test.each(['arrow', 'parquet'] as const)(
  'the bytes and facts are those of this thread: %s',
  async (format) => {
    const thread = fakeThread()
    const encoder = new ThreadedEncoder(thread.spawn, new VirtualClock())
    const expected = await bytesOf(inlineEncoder(new VirtualClock()), SHARED, format)
    expect(expected.segment).toMatchObject({ facts: { format } })
    const all = await Promise.all([1, 2].map(() => bytesOf(encoder, SHARED, format)))
    expect(all).toEqual([expected, expected])
    expect(thread.spawned()).toBe(1)
  },
)

test('what is small, or would have to be copied, is encoded here', async () => {
  const thread = fakeThread()
  const encoder = new ThreadedEncoder(thread.spawn, new VirtualClock())
  const small = { ...batch(0, SharedArrayBuffer), length: 1 }
  small.columns = small.columns.map((column) => ({
    ...column,
    length: 1,
    values: column.values.subarray(0, 8),
  }))
  await bytesOf(encoder, [small])
  await bytesOf(encoder, [batch(0, ArrayBuffer)])
  expect(thread.spawned()).toBe(0)
})

test('a sink that fails ends its segment, and the next is whole', async () => {
  const encoder = new ThreadedEncoder(fakeThread().spawn, new VirtualClock())
  const full = encoder.encode(HEADER, SHARED, () =>
    Promise.reject(new StratalogError('disk_full', 'planted')),
  )
  await expectError(full, 'disk_full')
  const expected = await bytesOf(inlineEncoder(new VirtualClock()), SHARED)
  expect(await bytesOf(encoder, SHARED)).toEqual(expected)
})

test('what the thread refuses is the error of this thread', async () => {
  const encoder = new ThreadedEncoder(fakeThread().spawn, new VirtualClock())
  const header = { ...HEADER, timeColumn: 'missing' }
  await expectError(
    encoder.encode(header, SHARED, async () => {}),
    'internal',
  )
})

test('a thread that ends fails what it had, and another takes the next', async () => {
  const thread = fakeThread()
  const encoder = new ThreadedEncoder(thread.spawn, new VirtualClock())
  const lost = encoder.encode(HEADER, SHARED, async () => {})
  thread.end(new Error('out of memory'))
  await expectError(lost, 'internal')
  await bytesOf(encoder, SHARED)
  expect(thread.spawned()).toBe(2)
})
