import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c, sha256Hex } from '../../../src/format/checksum.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import {
  blockRanges,
  decodeBlock,
  decodeDictionaries,
  parseSegmentTail,
} from '../../../src/format/segment-reader.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import type { Range } from '../../../src/base/range.ts'
import type { SegmentFacts } from '../../../src/format/segment.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { arbitraryBatch, arbitraryType } from '../../support/arbitrary-columns.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  cutBatch,
  sampleBatch,
  sampleSchema,
  withDictionary,
  writeSegment,
} from '../../support/sample-batches.ts'

const CITIES = ['Wien', 'Graz', 'Linz', null]

/** 4,000 records with a dictionary, plain text, numbers and nulls: compressed and stored buffers, several messages. */
function orders(count = 4000): RecordBatch {
  const schema = sampleSchema(
    { _time: 'timestamp[ms]', city: 'utf8', note: 'utf8', amount: 'float64', paid: 'bool' },
    2,
  )
  const rows = Array.from({ length: count }, (_, index) => ({
    _time: new Date(1_700_000_000_000 + index),
    city: CITIES[index % 4],
    note: `order ${index}`,
    amount: index % 10 === 0 ? null : index / 4,
    paid: index % 3 === 0,
  }))
  return sampleBatch(schema, rows, { baseOffset: 500 })
}

