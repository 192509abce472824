/** Parquet segments through the eyes of readers that share no code with ours. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import pl from 'nodejs-polars'
import { expect, test } from 'vitest'
import type { Row } from '../../src/format/schema-inference.ts'
import type { Schema } from '../../src/format/schema.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { cutBatch, sampleBatch, sampleSchema, writeSegment } from '../support/sample-batches.ts'

const ROWS = 5000

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
  binary: 'binary',
  seconds: 'timestamp[s]',
  millis: 'timestamp[ms]',
  micros: 'timestamp[us]',
  nanos: 'timestamp[ns]',
  date: 'date',
  decimal: 'decimal(20,3)',
  tags: 'list<utf8>',
  point: 'struct<x:int32,"y z":list<float64>>',
})

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
      binary: value(Uint8Array.of(index & 255, 0)),
      seconds: value(new Date((index - 2500) * 1000)),
      millis: value(new Date((index - 2500) * 1001)),
      micros: value(BigInt(index) * 1_000_000n),
      nanos: value(BigInt(index) * 1_000_000_000n),
      date: value(new Date(index * 86_400_000)),
      decimal: value(`${index - 2500}.125`),
      tags: index % 3 === 0 ? null : Array.from({ length: index % 5 }, (__, n) => `é${index}-${n}`),
      point:
        index % 11 === 0
          ? null
          : {
              x: index % 4 === 0 ? null : index,
              'y z': index % 7 === 0 ? null : [index / 2, null],
            },
    }
  })
}

/** In several row groups, of batches that were cut anywhere. */
function segment(schema: Schema, rows: readonly Row[]): Uint8Array {
  const batches = cutBatch(sampleBatch(schema, rows), [10, 3000, 1])
  return writeSegment(batches, { format: 'parquet' }).bytes
}

function without(schema: Schema, names: readonly string[]): Schema {
  return { ...schema, fields: schema.fields.filter(({ name }) => !names.includes(name)) }
}

test('polars reads the same rows, nulls and times from a Parquet segment', () => {
  const rows = records()
  // The package that tests it has no values for these two types.
  const schema = without(SCHEMA, ['binary', 'decimal'])
  const frame = pl.readParquet(Buffer.from(segment(schema, rows)))
  expect(frame.columns).toEqual(schema.fields.map((field) => field.name))
  expect(frame.height).toBe(ROWS)
  for (const name of frame.columns.filter((column) => column !== 'tags' && column !== 'point')) {
    const given = frame.getColumn(name).toArray() as unknown[]
    expect(
      given.map((value) => (typeof value === 'bigint' ? Number(value) : value)),
      name,
    ).toEqual(rows.map((row) => asPolars(name, row[name])))
  }
  const nested = frame.select('tags', 'point').toRecords()
  expect(plain(nested)).toEqual(plain(rows.map(({ tags, point }) => ({ tags, point }))))
  // Seconds are no time to readers of Parquet: the Arrow schema says what they are.
  expect(String(frame.getColumn('_time').dtype)).toContain('Datetime(ms,UTC)')
  expect(String(frame.getColumn('seconds').dtype)).toContain('Datetime(ms,UTC)')
})

/** What polars gives for a value of ours: 64-bit numbers as it likes, all times as Dates. */
function asPolars(name: string, value: unknown): unknown {
  if (value === null) return null
  if (name === 'json') return JSON.stringify(value)
  if (name === 'micros') return new Date(Number(value) / 1000)
  if (name === 'nanos') return new Date(Number(value) / 1_000_000)
  return value
}

const TIMES = ['_time', 'millis', 'micros', 'nanos']

test('DuckDB reads the same rows, nulls and times from a Parquet segment, and prunes by its bounds', async () => {
  const rows = records()
  const path = join(await temporaryDirectory(), 'segment.parquet')
  await writeFile(path, segment(SCHEMA, rows))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const times = TIMES.map((name) => `epoch_us(${name})::DOUBLE AS ${name}`).join(', ')
  const replaced = `${times}, (date - DATE '1970-01-01')::INT AS date, int64::DOUBLE AS int64,
    uint64::DOUBLE AS uint64, seconds::DOUBLE AS seconds, hex("binary") AS "binary"`
  const all = `SELECT * REPLACE (${replaced}) FROM read_parquet('${path}')`
  const given = (await connection.runAndReadAll(all)).getRowObjectsJson()
  expect(given).toHaveLength(ROWS)
  for (const { name } of SCHEMA.fields)
    expect(plain(given.map((row) => row[name])), name).toEqual(
      plain(rows.map((row) => asDuckDb(name, row[name]))),
    )
  const bounds = `SELECT count(*)::INT AS n FROM read_parquet('${path}') WHERE float64 > 1600 OR text < 'é 10'`
  const counted = (await connection.runAndReadAll(bounds)).getRowObjectsJson()
  const expected = rows.filter(
    ({ float64, text }) => Number(float64) > 1600 || (typeof text === 'string' && text < 'é 10'),
  )
  expect(counted).toEqual([{ n: expected.length }])
  connection.closeSync()
  instance.closeSync()
})

function asDuckDb(name: string, value: unknown): unknown {
  if (value === null) return null
  if (name === 'json') return JSON.stringify(value)
  if (name === 'binary')
    return Buffer.from(value as Uint8Array)
      .toString('hex')
      .toUpperCase()
  if (name === 'micros') return Number(value)
  if (name === 'nanos') return Number(value) / 1000
  if (!(value instanceof Date)) return value
  if (name === 'date') return value.getTime() / 86_400_000
  return name === 'seconds' ? value.getTime() / 1000 : value.getTime() * 1000
}

/** By way of JSON, since readers give objects of their own. */
function plain(values: readonly unknown[]): unknown {
  return JSON.parse(JSON.stringify(values))
}
