import fc from 'fast-check'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Timer } from '../../../src/base/clock.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { present } from '../../../src/base/assert.ts'
import { batchToRows, columnReader } from '../../../src/format/column-values.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { GapHistory } from '../../../src/log/gap-history.ts'
import { LatestKeys } from '../../../src/log/latest-keys.ts'
import { hashLatest, readLatest } from '../../../src/log/latest-reader.ts'
import { LatestViews } from '../../../src/log/latest-views.ts'
import type { LogView } from '../../../src/log/log-view.ts'
import { oracleHash } from '../../support/oracle-hash.ts'
import { expectError } from '../../support/expect-error.ts'
import { sampleLog } from '../../support/query-logs.ts'
import {
  EVERY_TYPE,
  sampleBatch,
  sampleColumn,
  sampleSchema,
} from '../../support/sample-batches.ts'

const SCHEMA = sampleSchema({ id: 'utf8', n: 'int32', more: 'utf8', _deleted: 'bool' })

/** Key, number, and whether it is a tombstone. */
type Made = readonly [string | null, number, boolean?]

const made = (baseOffset: number, rows: readonly Made[]): RecordBatch =>
  sampleBatch(
    SCHEMA,
    rows.map(([id, n, deleted]) => ({ id, n, more: null, _deleted: deleted ?? null })),
    { baseOffset },
  )

/** A view of one partition that has these batches in RAM; what lies between them is gone. */
async function viewOf(batches: readonly RecordBatch[], gaps?: GapHistory): Promise<LogView> {
  const parts = batches.map((batch) => ({ tier: 'memory', batches: [batch] }) as const)
  const view = (await sampleLog('', 'users', [parts], { keyColumn: 'id', schemas: [SCHEMA] })).pin()
  if (gaps === undefined) return view
  return { ...view, partitions: view.partitions.map((partition) => ({ ...partition, gaps })) }
}

function latestViews(options: { bytesMax?: number; clock?: VirtualClock } = {}): LatestViews {
  const latest = new LatestViews({ clock: new VirtualClock(), ...options })
  onTestFinished(() => latest.close())
  return latest
}

/** Offset, key and number of each record of the latest view. */
async function read(latest: LatestViews, view: LogView): Promise<readonly (readonly unknown[])[]> {
  const found: (readonly unknown[])[] = []
  for await (const { batch, offsets } of readLatest(view, await latest.select(view))) {
    for (const [row, { id, n }] of batchToRows(batch).entries())
      found.push([offsets?.[row] ?? batch.baseOffset + row, id, n])
  }
  return found
}

test('what was looked at once is not looked at again', async () => {
  const latest = latestViews()
  const first = made(0, [
    ['a', 1],
    ['b', 2],
    ['a', 3],
  ])
  expect(await read(latest, await viewOf([first]))).toEqual([
    [1, 'b', 2],
    [2, 'a', 3],
  ])
  const other = made(0, [
    ['x', 1],
    ['y', 2],
    ['z', 3],
  ])
  const next = made(3, [
    ['b', 4],
    ['c', 5],
  ])
  // Of the first batch only the record at offset 2 is still asked for, whatever it is now.
  expect(await read(latest, await viewOf([other, next]))).toEqual([
    [2, 'z', 3],
    [3, 'b', 4],
    [4, 'c', 5],
  ])
  expect(await read(latest, await viewOf([first]))).toEqual([
    [1, 'b', 2],
    [2, 'a', 3],
  ])
})

test('a log without a key has no latest view', async () => {
  const view = (await sampleLog('', 'plain', [], { schemas: [SCHEMA] })).pin()
  await expectError(latestViews().select(view), 'argument_invalid')
})

test('what is kept is bounded, and goes when nobody asks for it any more', async () => {
  const clock = new VirtualClock()
  const latest = latestViews({ clock })
  const view = await viewOf([made(0, [['a', 1]])])
  await latest.select(view)
  expect(latest.keptBytes).toBeGreaterThan(0)
  clock.advance(4 * 60_000)
  await latest.select(view)
  clock.advance(4 * 60_000)
  expect(latest.keptBytes).toBeGreaterThan(0)
  clock.advance(2 * 60_000)
  expect(latest.keptBytes).toBe(0)
  const small = latestViews({ bytesMax: 100 })
  expect(await read(small, view)).toEqual([[0, 'a', 1]])
  expect(small.keptBytes).toBe(0)
})

