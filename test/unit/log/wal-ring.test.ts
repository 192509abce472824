import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RingConsumer, RingProducer, createRingBuffer } from '../../../src/log/wal-ring.ts'

const RING_BYTES = 4096

function pair(): { producer: RingProducer; consumer: RingConsumer; buffer: SharedArrayBuffer } {
  const buffer = createRingBuffer(RING_BYTES, 0)
  return { buffer, producer: new RingProducer(buffer), consumer: new RingConsumer(buffer) }
}

/** Fills words with numbers that count up and are never the skip word. */
function put(producer: RingProducer, position: number, bytes: number, first: number): void {
  for (let word = 0; word < bytes / 8; word++)
    producer.view.setFloat64(position + word * 8, first + word, true)
}

/** Takes all that is there, as numbers. */
function takeAll(consumer: RingConsumer): number[] {
  const head = consumer.head()
  const numbers: number[] = []
  for (;;) {
    const { position, length } = consumer.readable(head)
    if (length === 0) return numbers
    let taken = 0
    if (consumer.isSkip(position)) taken = length
    while (taken < length && !consumer.isSkip(position + taken)) {
      numbers.push(consumer.view.getFloat64(position + taken, true))
      taken += 8
    }
    consumer.advance(taken)
  }
}

describe('the WAL ring', () => {
  test('gives back every frame, whole and in order, however sizes and turns fall', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('put' as const),
        words: fc.integer({ min: 1, max: RING_BYTES / 4 / 8 }),
      }),
      fc.record({ kind: fc.constant('push' as const), words: fc.integer({ min: 1, max: 600 }) }),
      fc.constant({ kind: 'take' as const, words: 0 }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { producer, consumer } = pair()
        const got: number[] = []
        let next = 1
        for (const { kind, words } of steps) {
          if (kind === 'take') got.push(...takeAll(consumer))
          if (kind === 'put') {
            let position = producer.reserve(words * 8)
            if (position < 0) got.push(...takeAll(consumer))
            if (position < 0) position = producer.reserve(words * 8)
            expect(position).toBeGreaterThanOrEqual(0)
            put(producer, position, words * 8, next)
            producer.commit(words * 8)
            next += words
          }
          if (kind === 'push') {
            const frame = new Float64Array(words).map((_, index) => next + index)
            const bytes = new Uint8Array(frame.buffer)
            for (let from = 0; from < bytes.length;) {
              from += producer.push(bytes, from)
              if (from < bytes.length) got.push(...takeAll(consumer))
            }
            next += words
          }
        }
        got.push(...takeAll(consumer))
        expect(got).toEqual(Array.from({ length: next - 1 }, (_, index) => index + 1))
      }),
      { numRuns: 300 },
    )
  })

  test('gives no room that is still the consumer’s', () => {
    const { producer, consumer } = pair()
    for (let frame = 0; frame < 4; frame++) {
      put(producer, producer.reserve(1024), 1024, frame * 128 + 1)
      producer.commit(1024)
    }
    expect(producer.reserve(8)).toBe(-1)
    expect(producer.push(new Uint8Array(8), 0)).toBe(0)
    consumer.advance(8)
    expect(producer.reserve(16)).toBe(-1)
    expect(producer.reserve(8)).toBe(0)
  })

  test('shows nothing before it is committed', () => {
    const { producer, consumer } = pair()
    put(producer, producer.reserve(64), 64, 1)
    expect(consumer.readable(consumer.head()).length).toBe(0)
    producer.commit(64)
    expect(consumer.readable(consumer.head()).length).toBe(64)
  })

  test('tells of room once after it was asked to', () => {
    const { producer, consumer } = pair()
    put(producer, producer.reserve(64), 64, 1)
    producer.commit(64)
    expect(consumer.advance(8)).toBe(false)
    producer.wantSpace()
    expect(consumer.advance(8)).toBe(true)
    expect(consumer.advance(8)).toBe(false)
  })

  test('carries on when its counters wrap around', () => {
    const buffer = createRingBuffer(RING_BYTES, 0)
    const control = new Int32Array(buffer)
    control[0] = 2 ** 31 - 100
    control[16] = 2 ** 31 - 100
    const [producer, consumer] = [new RingProducer(buffer), new RingConsumer(buffer)]
    let next = 1
    for (let round = 0; round < 40; round++) {
      put(producer, producer.reserve(240), 240, next)
      producer.commit(240)
      expect(takeAll(consumer)[0]).toBe(next)
      next += 30
    }
  })

  test('carries the durable and the released LSN beyond 32 bits', () => {
    const buffer = createRingBuffer(RING_BYTES, 2 ** 52)
    const [producer, consumer] = [new RingProducer(buffer), new RingConsumer(buffer)]
    expect(producer.durableLsn()).toBe(2 ** 52)
    consumer.publishDurable(2 ** 52 + 1)
    producer.release(2 ** 51 + 1)
    expect([producer.durableLsn(), consumer.releasedLsn()]).toEqual([2 ** 52 + 1, 2 ** 51 + 1])
  })
})
