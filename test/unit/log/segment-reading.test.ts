import { expect, test } from 'vitest'
import { type Range, rangeLength } from '../../../src/base/range.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { blockRanges } from '../../../src/format/segment-reader.ts'
import type { SegmentBytes } from '../../../src/log/log-view.ts'
import { ReadPace, SegmentReading } from '../../../src/log/segment-reading.ts'
import { expectError } from '../../support/expect-error.ts'
import { sampleBatch, sampleSchema, writeSegment } from '../../support/sample-batches.ts'

const OWNER = { logId: 1, partition: 0 }
const COUNT = 120_000

/** Four columns of which none compresses, in blocks of about 1 MiB. */
function bigSegment(): { entry: SegmentEntry; bytes: Uint8Array } {
  const schema = sampleSchema({
    _time: 'timestamp[ms]',
    id: 'int64',
    word: 'utf8',
    size: 'float64',
  })
  const rows = Array.from({ length: COUNT }, (_, row) => ({
    _time: new Date(1_700_000_000_000 + row * 1_000),
    id: (row * 7_919_777) % 1_000_003,
    word: `${(row * 48_271) % 2_147_483_647}`.padStart(20, `${row % 7}`),
    size: Math.sin(row),
  }))
  const { bytes, facts, length, sha256 } = writeSegment([sampleBatch(schema, rows)], OWNER)
  const object = { object: 'o', position: 0, length }
  const { baseOffset, endOffset, timeMin, timeMax, appendTimeMin, appendTimeMax } = facts
  const { rawBytes, statistics } = facts
  const range = { baseOffset, endOffset, timeMin, timeMax, appendTimeMin, appendTimeMax }
  const stored = { rawBytes, length, sha256, format: 'arrow' as const, statistics }
  const entry = { ...range, ...stored, schemaId: schema.id, disk: null, object }
  return { bytes, entry }
}

const { bytes: WHOLE, entry: ENTRY } = bigSegment()

function countingBytes(whole: Uint8Array = WHOLE): { bytes: SegmentBytes; reads: Range[] } {
  const reads: Range[] = []
  const bytes: SegmentBytes = {
    length: whole.length,
    path: null,
    position: 0,
    read: async (range) => {
      reads.push(range)
      return whole.subarray(range.start, range.end)
    },
  }
  return { bytes, reads }
}

function total(ranges: readonly Range[]): number {
  return ranges.reduce((sum, range) => sum + rangeLength(range), 0)
}

test('a record of a big segment takes the footer and the block that holds it', async () => {
  const { bytes, reads } = countingBytes()
  const reading = await SegmentReading.open(bytes, ENTRY, OWNER)
  expect(reads).toHaveLength(1)
  expect(total(reads)).toBeLessThan(16 * 1024)
  const [block = -1] = reading.blocks(({ baseOffset }) => baseOffset > COUNT / 2)
  for await (const batch of reading.read([block], { columns: [0, 1, 2, 3] }))
    expect(batchToRows(batch)[0]).toMatchObject({ size: Math.sin(batch.baseOffset) })
  expect(reads).toHaveLength(2)
  expect(reads[1]).toEqual({
    start: blockRanges(reading.facts, block, [0])[0]?.start,
    end: blockRanges(reading.facts, block, [3])[0]?.end,
  })
})

test('a scan of one column fetches that column, and little beside it', async () => {
  const { bytes, reads } = countingBytes()
  const reading = await SegmentReading.open(bytes, ENTRY, OWNER)
  const blocks = reading.blocks(() => true)
  expect(blocks.length).toBeGreaterThan(3)
  const wanted = blocks.reduce(
    (sum, block) => sum + total(blockRanges(reading.facts, block, [3])),
    0,
  )
  let records = 0
  for await (const batch of reading.read(blocks, { columns: [3] })) records += batch.length
  expect(records).toBe(COUNT)
  expect(total(reads)).toBeLessThan(wanted * 1.1)
})

test('who stops at the first records has little fetched ahead of him', async () => {
  const { bytes, reads } = countingBytes()
  const reading = await SegmentReading.open(bytes, ENTRY, OWNER)
  const [first = 0] = reading.blocks(() => true)
  for await (const batch of reading.read(
    reading.blocks(() => true),
    { columns: [0, 1, 2, 3] },
  )) {
    expect(batch.baseOffset).toBe(0)
    break
  }
  expect(total(reads.slice(1))).toBe(total(blockRanges(reading.facts, first, [0, 1, 2, 3])))
})

test('who goes on has the next blocks under way while these are decoded', async () => {
  const { bytes, reads } = countingBytes()
  const reading = await SegmentReading.open(bytes, ENTRY, OWNER)
  const columns = [0, 1, 2, 3]
  const blocks = reading.blocks(() => true)
  const fetched: number[] = []
  for await (const _ of reading.read(blocks, { columns })) fetched.push(total(reads.slice(1)))
  const needed = blocks.map((block) => total(blockRanges(reading.facts, block, columns)))
  expect(fetched[1]).toBeGreaterThan((needed[0] ?? 0) + (needed[1] ?? 0))
})

test('the longer a reading goes on the more it asks for at once, up to a bound', () => {
  const pace = new ReadPace(300_000)
  expect(pace.isSequential).toBe(false)
  expect([pace.next(), pace.next(), pace.next()]).toEqual([256 * 1024, 300_000, 300_000])
  expect(pace.isSequential).toBe(true)
})

test('a flipped bit in a column matters to who reads it only', async () => {
  const damaged = new Uint8Array(WHOLE)
  const { facts } = await SegmentReading.open(countingBytes().bytes, ENTRY, OWNER)
  const position = blockRanges(facts, 1, [2])[0]?.start ?? 0
  damaged[position] = (damaged[position] ?? 0) ^ 1
  const { bytes } = countingBytes(damaged)
  const reading = await SegmentReading.open(bytes, ENTRY, OWNER)
  const read = async (columns: readonly number[]): Promise<number> => {
    let records = 0
    for await (const batch of reading.read(
      reading.blocks(() => true),
      { columns },
    ))
      records += batch.length
    return records
  }
  expect(await read([0, 3])).toBe(COUNT)
  const error = await expectError(read([1, 2]), 'segment_corrupt')
  expect(error.details['position']).toBe(position)
})

test('a body that is short is damage, and never decoded', async () => {
  const reading = await SegmentReading.open(
    {
      length: WHOLE.length,
      path: null,
      position: 0,
      read: async ({ start, end }) =>
        WHOLE.subarray(start, end === WHOLE.length ? end : Math.max(start, end - 9)),
    },
    ENTRY,
    OWNER,
  )
  const blocks = reading.blocks(() => true)
  await expectError(reading.read(blocks, { columns: [1] }).next(), 'segment_corrupt')
})