test('who is aborted while another looks does not wait, and what was found until then is kept', async () => {
  let goOn = (): void => {}
  const yielded = vi.fn(() => new Promise<void>((resolve) => (goOn = resolve)))
  const clock = new VirtualClock()
  const setTimer = (ms: number, callback: () => void): Timer => clock.setTimer(ms, callback)
  const latest = new LatestViews({ clock: { yield: yielded, setTimer } })
  const many = Array.from({ length: 20_000 }, (_, n): Made => [`k${n % 100}`, n])
  const view = await viewOf([made(0, many)])
  const [first, second] = [new AbortController(), new AbortController()]
  const looking = latest.select(view, first.signal)
  await vi.waitUntil(() => yielded.mock.calls.length === 1)
  const waiting = latest.select(view, second.signal)
  second.abort()
  await expectError(waiting, 'aborted')
  first.abort()
  goOn()
  await expectError(looking, 'aborted')
  const again = latest.select(view)
  // Of 20,000 records 8,192 are known, so one more pause is left of two.
  await vi.waitUntil(() => yielded.mock.calls.length === 2)
  goOn()
  expect((await again).get(0)?.count(0, 20_000)).toBe(100)
  expect(yielded).toHaveBeenCalledTimes(2)
  latest.close()
})

test('keys of every type are equal when their values are, and null is no key', () => {
  const samples: Partial<Record<ColumnType, readonly unknown[]>> = {
    bool: [true, false],
    uint64: [2n ** 63n, 7],
    int64: [2n ** 60n + 1n, 2n ** 60n],
    float64: [NaN, 0.5],
    float32: [1.5, NaN],
    utf8: ['a key that is longer than a few characters', ''],
    json: [{ a: [1] }, 'text'],
    binary: [new Uint8Array([255, 0]), new Uint8Array(0)],
    'decimal(20,3)': ['1.500', '-2.000'],
    date: [new Date(0), new Date(86_400_000)],
    'timestamp[s]': [new Date(1000), new Date(2000)],
    'timestamp[ms]': [new Date(1), new Date(2)],
    'timestamp[us]': [1n, 2n],
    'timestamp[ns]': [1n, 2n ** 62n],
  }
  for (const type of EVERY_TYPE) {
    const [a, b] = samples[type] ?? [1, 2]
    const schema = sampleSchema({ id: type })
    const keys = new LatestKeys(type, 0)
    const rows = [a, b, null, a, b, b].map((id) => ({ id }))
    keys.add(sampleBatch(schema, rows), 'id')
    expect(keys.count, type).toBe(2)
    expect(
      [3, 5].map((offset) => keys.countBetween(offset, offset + 1)),
      type,
    ).toEqual([1, 1])
    expect(keys.countBetween(0, 6), type).toBe(2)
  }
})

test('zeros and NaNs of floats are one key each', () => {
  for (const type of ['float32', 'float64'] as const) {
    const keys = new LatestKeys(type, 0)
    keys.add(
      sampleBatch(
        sampleSchema({ id: type }),
        [-0, 0, NaN, NaN].map((id) => ({ id })),
      ),
      'id',
    )
    expect([keys.count, keys.countBetween(1, 2), keys.countBetween(3, 4)]).toEqual([2, 1, 1])
  }
})

test('a key stays the same when its column widens', async () => {
  for (const [narrow, wide] of [
    ['int32', 'int64'],
    ['int32', 'float64'],
    ['float32', 'float64'],
  ] as const) {
    const schemas = [sampleSchema({ id: narrow }), { ...sampleSchema({ id: wide }), id: 1 }]
    const [older, newer] = schemas
    const latest = latestViews()
    const first = sampleBatch(present(older, 'a schema'), [{ id: -7 }, { id: 5 }])
    const next = sampleBatch(present(newer, 'a schema'), [{ id: -7 }], { baseOffset: 2 })
    const parts = [first, next].map((batch) => ({ tier: 'memory', batches: [batch] }) as const)
    const before = await sampleLog('', 'a', [parts.slice(0, 1)], { keyColumn: 'id' })
    await latest.select(before.pin())
    const after = await sampleLog('', 'a', [parts], { keyColumn: 'id', schemas })
    const offsets = (await latest.select(after.pin())).get(0)
    expect([0, 1, 2].map((at) => offsets?.count(at, at + 1))).toEqual([0, 1, 1])
  }
})

test('keys of records that are gone are forgotten', () => {
  const keys = new LatestKeys('int32', 0)
  const schema = sampleSchema({ id: 'int32' })
  for (let first = 0; first < 10_000; first += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, row) => ({ id: first + row }))
    keys.add(sampleBatch(schema, rows, { baseOffset: first }), 'id')
    keys.forget(first)
  }
  expect(keys.count).toBeLessThan(4_000)
  expect(keys.countBetween(9_000, 10_000)).toBe(1_000)
  expect(keys.bytes).toBeLessThan(250_000)
})

/** What a Map makes of the records that are there, in offset order. */
function modelOf(batches: readonly RecordBatch[]): readonly (readonly unknown[])[] {
  const model = new Map<unknown, readonly unknown[]>()
  for (const batch of batches) {
    for (const [row, { id, n, _deleted }] of batchToRows(batch).entries()) {
      if (id === null) continue
      if (_deleted === true) model.delete(id)
      else model.set(id, [batch.baseOffset + row, id, n])
    }
  }
  return [...model.values()].toSorted(([a], [b]) => Number(a) - Number(b))
}

