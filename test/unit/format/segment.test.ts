import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c, sha256Hex } from '../../../src/format/checksum.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import {
  columnRanges,
  decodeBlock,
  decodeDictionaries,
  parseSegmentTail,
} from '../../../src/format/segment-reader.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
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
    for (const { position, metadataLength, bodyLength, checksum } of facts.batches) {
      expect(crc32c(bytes.subarray(position, position + metadataLength + bodyLength))).toBe(
        checksum,
      )
    }
    expect(readSegment(bytes).facts).toEqual(facts)
  })

  test('says what is remembered of producers, where it is told', () => {
    const producers = [
      { producerId: 'a', epoch: 1, sequence: 3, time: 5, offsets: [0, 7], counts: [7, 2] },
    ]
    const { bytes, facts } = writeSegment([orders()], { producers })
    expect(facts.producers).toEqual(producers)
    expect(readSegment(bytes).facts).toEqual(facts)
    expect(writeSegment([orders()], { producers: [] }).facts).not.toHaveProperty('producers')
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

  test('names the ranges of a column inside its block', () => {
    const { bytes, facts } = writeSegment([orders()])
    const block = facts.batches[0]
    if (block === undefined) throw new Error('no block')
    const metadata = bytes.subarray(block.position, block.position + block.metadataLength)
    const all = columnRanges(facts, 0, metadata, [0, 1, 2, 3, 4])
    const some = columnRanges(facts, 0, metadata, [3])
    expect(all).toHaveLength(11)
    expect(all).toEqual(expect.arrayContaining([...some]))
    for (const { start, end } of all) {
      expect(start).toBeGreaterThanOrEqual(block.position + block.metadataLength)
      expect(end).toBeLessThanOrEqual(block.position + block.metadataLength + block.bodyLength)
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
    expect(errorOf(() => decodeBlock(facts, 0, blockBytes, new Map()))?.code).toBe(
      'segment_corrupt',
    )
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
    const forged = bytes.slice(
      block.position,
      block.position + block.metadataLength + block.bodyLength,
    )
    const outcomes = { refused: 0, read: 0 }
    for (let position = 0; position < forged.length; position++) {
      const before = forged[position] ?? 0
      for (const mask of [1 << (position % 8), 0xff]) {
        forged[position] = before ^ mask
        const batches = [{ ...block, checksum: crc32c(forged) }]
        const error = errorOf(() =>
          rowsOf([decodeBlock({ ...facts, batches }, 0, forged, dictionaries)]),
        )
        if (error !== null) expect(error.code).toBe('segment_corrupt')
        outcomes[error === null ? 'read' : 'refused']++
      }
      forged[position] = before
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
