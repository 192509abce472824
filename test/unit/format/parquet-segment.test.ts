import fc from 'fast-check'
import { parquetMetadata } from 'hyparquet'
import { describe, expect, test } from 'vitest'
import type { Range } from '../../../src/base/range.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { encodeSchema } from '../../../src/format/arrow-message.ts'
import { crc32c, sha256Hex } from '../../../src/format/checksum.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import { LogHasher } from '../../../src/format/content-hash.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import { blockRanges, decodeBlock, parseSegmentTail } from '../../../src/format/segment-reader.ts'
import type { SegmentFacts } from '../../../src/format/segment.ts'
import { arbitraryBatch, arbitraryType } from '../../support/arbitrary-columns.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  type WrittenSegment,
  cutBatch,
  sampleBatch,
  sampleSchema,
  withDictionary,
  writeSegment,
} from '../../support/sample-batches.ts'

const CITIES = ['Wien', 'Graz', 'Linz', null]

/** Records with a dictionary, plain text, numbers, nulls and lists: every kind of page. */
function orders(count = 4000): RecordBatch {
  const schema = sampleSchema(
    {
      _time: 'timestamp[ms]',
      city: 'utf8',
      note: 'utf8',
      amount: 'float64',
      paid: 'bool',
      tags: 'list<struct<name:utf8,rank:int16>>',
    },
    2,
  )
  const rows = Array.from({ length: count }, (_, index) => ({
    _time: new Date(1_700_000_000_000 + index),
    city: CITIES[index % 4],
    note: `order ${index}`,
    amount: index % 10 === 0 ? null : index / 4,
    paid: index % 3 === 0,
    tags: index % 5 === 0 ? null : [{ name: 'a', rank: index % 7 }, null].slice(index % 3),
  }))
  return sampleBatch(schema, rows, { baseOffset: 500 })
}

function write(batches: readonly RecordBatch[]): WrittenSegment {
  return writeSegment(batches, { format: 'parquet' })
}

function rowsOf(batches: readonly RecordBatch[]): unknown[] {
  return batches.flatMap((batch) => batchToRows(batch))
}

function contentHash(batches: readonly RecordBatch[]): string {
  const [first] = batches
  if (first === undefined) throw new Error('no batch')
  const hasher = new LogHasher(first.schema)
  for (const batch of batches) hasher.add(0, batch)
  return hasher.digestHex()
}

function errorOf(work: () => unknown): StratalogError | null {
  try {
    work()
    return null
  } catch (error) {
    if (error instanceof StratalogError) return error
    throw error
  }
}

