/** Segments through the eyes of an Arrow implementation that shares no code with ours. */
import pl from 'nodejs-polars'
import { expect, test } from 'vitest'
import type { Row } from '../../src/format/schema-inference.ts'
import { cutBatch, sampleBatch, sampleSchema, writeSegment } from '../support/sample-batches.ts'

const ROWS = 5000

function records(): Row[] {
  return Array.from({ length: ROWS }, (_, index) => {
    const value = (present: unknown): unknown => ((index * 7) % 5 === 0 ? null : present)
    return {
      _time: new Date(1_700_000_000_000 + index * 17),
      bool: value(index % 3 === 0),
      int8: value((index % 256) - 128),
      int16: value(index - 2500),
      int32: value(index * -400_000),
      int64: value(index * -1_000_000_000_007),
      uint8: value(index % 256),
      uint16: value(index),
      uint32: value(4_000_000_000 + index),
      uint64: value(index * 1_000_000_007),
      float32: value(index / 2),
      float64: value(index / 3),
      text: value(index % 9 === 0 ? '' : `é ${index}`),
      json: value({ index, list: [index] }),
      city: value(['Wien', 'Graz', 'Linz', ''][index % 4]),
      seconds: value(new Date((index - 2500) * 1000)),
      millis: value(new Date((index - 2500) * 1001)),
      micros: value(BigInt(index) * 1_000_000n),
      nanos: value(BigInt(index) * 1_000_000_000n),
      date: value(new Date(index * 86_400_000)),
    }
  })
}

const SCHEMA = sampleSchema({
  _time: 'timestamp[ms]',
  bool: 'bool',
  int8: 'int8',
  int16: 'int16',
  int32: 'int32',
  int64: 'int64',
  uint8: 'uint8',
  uint16: 'uint16',
  uint32: 'uint32',
  uint64: 'uint64',
  float32: 'float32',
  float64: 'float64',
  text: 'utf8',
  json: 'json',
  city: 'utf8',
  seconds: 'timestamp[s]',
  millis: 'timestamp[ms]',
  micros: 'timestamp[us]',
  nanos: 'timestamp[ns]',
  date: 'date',
})

/** What polars gives for a value of ours: 64-bit numbers as it likes, all times as Dates. */
function asPolars(name: string, value: unknown): unknown {
  if (value === null) return null
  if (name === 'json') return JSON.stringify(value)
  if (name === 'micros') return new Date(Number(value) / 1000)
  if (name === 'nanos') return new Date(Number(value) / 1_000_000)
  return value
}

test('polars reads the same rows, nulls and times from a segment of several blocks', () => {
  const rows = records()
  const { bytes, facts } = writeSegment(cutBatch(sampleBatch(SCHEMA, rows), [10, 3000, 1]))
  expect(facts.dictionaries).toHaveLength(1)
  const frame = pl.readIPC(Buffer.from(bytes))
  expect(frame.columns).toEqual(SCHEMA.fields.map((field) => field.name))
  expect(frame.height).toBe(ROWS)
  for (const name of frame.columns) {
    const expected = rows.map((row) => asPolars(name, row[name]))
    const given = frame.getColumn(name).toArray() as unknown[]
    expect(
      given.map((value) => (typeof value === 'bigint' ? Number(value) : value)),
      name,
    ).toEqual(expected)
  }
  expect(String(frame.getColumn('_time').dtype)).toContain('Datetime(ms,UTC)')
})

test('polars reads every block of a segment that has many', () => {
  const schema = sampleSchema({ _time: 'timestamp[ms]', number: 'int64' })
  const rows = Array.from({ length: 200_000 }, (_, index) => ({
    _time: new Date(index),
    number: index,
  }))
  const { bytes, facts } = writeSegment([sampleBatch(schema, rows)])
  expect(facts.batches.length).toBeGreaterThan(2)
  const numbers = pl.readIPC(Buffer.from(bytes)).getColumn('number').toArray()
  expect(numbers).toEqual(rows.map((row) => row.number))
})

test('polars reads lists and structs of a segment', () => {
  const schema = sampleSchema({
    _time: 'timestamp[ms]',
    tags: 'list<utf8>',
    point: 'struct<x:int32,"y z":list<float64>>',
  })
  const rows = Array.from({ length: 3_000 }, (_, index) => ({
    _time: new Date(index),
    tags: index % 3 === 0 ? null : Array.from({ length: index % 5 }, (__, n) => `é${index}-${n}`),
    point: { x: index % 4 === 0 ? null : index, 'y z': index % 5 === 0 ? null : [index / 2, null] },
  }))
  const { bytes } = writeSegment(cutBatch(sampleBatch(schema, rows), [10, 1500]))
  const frame = pl.readIPC(Buffer.from(bytes))
  expect(plain(frame.toRecords())).toEqual(plain(rows))
})

/** By way of JSON, since polars gives objects of its own. */
function plain(rows: readonly object[]): unknown {
  return JSON.parse(JSON.stringify(rows))
}
