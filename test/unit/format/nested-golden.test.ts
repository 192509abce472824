/** Lists and structs as version 1 writes them, in a segment, in a WAL payload and in a hash. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { batchToRows } from '../../../src/format/column-values.ts'
import { LogHasher } from '../../../src/format/content-hash.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import {
  appendPayloadBytes,
  decodeAppendPayload,
  writeAppendPayload,
} from '../../../src/format/wal-payload.ts'
import { goldenPath } from '../../support/manifests.ts'
import { readSegment } from '../../support/read-segment.ts'
import { sampleBatch, sampleSchema, writeSegment } from '../../support/sample-batches.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const SCHEMA = sampleSchema({
  _time: 'timestamp[ms]',
  tags: 'list<utf8>',
  points: 'list<struct<x:int32,"y z":list<bool>>>',
  user: 'struct<name:utf8,seen:date,meta:json>',
})

const ROWS = [
  {
    _time: new Date(1_700_000_000_000),
    tags: ['a', null, 'é'],
    points: [{ x: 1, 'y z': [true, false] }, null, { x: null, 'y z': null }],
    user: { name: 'Ada', seen: new Date(86_400_000), meta: { a: [1] } },
  },
  { _time: new Date(1_700_000_000_001), tags: null, points: null, user: null },
  {
    _time: new Date(1_700_000_000_002),
    tags: [],
    points: [],
    user: { name: null, seen: null, meta: null },
  },
]

const batch: RecordBatch = sampleBatch(SCHEMA, ROWS, { baseOffset: 7 })

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

test('a segment of lists and structs is written and read as it always was', () => {
  const { bytes } = writeSegment([batch])
  const kept = golden('segment-v1/nested.arrow', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  expect(readSegment(kept).batches.flatMap(batchToRows)).toEqual(ROWS)
})

test('a Parquet segment of lists and structs is read as it always was', () => {
  const kept = golden(
    'segment-v1/nested.parquet',
    writeSegment([batch], { format: 'parquet' }).bytes,
  )
  expect(readSegment(kept).batches.flatMap(batchToRows)).toEqual(ROWS)
})

test('a WAL payload of lists and structs is written and read as it always was', () => {
  const bytes = new Uint8Array(appendPayloadBytes(batch.columns, 0, 3))
  writeAppendPayload(bytes, 0, SCHEMA.id, batch.columns, 0, 3)
  const kept = golden('wal-payload-v1/nested.payload', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  const { columns } = decodeAppendPayload(kept, SCHEMA)
  expect(batchToRows({ ...batch, columns })).toEqual(ROWS)
})

test('the hash of lists and structs is what it always was', () => {
  const hasher = new LogHasher(SCHEMA)
  hasher.add(0, batch)
  expect(hasher.digestHex()).toBe(
    '9bd1a9e497f39267913e923704c16c2c2dc4c8de0d5bb0b5d19ed4b7e8e215de',
  )
})