function rowsOf(batches: readonly RecordBatch[]): unknown[] {
  return batches.flatMap((batch) => batchToRows(batch))
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

describe('a segment', () => {
  test('gives back the records of any types, however they were cut into batches', () => {
    fc.assert(
      fc.property(
        arbitraryBatch(40, arbitraryType()),
        fc.array(fc.integer({ min: 1, max: 20 })),
        ({ batch, rows }, lengths) => {
          const { facts, batches } = readSegment(writeSegment(cutBatch(batch, lengths)).bytes)
          expect(rowsOf(batches)).toEqual(rows)
          expect([facts.baseOffset, facts.endOffset]).toEqual([
            batch.baseOffset,
            batch.baseOffset + rows.length,
          ])
        },
      ),
      { numRuns: 300 },
    )
  })

  test('has the same bytes from the same records, whether batches are cut or columns carry dictionaries', () => {
    const batch = orders()
    const cut = cutBatch(batch, [1, 7, 64, 1000])
    const encoded = cut.map((part) => {
      const cities = batchToRows(part).map((row) => row['city'] as string | null)
      return {
        ...part,
        columns: part.columns.map((c, index) => (index === 1 ? withDictionary(c, cities) : c)),
      }
    })
    // Stamps of appends are facts of their own, so they are made the same here.
    const stamped = (parts: readonly RecordBatch[]): RecordBatch[] =>
      parts.map((part) => ({ ...part, appendTimeMin: 1, appendTimeMax: 2 }))
    const whole = writeSegment(stamped([batch]))
    expect(writeSegment(stamped(cut)).sha256).toBe(whole.sha256)
    expect(writeSegment(stamped(encoded)).sha256).toBe(whole.sha256)
  })

  test('is written without a change to the batches, whatever lies in the spare bits of their bitmaps', () => {
    const batch = orders(1001)
    const columns = batch.columns.map((column) => ({
      ...column,
      values: Buffer.from(column.values),
    }))
    const paid = columns[4]?.values ?? Buffer.alloc(0)
    paid[125] = 0xff
    const before = columns.map((column) => Buffer.from(Uint8Array.from(column.values)))
    const { sha256 } = writeSegment([{ ...batch, columns }])
    expect(columns.map((column) => column.values)).toEqual(before)
    paid[125] = 0x01
    expect(writeSegment([{ ...batch, columns }]).sha256).toBe(sha256)
  })

  test('says its length, its SHA-256 and the checksum of every part', () => {
    const { bytes, facts, length, sha256 } = writeSegment([orders()])
    expect(length).toBe(bytes.length)
    expect(sha256).toBe(sha256Hex(bytes))
    expect(facts.preambleChecksum).toBe(crc32c(bytes.subarray(0, facts.preambleLength)))
    let position = facts.preambleLength
    for (const index of facts.batches.keys()) {
      for (const { start, end, checksum } of blockRanges(facts, index)) {
        expect(start).toBe(position)
        expect(crc32c(bytes.subarray(start, end))).toBe(checksum)
        position = end
      }
    }
    const last = facts.batches.at(-1)
    expect(position).toBe(
      (last?.position ?? 0) + (last?.metadataLength ?? 0) + (last?.bodyLength ?? 0),
    )
    expect(readSegment(bytes).facts).toEqual(facts)
  })

  test('says what is remembered of producers, where it is told', () => {
    const producers = [
      { producerId: 'a', epoch: 1, sequence: 3, time: 5, offsets: [0, 7], counts: [7, 2] },
    ]
    const { bytes, facts } = writeSegment([orders()], { producers })
    expect(facts.producers).toEqual(producers)
    expect(readSegment(bytes).facts).toEqual(facts)
    expect(writeSegment([orders()]).facts).not.toHaveProperty('producers')
  })

  test('gathers tiny batches and cuts huge ones into blocks of about 1 MiB', () => {
    const tiny = writeSegment(
      cutBatch(
        orders(),
        Array.from({ length: 399 }, () => 10),
      ),
    )
    expect(tiny.facts.batches.map((block) => block.length)).toEqual([4000])
    const schema = sampleSchema({ _time: 'timestamp[ms]', text: 'utf8' })
    const rows = Array.from({ length: 100_000 }, (_, index) => ({
      _time: new Date(index),
      text: `${index}`.padStart(40),
    }))
    const { bytes, facts } = writeSegment([sampleBatch(schema, rows)])
    expect(facts.batches.length).toBeGreaterThanOrEqual(4)
    expect(facts.batches.length).toBeLessThanOrEqual(6)
    expect(rowsOf(readSegment(bytes).batches)).toEqual(rows)
    const narrow = sampleSchema({ _time: 'timestamp[ms]' })
    const times = Array.from({ length: 70_000 }, (_, index) => ({ _time: new Date(index) }))
    for (const block of writeSegment([sampleBatch(narrow, times)]).facts.batches) {
      expect(block.length).toBeLessThanOrEqual(65_536)
    }
  })

  test('encodes text of few values by a dictionary sorted by bytes', () => {
    const { bytes, facts } = writeSegment([orders()])
    expect(facts.dictionaries.map(({ column, length }) => ({ column, length }))).toEqual([
      { column: 1, length: 3 },
    ])
    const column = readSegment(bytes).batches[0]?.columns[1]
    const texts = column?.dictionary
    expect(Buffer.from(texts?.values ?? []).toString()).toBe('GrazLinzWien')
  })

  test('keeps times and statistics of columns and blocks', () => {
    const { facts } = writeSegment([orders()])
    expect([facts.timeMin, facts.timeMax]).toEqual([1_700_000_000_000, 1_700_000_003_999])
    expect([facts.appendTimeMin, facts.appendTimeMax]).toEqual([
      1_700_000_000_500, 1_700_000_004_500,
    ])
    expect(facts.statistics).toEqual([
      { nullCount: 0, min: 1_700_000_000_000, max: 1_700_000_003_999 },
      { nullCount: 1000, min: 'Graz', max: 'Wien' },
      { nullCount: 0, min: 'order 0', max: 'order 999' },
      { nullCount: 400, min: 0.25, max: 999.75 },
      { nullCount: 0 },
    ])
  })

  test('takes the times of blocks without any from their appends', () => {
    const schema = sampleSchema({ at: 'timestamp[ms]' })
    const { facts } = writeSegment([sampleBatch(schema, [{ at: null }])], { timeColumn: 'at' })
    expect([facts.timeMin, facts.timeMax]).toEqual([facts.appendTimeMin, facts.appendTimeMax])
  })

  test('is read column by column, in the order asked for', () => {
    const batch = orders()
    const { bytes } = writeSegment([batch])
    const { batches } = readSegment(bytes, [3, 1])
    expect(batches[0]?.schema.fields.map((field) => field.name)).toEqual(['amount', 'city'])
    expect(rowsOf(batches)).toEqual(
      batchToRows(batch).map(({ amount, city }) => ({ amount, city })),
    )
  })

  test('is read by the ranges of the wanted columns alone', () => {
    const { bytes, facts } = writeSegment([orders()])
    const ranges = blockRanges(facts, 0, [3, 1, 3])
    expect(ranges).toEqual([blockRanges(facts, 0)[2], blockRanges(facts, 0)[4]])
    const sparse = new Uint8Array(bytes.length)
    for (const { start, end } of [{ start: 0, end: facts.preambleLength }, ...ranges])
      sparse.set(bytes.subarray(start, end), start)
    const dictionaries = decodeDictionaries(facts, sparse.subarray(0, facts.preambleLength))
    const bytesOf = (range: Range): Uint8Array => sparse.subarray(range.start, range.end)
    const batch = decodeBlock(facts, 0, bytesOf, dictionaries, [3, 1])
    expect(rowsOf([batch])).toEqual(
      batchToRows(orders()).map(({ amount, city }) => ({ amount, city })),
    )
  })

  test('with a flipped bit is refused by who reads that column, and read by who does not', () => {
    const { bytes, facts } = writeSegment([orders()])
    const [metadata, ...columns] = blockRanges(facts, 0)
    const damaged = (position: number): Uint8Array => {
      const copy = new Uint8Array(bytes)
      copy[position] = (copy[position] ?? 0) ^ 4
      return copy
    }
    for (const [column, { start, end }] of columns.entries()) {
      for (const position of [start, Math.floor((start + end) / 2), end - 1]) {
        const other = (column + 1) % columns.length
        const error = errorOf(() => readSegment(damaged(position), [column]))
        expect(error?.details['position'], `byte ${position}`).toBe(start)
        expect(rowsOf(readSegment(damaged(position), [other]).batches)).toHaveLength(4000)
      }
    }
    const inMetadata = damaged(metadata?.start ?? 0)
    expect(errorOf(() => readSegment(inMetadata))?.code).toBe('segment_corrupt')
    expect(rowsOf(readSegment(inMetadata, [0]).batches)).toHaveLength(4000)
  })

  test('of nested columns is read by the ranges of one', () => {
    const schema = sampleSchema({
      _time: 'timestamp[ms]',
      tags: 'list<utf8>',
      place: 'struct<x:float64,names:list<utf8>>',
      size: 'int32',
    })
    const rows = Array.from({ length: 500 }, (_, row) => ({
      _time: new Date(row),
      tags: row % 7 === 0 ? null : Array.from({ length: row % 4 }, (__, item) => `tag ${item}`),
      place: row % 5 === 0 ? null : { x: row / 2, names: [`place ${row}`] },
      size: row,
    }))
    const batch = sampleBatch(schema, rows)
    const { bytes } = writeSegment([batch])
    for (const column of [1, 2, 3]) {
      const name = schema.fields[column]?.name ?? ''
      expect(rowsOf(readSegment(bytes, [column]).batches)).toEqual(
        batchToRows(batch).map((row) => ({ [name]: row[name] })),
      )
    }
  })

  test('is read from shared memory at any position of its buffer', () => {
    const batch = orders()
    const { bytes } = writeSegment([batch])
    for (const shift of [0, 1, 3, 8]) {
      const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + shift), shift)
      shared.set(bytes)
      expect(rowsOf(readSegment(shared).batches)).toEqual(batchToRows(batch))
    }
  })

  test('asks for more of its end when the facts do not fit', () => {
    const { bytes, facts } = writeSegment([orders()])
    const end = (count: number): Uint8Array => bytes.subarray(bytes.length - count)
    const more = parseSegmentTail(end(100), bytes.length)
    if (more.kind !== 'more') throw new Error('100 bytes are too few')
    expect(parseSegmentTail(end(more.tailBytes), bytes.length)).toEqual({ kind: 'facts', facts })
    expect(parseSegmentTail(end(more.tailBytes - 1), bytes.length)).toEqual(more)
    expect(parseSegmentTail(end(5), bytes.length).kind).toBe('more')
  })
})

