import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { RecordBatchReader } from 'apache-arrow'
import { batchToRows } from '../../../src/format/column-values.ts'
import { endOffset } from '../../../src/format/record-batch.ts'
import { decodeDictionaries, decodeRows } from '../../../src/format/segment-reader.ts'
import { decodeCommit, encodeCommit, GENESIS_HASH } from '../../../src/format/manifest-codec.ts'
import { decodePage, encodePage } from '../../../src/format/manifest-page.ts'
import { SegmentChunk } from '../../../src/format/segment-chunk.ts'
import { recordsIn } from '../../../src/format/segment-entry.ts'
import { decodeSegmentFacts, factsJson } from '../../../src/format/segment-facts.ts'
import {
  type BatchFacts,
  type SegmentFacts,
  type SegmentFormat,
  blockEnd,
} from '../../../src/format/segment.ts'
import {
  type OffsetRows,
  cutRows,
  pickRows,
  runsOf,
  takeOffsets,
  withOffsetColumn,
  writtenRows,
} from '../../../src/format/sparse-rows.ts'
import { goldenPath, segmentEntry } from '../../support/manifests.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  type WrittenSegment,
  cutBatch,
  sampleBatch,
  sampleSchema,
  writeSegment,
} from '../../support/sample-batches.ts'

const FORMATS: readonly SegmentFormat[] = ['arrow', 'parquet']
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const schema = sampleSchema({ _time: 'timestamp[ms]', city: 'utf8', amount: 'float64' })
const dense = sampleBatch(
  schema,
  Array.from({ length: 400 }, (_, index) => ({
    _time: new Date(1_700_000_000_000 + index),
    city: ['Wien', 'Graz', null, 'Linz'][index % 4],
    amount: index % 10 === 0 ? null : index / 4,
  })),
  { baseOffset: 1_000 },
)
const rowsOf = (offsets: readonly number[]): OffsetRows =>
  pickRows(
    { batch: dense, offsets: null },
    Int32Array.from(offsets.flatMap((offset) => [offset - 1_000, offset - 999])),
  )
const RANGE = { baseOffset: 990, endOffset: 1_500, latestTo: 2_000 }

function write(parts: readonly OffsetRows[], format: SegmentFormat = 'arrow'): WrittenSegment {
  const { records, sparse } = writtenRows(parts, RANGE)
  return writeSegment(records, { format, ...(sparse === undefined ? {} : { sparse }) })
}

function read({ bytes }: { bytes: Uint8Array }, columns?: readonly number[]): OffsetRows[] {
  const { facts } = readSegment(bytes)
  const dictionaries = decodeDictionaries(facts, bytes.subarray(0, facts.preambleLength))
  return facts.batches.map((_, index) =>
    decodeRows(facts, index, ({ start, end }) => bytes.subarray(start, end), dictionaries, columns),
  )
}

const KEPT = [1_003, 1_004, 1_005, 1_100, 1_250, 1_251, 1_399]

describe.each(FORMATS)('a sparse segment as %s', (format) => {
  test('says the offset of each record, and reads as runs of consecutive ones', () => {
    const written = write([rowsOf(KEPT.slice(0, 4)), rowsOf(KEPT.slice(4))], format)
    const { facts } = readSegment(written.bytes)
    expect(facts).toMatchObject({
      baseOffset: 990,
      endOffset: 1_500,
      sparse: { records: 7, latestTo: 2_000 },
      schema,
    })
    expect(facts.statistics).toHaveLength(3)
    const [rows] = read(written)
    expect([...(rows?.offsets ?? [])]).toEqual(KEPT)
    const runs = read(written).flatMap((part) => [...runsOf(part)])
    expect(runs.map((run) => [run.baseOffset, endOffset(run)])).toEqual([
      [1_003, 1_006],
      [1_100, 1_101],
      [1_250, 1_252],
      [1_399, 1_400],
    ])
    const all = batchToRows(dense)
    expect(runs.flatMap((run) => batchToRows(run))).toEqual(
      KEPT.map((offset) => all[offset - 1_000]),
    )
    expect(runs.every((run) => run.schema.fields.length === 3)).toBe(true)
  })

  test('reads some columns with the offsets of their rows', () => {
    const [rows] = read(write([rowsOf(KEPT)], format), [2])
    expect(rows?.batch.schema.fields.map(({ name }) => name)).toEqual(['amount'])
    expect([...(rows?.offsets ?? [])]).toEqual(KEPT)
  })

  test('is not written where every offset has its record', () => {
    const cut = { baseOffset: 1_000, endOffset: 1_400, latestTo: 2_000 }
    const { records, sparse } = writtenRows([{ batch: dense, offsets: null }], cut)
    expect(sparse).toBeUndefined()
    const { facts } = readSegment(writeSegment(records, { format }).bytes)
    expect(facts.sparse).toBeUndefined()
    expect(facts.batches.every((block) => block.endOffset === undefined)).toBe(true)
  })
})

test('blocks of a sparse segment end where their last record does', () => {
  const wide = sampleSchema({ _time: 'timestamp[ms]', text: 'utf8' })
  const rows = Array.from({ length: 3_000 }, (_, index) => ({
    _time: new Date(index),
    text: `${index}`.repeat(300),
  }))
  const batches = cutBatch(sampleBatch(wide, rows), [1_000])
  const parts = batches.map((batch) =>
    // Every other row: [0, 1), [2, 3) and so on.
    pickRows(
      { batch, offsets: null },
      Int32Array.from({ length: batch.length }, (_, row) => row),
    ),
  )
  const { facts } = readSegment(
    writeSegment(parts.map(withOffsetColumn), {
      sparse: { baseOffset: 0, endOffset: 3_000, latestTo: 3_000 },
    }).bytes,
  )
  expect(facts.batches.length).toBeGreaterThan(1)
  let next = 0
  for (const block of facts.batches) {
    expect(block.baseOffset).toBeGreaterThanOrEqual(next)
    next = blockEnd(block)
    expect(next - block.baseOffset).toBeGreaterThan(block.length)
  }
  expect(facts.sparse?.records).toBe(facts.batches.reduce((sum, { length }) => sum + length, 0))
})

