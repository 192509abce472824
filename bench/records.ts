/**
 * The record that the benchmarks store: a time, a key of 12 bytes, an int32, a float64, one of eight events and 100
 * bytes of text. No two are alike, and the text does not compress to nothing.
 */
import { randomFraction, seededRandom, type Random } from '../src/base/random.ts'

export type BenchRecord = {
  /** ms since 1970. */
  readonly ts: number
  readonly key: string
  readonly amount: number
  readonly price: number
  readonly event: string
  readonly text: string
}

/** Bytes of one record's values: 8 + 12 + 4 + 8 + about 6 + 100. */
export const RECORD_BYTES = 138

const EVENTS = ['view', 'click', 'add', 'remove', 'pay', 'refund', 'login', 'logout'] as const
const START_MS = Date.UTC(2026, 0, 1)
const TEXT_BYTES = 100

/**
 * `count` records in the order of their times; equal for equal seeds. They are as a parser leaves them, with flat
 * strings: what concatenation and `slice` make is slower to read, for every contender.
 */
export function makeRecords(count: number, seed = 1): BenchRecord[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, index) => makeRecord(random, index))
}

function makeRecord(random: Random, index: number): BenchRecord {
  const made: BenchRecord = {
    ts: START_MS + index * 10,
    key: `user-${String(random.uint32() % 10_000_000).padStart(7, '0')}`,
    amount: random.uint32() % 1_000_000,
    price: Math.round(randomFraction(random) * 1e6) / 100,
    event: EVENTS[random.uint32() % EVENTS.length] ?? 'view',
    text: randomText(random),
  }
  return JSON.parse(JSON.stringify(made)) as BenchRecord
}

/** The records cut into appends of `size`. */
export function inBatches<T>(records: readonly T[], size: number): T[][] {
  const batches: T[][] = []
  for (let start = 0; start < records.length; start += size) {
    batches.push(records.slice(start, start + size))
  }
  return batches
}

/** Takes records in order and ends in one text; any change of a value or of the order changes it. */
export class Checksum {
  #state = 0x811c9dc5
  #count = 0

  add(record: BenchRecord): void {
    this.#count++
    this.#mix(record.ts % 2 ** 32)
    this.#mix(record.amount)
    this.#mix(Math.round(record.price * 100))
    this.#text(record.key)
    this.#text(record.event)
    this.#text(record.text)
  }

  value(): string {
    return `${this.#count}:${(this.#state >>> 0).toString(16)}`
  }

  #text(text: string): void {
    for (let index = 0; index < text.length; index++) this.#mix(text.charCodeAt(index))
  }

  #mix(value: number): void {
    this.#state = Math.imul(this.#state ^ value, 0x01000193)
  }
}

export function checksumOf(records: Iterable<BenchRecord>): string {
  const checksum = new Checksum()
  for (const record of records) checksum.add(record)
  return checksum.value()
}

function randomText(random: Random): string {
  let text = ''
  while (text.length < TEXT_BYTES) text += random.uint32().toString(36).padStart(7, '0')
  return text.slice(0, TEXT_BYTES)
}