describe('a Parquet segment', () => {
  test('gives back the records of any types, however they were cut into batches', () => {
    fc.assert(
      fc.property(
        arbitraryBatch(40, arbitraryType()),
        fc.array(fc.integer({ min: 1, max: 20 })),
        ({ batch, rows }, lengths) => {
          const { facts, batches } = readSegment(write(cutBatch(batch, lengths)).bytes)
          expect(rowsOf(batches)).toEqual(rows)
          expect([facts.format, facts.baseOffset, facts.endOffset]).toEqual([
            'parquet',
            batch.baseOffset,
            batch.baseOffset + rows.length,
          ])
        },
      ),
      { numRuns: 300 },
    )
  })
  test('says its length, its SHA-256 and the checksum of every part', () => {
    const { bytes, facts, length, sha256 } = write([orders()])
    expect(length).toBe(bytes.length)
    expect(sha256).toBe(sha256Hex(bytes))
    let position = facts.preambleLength
    for (const index of facts.batches.keys()) {
      for (const { start, end, checksum } of blockRanges(facts, index)) {
        expect(start).toBe(position)
        expect(crc32c(bytes.subarray(start, end))).toBe(checksum)
        position = end
      }
    }
    expect(readSegment(bytes).facts).toEqual(facts)
  })

  test('has the same content and times as the same records in Arrow, whatever dictionaries they came with', () => {
    const batch = orders()
    const cities = batchToRows(batch).map((row) => row['city'] as string | null)
    const columns = batch.columns.map((column, index) =>
      index === 1 ? withDictionary(column, cities) : column,
    )
    const parquet = readSegment(write(cutBatch({ ...batch, columns }, [7, 1000])).bytes)
    const arrow = readSegment(writeSegment([batch]).bytes)
    expect(rowsOf(parquet.batches)).toEqual(rowsOf(arrow.batches))
    const { schema, timeMin, timeMax, statistics } = arrow.facts
    expect(parquet.facts).toMatchObject({ schema, timeMin, timeMax, statistics })
    expect(contentHash(parquet.batches)).toBe(contentHash(arrow.batches))
  })

  test('has its facts, its schema and the bounds of columns where readers of Parquet look for them', () => {
    const { bytes, facts } = write([orders()])
    const { format: _format, ...stored } = facts
    const metadata = parquetMetadata(bytes.buffer as ArrayBuffer)
    const pairs = new Map(metadata.key_value_metadata?.map(({ key, value }) => [key, value]))
    expect(JSON.parse(pairs.get('stratalog') ?? '')).toEqual(stored)
    const message = encodeSchema(facts.schema.fields)
    expect(pairs.get('ARROW:schema')).toBe(Buffer.from(message).toString('base64'))
    const bounds = metadata.row_groups[0]?.columns.map(({ meta_data }) => meta_data?.statistics)
    expect(bounds?.[0]).toMatchObject({
      min_value: new Date(1_700_000_000_000),
      max_value: new Date(1_700_000_003_999),
      null_count: 0n,
    })
    expect(bounds?.[1]).toMatchObject({ min_value: 'Graz', max_value: 'Wien', null_count: 1000n })
    expect(bounds?.[3]).toMatchObject({ min_value: 0.25, max_value: 999.75, null_count: 400n })
    expect(bounds?.[5]).toBeUndefined()
  })

  test('is read column by column, by the ranges of the wanted columns alone', () => {
    const batch = orders()
    const { bytes, facts } = write([batch])
    for (const wanted of [[3, 1], [5], [0, 2, 4]]) {
      const sparse = new Uint8Array(bytes.length)
      for (const { start, end } of blockRanges(facts, 0, wanted))
        sparse.set(bytes.subarray(start, end), start)
      const bytesOf = (range: Range): Uint8Array => sparse.subarray(range.start, range.end)
      const read = decodeBlock(facts, 0, bytesOf, new Map(), wanted)
      const names = wanted.map((position) => facts.schema.fields[position]?.name ?? '')
      expect(rowsOf([read])).toEqual(
        batchToRows(batch).map((row) => Object.fromEntries(names.map((name) => [name, row[name]]))),
      )
    }
  })

  test('is read from shared memory at any position of its buffer', () => {
    const batch = orders()
    const { bytes } = write([batch])
    for (const shift of [0, 1, 3, 8]) {
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + shift), shift)
      shared.set(bytes)
      expect(rowsOf(readSegment(shared).batches)).toEqual(batchToRows(batch))
    }
  })

  test('of columns that nothing is in says so', () => {
    const schema = sampleSchema({ _time: 'timestamp[ms]', text: 'utf8', list: 'list<utf8>' })
    const rows = Array.from({ length: 100 }, (_, row) => ({
      _time: new Date(row),
      text: null,
      list: null,
    }))
    const { bytes, facts } = write([sampleBatch(schema, rows)])
    expect(rowsOf(readSegment(bytes).batches)).toEqual(rows)
    expect(facts.statistics.map(({ nullCount }) => nullCount)).toEqual([0, 100, 100])
  })

  test('says what is remembered of producers, where it is told', () => {
    const producers = [
      { producerId: 'a', epoch: 1, sequence: 3, time: 5, offsets: [0, 7], counts: [7, 2] },
    ]
    const { bytes, facts } = writeSegment([orders()], { format: 'parquet', producers })
    expect(facts.producers).toEqual(producers)
    expect(readSegment(bytes).facts).toEqual(facts)
  })

  test('asks for more of its end when the facts do not fit', () => {
    const { bytes, facts } = write([orders()])
    const end = (count: number): Uint8Array => bytes.subarray(bytes.length - count)
    const more = parseSegmentTail(end(100), bytes.length)
    if (more.kind !== 'more') throw new Error('100 bytes are too few')
    expect(parseSegmentTail(end(more.tailBytes), bytes.length)).toEqual({ kind: 'facts', facts })
    expect(parseSegmentTail(end(more.tailBytes - 1), bytes.length)).toEqual(more)
    expect(parseSegmentTail(end(5), bytes.length).kind).toBe('more')
  })
})