describe('a damaged segment', () => {
  const batch = orders(600)
  const { bytes } = writeSegment([batch])

  test('is refused when it is cut short anywhere', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(errorOf(() => readSegment(bytes.slice(0, length)))?.code, `cut to ${length}`).toBe(
        'segment_corrupt',
      )
    }
  })

  test('is refused whichever bit is flipped', () => {
    const flipped = new Uint8Array(bytes)
    for (let position = 0; position < bytes.length; position++) {
      const bit = 1 << ((position * 5) % 8)
      flipped[position] = (bytes[position] ?? 0) ^ bit
      const error = errorOf(() => readSegment(flipped))
      expect(error?.code, `bit ${bit} of byte ${position}`).toBe('segment_corrupt')
      expect(error?.details['position']).toBeTypeOf('number')
      flipped[position] = bytes[position] ?? 0
    }
  })

  test('is refused when a block or a preamble is that of another', () => {
    const { facts } = readSegment(bytes)
    const other = writeSegment([{ ...batch, baseOffset: 501 }])
    const block = other.facts.batches[0]
    if (block === undefined) throw new Error('no block')
    const start = block.position
    const blockBytes = other.bytes.slice(start, start + block.metadataLength + block.bodyLength)
    blockBytes[blockBytes.length - 1] = 1
    const bytesOf = (range: Range): Uint8Array =>
      blockBytes.subarray(range.start - start, range.end - start)
    expect(errorOf(() => decodeBlock(facts, 0, bytesOf, new Map()))?.code).toBe('segment_corrupt')
    const preamble = new Uint8Array(facts.preambleLength)
    expect(errorOf(() => decodeDictionaries(facts, preamble))?.code).toBe('segment_corrupt')
    expect(errorOf(() => decodeDictionaries(facts, preamble.subarray(1)))?.code).toBe(
      'segment_corrupt',
    )
  })

  test('of an unknown version is told from a damaged one', () => {
    const text = Buffer.from(bytes)
      .toString('latin1')
      .replace('"formatVersion":1', '"formatVersion":2')
    const newer = new Uint8Array(Buffer.from(text, 'latin1'))
    const covered = newer.subarray(coveredStart(newer))
    new DataView(newer.buffer).setUint32(coveredStart(newer) - 4, crc32c(covered), true)
    expect(errorOf(() => readSegment(newer))?.code).toBe('format_unsupported')
  })

  test('whose blocks have forged checksums gives an error or other values, and never reads out of range', () => {
    const { facts } = readSegment(bytes)
    const block = facts.batches[0]
    if (block === undefined) throw new Error('no block')
    const dictionaries = decodeDictionaries(facts, bytes.subarray(0, facts.preambleLength))
    const outcomes = { refused: 0, read: 0 }
    const tell = (forged: Uint8Array, columns: SegmentFacts['batches'][0]['columns']): void => {
      const batches = [{ ...block, columns }]
      const bytesOf = (range: Range): Uint8Array => forged.subarray(range.start, range.end)
      const error = errorOf(() =>
        rowsOf([decodeBlock({ ...facts, batches }, 0, bytesOf, dictionaries)]),
      )
      if (error !== null) expect(error.code).toBe('segment_corrupt')
      outcomes[error === null ? 'read' : 'refused']++
    }
    const forged = new Uint8Array(bytes)
    for (const [column, { start, end }] of blockRanges(facts, 0, [0, 1, 2, 3, 4]).entries()) {
      for (let position = start; position < end; position++) {
        const before = forged[position] ?? 0
        for (const mask of [1 << (position % 8), 0xff]) {
          forged[position] = before ^ mask
          const checksum = crc32c(forged.subarray(start, end))
          tell(
            forged,
            block.columns.with(column, [checksum, ...(block.columns[column] ?? []).slice(1)]),
          )
        }
        forged[position] = before
      }
    }
    for (const [column, numbers] of block.columns.entries()) {
      for (const index of numbers.keys()) {
        for (const number of [0, 1, 2 ** 31, (numbers[index] ?? 0) + 8])
          tell(bytes, block.columns.with(column, numbers.with(index, number)))
      }
    }
    expect(Math.min(outcomes.read, outcomes.refused), 'both outcomes happen').toBeGreaterThan(100)
  })

  test('whose facts have a forged checksum is refused or read by what they say', () => {
    const start = coveredStart(bytes)
    const forged = new Uint8Array(bytes)
    let refused = 0
    for (let position = start; position < bytes.length - 10; position++) {
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

/** Where the bytes begin that the tail's checksum covers. */
function coveredStart(bytes: Uint8Array): number {
  const footerLength = new DataView(bytes.buffer).getUint32(bytes.length - 10, true)
  return bytes.length - 10 - footerLength
}