const KEY = fc.oneof(
  fc.constantFrom('a', 'b', 'c', null),
  fc.integer({ min: 0, max: 9 }).map(String),
  fc.integer({ min: 10, max: 99 }).map(String),
)
const ROWS = fc.array(fc.tuple(KEY, fc.nat(), fc.boolean()), { minLength: 1, maxLength: 12 })
const APPEND = fc.record({
  kind: fc.constant('append' as const),
  rows: ROWS,
  isEncoded: fc.boolean(),
})
const STEP = fc.oneof(
  APPEND,
  APPEND,
  fc.record({ kind: fc.constant('look' as const), back: fc.nat(3) }),
  fc.record({ kind: fc.constant('look' as const), back: fc.constant(0) }),
  fc.record({ kind: fc.constant('evict' as const), place: fc.nat(4) }),
  fc.record({ kind: fc.constant('retire' as const), count: fc.nat(1) }),
)

/** The same batch, its keys as codes of a dictionary. */
function encoded(batch: RecordBatch): RecordBatch {
  const [keys, ...others] = batch.columns
  if (keys === undefined) return batch
  const read = columnReader(keys)
  const texts = Array.from({ length: batch.length }, (_, row) => read(row))
  const words: unknown[] = [...new Set(texts)].filter((text) => text !== null)
  const codes = Int32Array.from(texts, (text) => Math.max(0, words.indexOf(text)))
  const values = new Uint8Array(codes.buffer)
  const dictionary = sampleColumn('utf8', words)
  return { ...batch, columns: [{ ...keys, offsets: null, values, dictionary }, ...others] }
}

test('the newest records are those of a Map, whatever was kept, is gone, or is looked at late', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { minLength: 20, maxLength: 40 }), async (steps) => {
      const latest = latestViews()
      const gaps = new GapHistory()
      const history: (readonly RecordBatch[])[] = []
      let batches: readonly RecordBatch[] = []
      let next = 8_191
      for (const step of steps) {
        if (step.kind === 'append') {
          const batch = made(next, step.rows)
          batches = [...batches, step.isEncoded ? encoded(batch) : batch]
          next += step.rows.length
        } else if (step.kind === 'retire') batches = batches.slice(step.count)
        else if (step.kind === 'evict') {
          const gone = batches[step.place]
          batches = batches.filter((batch) => batch !== gone)
          if (gone !== undefined)
            gaps.add(gone.baseOffset, gone.baseOffset + gone.length, 'evicted')
        } else {
          history.push(batches)
          // What is gone from an older view is gone from it for the reader too.
          const looked = history.at(-1 - step.back)?.filter((batch) => batches.includes(batch))
          const view = await viewOf(looked ?? batches, gaps)
          expect(await read(latest, view)).toEqual(modelOf(looked ?? batches))
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('the hash is that of a log that holds nothing else, without columns that have no value', async () => {
  const first = made(40, [
    ['a', 1],
    ['b', 2],
    [null, 9],
    ['c', 3],
  ])
  const second = made(50, [
    ['b', 0, true],
    ['a', 5],
    ['d', 6],
  ])
  const view = await viewOf([first, second])
  const latest = latestViews()
  const hash = await hashLatest(view, await latest.select(view))
  const kept = [
    ['c', 3],
    ['a', 5],
    ['d', 6],
  ]
  const fields = SCHEMA.fields.filter(({ name }) => name === 'id' || name === 'n')
  const records = kept.map(([id, n], offset) => ({ partition: 0, offset, values: { id, n } }))
  expect(hash).toBe(oracleHash(fields, records))
  const again = await viewOf([
    made(7, [
      ['c', 3],
      ['a', 5],
      ['d', 6],
    ]),
  ])
  expect(await hashLatest(again, await latestViews().select(again))).toBe(hash)
  const other = await viewOf([
    made(7, [
      ['c', 3],
      ['a', 4],
      ['d', 6],
    ]),
  ])
  expect(await hashLatest(other, await latestViews().select(other))).not.toBe(hash)
})

test('of a dictionary that has a word twice the last row counts', async () => {
  const plain = made(0, [
    ['a', 1],
    ['a', 2],
  ])
  const [keys, ...others] = plain.columns
  const words = present(keys, 'the key')
  const codes = new Uint8Array(Int32Array.of(1, 0).buffer)
  const coded = { ...words, offsets: null, values: codes, dictionary: words }
  const batch = { ...plain, columns: [coded, ...others] }
  expect(await read(latestViews(), await viewOf([batch]))).toEqual([[1, 'a', 2]])
})
