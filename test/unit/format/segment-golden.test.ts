import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { batchToRows } from '../../../src/format/column-values.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { goldenPath } from '../../support/manifests.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  EVERY_TYPE,
  sampleBatch,
  sampleSchema,
  writeSegment,
} from '../../support/sample-batches.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const VALUES: Readonly<Record<string, readonly unknown[]>> = {
  bool: [true, false, null, true],
  int8: [-128, 127, null, 0],
  int16: [-32768, 32767, null, 0],
  int32: [-(2 ** 31), 2 ** 31 - 1, null, 0],
  int64: [-(2n ** 63n), 2n ** 63n - 1n, null, 2 ** 53 - 1],
  uint8: [0, 255, null, 1],
  uint16: [0, 65535, null, 1],
  uint32: [0, 2 ** 32 - 1, null, 1],
  uint64: [0, 2n ** 64n - 1n, null, 1],
  float32: [-0, NaN, null, 0.5],
  float64: [-0, NaN, null, 0.1],
  utf8: ['', 'é😀', null, 'plain'],
  json: [{ a: [1, null] }, 'text', null, 0],
  binary: [new Uint8Array([0, 255]), new Uint8Array(0), null, new Uint8Array([1])],
  'timestamp[s]': [new Date(0), new Date(-1000), null, new Date('2026-01-31T14:05:00Z')],
  'timestamp[ms]': [new Date(0), new Date(-1), null, new Date('2026-01-31T14:05:00.123Z')],
  'timestamp[us]': [0n, -1n, null, 1_769_868_300_123_456n],
  'timestamp[ns]': [0n, -1n, null, 1_769_868_300_123_456_789n],
  date: [new Date(0), new Date(-86_400_000), null, new Date('2026-01-31')],
  'decimal(20,3)': ['0.000', '-99999999999999999.999', null, '1.500'],
}

/** Every type in four rows: no buffer is worth compressing, so the bytes do not depend on the LZ4 library. */
function everyType(): RecordBatch {
  const columns: Record<string, ColumnType> = { _time: 'timestamp[ms]' }
  for (const type of EVERY_TYPE) columns[type] = type
  const rows: Row[] = [0, 1, 2, 3].map((row) => ({
    _time: new Date(1_700_000_000_000 + row),
    ...Object.fromEntries(EVERY_TYPE.map((type) => [type, VALUES[type]?.[row]])),
  }))
  return sampleBatch(sampleSchema(columns, 4), rows, { baseOffset: 12_345 })
}

/** Dictionary, compressed and stored buffers, nulls. */
function orders(): RecordBatch {
  const schema = sampleSchema({
    _time: 'timestamp[ms]',
    city: 'utf8',
    note: 'utf8',
    amount: 'float64',
  })
  const rows = Array.from({ length: 800 }, (_, index) => ({
    _time: new Date(1_700_000_000_000 + index * 1000),
    city: ['Wien', 'Graz', null, 'Linz'][index % 4],
    note: `order ${index}`,
    amount: index % 10 === 0 ? null : index / 4,
  }))
  return sampleBatch(schema, rows)
}

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(`segment-v1/${name}`)
  if (isUpdate) writeFileSync(path, bytes)
  return new Uint8Array(readFileSync(path))
}

test('a segment of every type is written as it always was', () => {
  const { bytes } = writeSegment([everyType()])
  expect(Buffer.compare(golden('every-type.arrow', bytes), bytes)).toBe(0)
})

test.each([
  ['every-type.arrow', everyType],
  ['orders.arrow', orders],
  ['every-type.parquet', everyType],
  ['orders.parquet', orders],
] as const)('the golden segment %s is read as it always was', (name, records) => {
  const batch = records()
  const format = name.endsWith('.parquet') ? 'parquet' : 'arrow'
  const written = writeSegment([batch], { format })
  const { facts, batches } = readSegment(golden(name, written.bytes))
  expect(batches.flatMap((part) => batchToRows(part))).toEqual(batchToRows(batch))
  const { batches: blocks, dictionaries, preambleChecksum, preambleLength, ...rest } = facts
  expect(rest).toEqual(
    expect.objectContaining({
      format,
      schema: written.facts.schema,
      statistics: written.facts.statistics,
    }),
  )
  expect([blocks.length, dictionaries.length]).toEqual([1, written.facts.dictionaries.length])
  expect(preambleLength).toBeGreaterThan(0)
  expect(preambleChecksum).toBeGreaterThan(0)
})