describe('a damaged Parquet segment', () => {
  const { bytes } = write([orders(150)])

  test('is refused when it is cut short anywhere', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(errorOf(() => readSegment(bytes.slice(0, length)))?.code, `cut to ${length}`).toBe(
        'segment_corrupt',
      )
    }
  })

  test('is refused whichever bit is flipped and whichever byte is zeroed', () => {
    const damaged = new Uint8Array(bytes)
    for (let position = 0; position < bytes.length; position++) {
      const before = bytes[position] ?? 0
      for (const after of [before ^ (1 << ((position * 5) % 8)), 0]) {
        if (after === before) continue
        damaged[position] = after
        const error = errorOf(() => readSegment(damaged))
        expect(error?.code, `byte ${position} is ${after}`).toBe('segment_corrupt')
        expect(error?.details['position']).toBeTypeOf('number')
      }
      damaged[position] = before
    }
  })

  test('is refused by who reads the damaged column, and read by who does not', () => {
    const { facts } = readSegment(bytes)
    const columns = blockRanges(facts, 0)
    for (const [column, { start, end }] of columns.entries()) {
      const damaged = new Uint8Array(bytes)
      damaged.fill(0, start, Math.min(end, start + 64))
      const other = (column + 1) % columns.length
      expect(errorOf(() => readSegment(damaged, [column]))?.details['position']).toBe(start)
      expect(rowsOf(readSegment(damaged, [other]).batches)).toHaveLength(150)
    }
  })

  test('whose row groups have forged checksums gives an error or other values, and never reads out of range', () => {
    const { facts } = readSegment(bytes)
    const block = facts.batches[0]
    if (block === undefined) throw new Error('no block')
    const outcomes = { refused: 0, read: 0 }
    const tell = (forged: Uint8Array, columns: SegmentFacts['batches'][0]['columns']): void => {
      const batches = [{ ...block, columns }]
      const bytesOf = (range: Range): Uint8Array => forged.subarray(range.start, range.end)
      const error = errorOf(() =>
        rowsOf([decodeBlock({ ...facts, batches }, 0, bytesOf, new Map())]),
      )
      if (error !== null) expect(error.code).toBe('segment_corrupt')
      outcomes[error === null ? 'read' : 'refused']++
    }
    const forged = new Uint8Array(bytes)
    for (const [column, { start, end }] of blockRanges(facts, 0).entries()) {
      for (let position = start; position < end; position++) {
        const before = forged[position] ?? 0
        forged[position] = before ^ (1 << (position % 8))
        const checksum = crc32c(forged.subarray(start, end))
        tell(
          forged,
          block.columns.with(column, [checksum, ...(block.columns[column] ?? []).slice(1)]),
        )
        forged[position] = before
      }
    }
    for (const [column, numbers] of block.columns.entries()) {
      for (const index of numbers.keys()) {
        for (const number of [0, 1, 2 ** 31, (numbers[index] ?? 0) + 8])
          tell(bytes, block.columns.with(column, numbers.with(index, number)))
      }
    }
    expect(Math.min(outcomes.read, outcomes.refused), 'both outcomes happen').toBeGreaterThan(5)
  })

  test('whose facts have a forged checksum is refused or read by what they say', () => {
    const footerLength = new DataView(bytes.buffer).getUint32(bytes.length - 8, true)
    const start = bytes.length - 8 - footerLength - 8
    const forged = new Uint8Array(bytes)
    let refused = 0
    for (let position = start; position < bytes.length - 8; position++) {
      forged[position] = (bytes[position] ?? 0) ^ (1 << (position % 7))
      new DataView(forged.buffer).setUint32(start - 4, crc32c(forged.subarray(start)), true)
      const error = errorOf(() => parseSegmentTail(forged, forged.length))
      if (error !== null) expect(['segment_corrupt', 'format_unsupported']).toContain(error.code)
      if (error !== null) refused++
      forged[position] = bytes[position] ?? 0
    }
    expect(refused).toBeGreaterThan(500)
  })
})