test('other readers of Arrow see the offsets as a column', () => {
  const { schema: seen } = RecordBatchReader.from(write([rowsOf(KEPT)]).bytes).open()
  expect(seen.fields.map(({ name }) => name)).toEqual(['_time', 'city', 'amount', '_offset'])
})

test('rows are cut by their offsets', () => {
  const rows = rowsOf(KEPT)
  expect([...(cutRows(rows, 1_004, 1_251)?.offsets ?? [])]).toEqual([1_004, 1_005, 1_100, 1_250])
  expect(cutRows(rows, 1_006, 1_100)).toBeNull()
  expect(cutRows(rows, 0, 5_000)).toBe(rows)
  expect(cutRows({ batch: dense, offsets: null }, 1_010, 1_020)?.batch).toMatchObject({
    baseOffset: 1_010,
    length: 10,
  })
})

test.each([
  ['descend', 1, 1_002n],
  ['begin elsewhere', 0, 1_002n],
  ['end elsewhere', KEPT.length - 1, 1_398n],
])('offsets that %s are damage', (_, row, offset) => {
  const whole = withOffsetColumn(rowsOf(KEPT))
  const values = whole.columns.at(-1)?.values ?? new Uint8Array(0)
  new BigInt64Array(values.buffer, values.byteOffset, KEPT.length)[row] = offset
  expect(takeOffsets(whole, 1_400)).toEqual(expect.stringContaining('its offsets'))
})

const changes: readonly (readonly [string, (facts: SegmentFacts) => object])[] = [
  ['too few records', () => ({ sparse: { records: 6, latestTo: 2_000 } })],
  ['a block behind its end', () => ({ endOffset: 1_399 })],
  ['a block before its start', () => ({ baseOffset: 1_004 })],
  ['a look that ended nowhere', () => ({ sparse: { records: 7, latestTo: 0 } })],
  ['a block without an end', ({ batches }) => ({ batches: batches.map(withoutEnd) })],
]
test.each(changes)('facts that tell of %s are refused', (_, change) => {
  const { facts, length } = write([rowsOf(KEPT)])
  const last = facts.batches.at(-1)
  const end = (last?.position ?? 0) + (last?.metadataLength ?? 0) + (last?.bodyLength ?? 0)
  expect(end).toBeLessThan(length)
  const fail = (reason: string): never => {
    throw new RangeError(reason)
  }
  const decode = (told: SegmentFacts): SegmentFacts =>
    decodeSegmentFacts(Buffer.from(factsJson(told)), 'arrow', end, fail)
  expect(decode(facts)).toEqual(facts)
  expect(() => decode({ ...facts, ...change(facts) })).toThrow(RangeError)
})

function withoutEnd(block: BatchFacts): BatchFacts {
  const { endOffset, ...rest } = block
  return endOffset === undefined ? block : rest
}

test.each(FORMATS)('the golden sparse segment as %s is read as it always was', (format) => {
  const path = goldenPath(`segment-v1/sparse.${format}`)
  const { bytes } = write([rowsOf(KEPT)], format)
  if (isUpdate) writeFileSync(path, bytes)
  const kept = new Uint8Array(readFileSync(path))
  expect(read({ bytes: kept })).toEqual(read({ bytes }))
  expect(readSegment(kept).facts.sparse).toEqual({ records: 7, latestTo: 2_000 })
})

describe('the entry of a sparse segment', () => {
  const sparse = { records: 3, latestTo: 50 }
  const chunk = SegmentChunk.of([
    segmentEntry(0, 10),
    segmentEntry(10, 20, { sparse }),
    segmentEntry(20, 30, { sparse: { records: 1, latestTo: 40 } }),
  ])

  test('is the same after it was in a page', () => {
    const { page, bytes } = encodePage([{ logId: 1, partition: 0, chunk }])
    const [run] = decodePage(bytes, page.sha256, 'f')
    const read = [0, 1, 2].map((index) => ({ ...run?.source.at(index) }))
    expect(read).toEqual(chunk.toArray())
    expect(read.map((entry) => 'sparse' in entry)).toEqual([false, true, true])
  })

  test('is the same after it was in an edit', () => {
    const edit = {
      kind: 'segment-added',
      logId: 1,
      partition: 0,
      segment: segmentEntry(0, 10, { sparse }),
    } as const
    const commit = { number: 2, previousHash: GENESIS_HASH, epoch: 1, writerId: 'w', time: 1 }
    const bytes = encodeCommit({ ...commit, edits: [edit] })
    expect(decodeCommit(bytes, 'f').edits).toEqual([edit])
    const wrong = { ...edit, segment: segmentEntry(0, 3, { sparse }) }
    expectCorrupt(() => decodeCommit(encodeCommit({ ...commit, edits: [wrong] }), 'f'))
    const page = encodePage([{ logId: 1, partition: 0, chunk: SegmentChunk.of([wrong.segment]) }])
    expectCorrupt(() => decodePage(page.bytes, page.page.sha256, 'f'))
  })

  test('says how many records there are', () => {
    expect(chunk.toArray().map(recordsIn)).toEqual([10, 3, 1])
  })
})

function expectCorrupt(work: () => unknown): void {
  expect(work).toThrow(expect.objectContaining({ code: 'manifest_corrupt' }))
}
