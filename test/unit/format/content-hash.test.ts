import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogHasher } from '../../../src/format/content-hash.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import { arbitraryBatch, arbitraryType } from '../../support/arbitrary-columns.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  cutBatch,
  sampleBatch,
  sampleColumn,
  sampleSchema,
  withDictionary,
  writeSegment,
} from '../../support/sample-batches.ts'

const SCHEMA = sampleSchema({ _time: 'timestamp[ms]', city: 'utf8', amount: 'int32', paid: 'bool' })

const ROWS = [
  { _time: new Date(1), city: 'Wien', amount: 1, paid: true },
  { _time: new Date(2), city: null, amount: null, paid: null },
  { _time: new Date(3), city: 'é', amount: -1, paid: false },
]

function hashOf(batches: readonly RecordBatch[], partition = 0): string {
  const hasher = new LogHasher(batches[0]?.schema ?? SCHEMA)
  for (const batch of batches) hasher.add(partition, batch)
  return hasher.digestHex()
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

describe('the hash of a log', () => {
  test('is what docs/formats.md says, byte by byte', () => {
    const amount = sha256(
      sha256(Buffer.from([1, 0, 1])),
      sha256(uint32(1), uint32(0), uint32(2 ** 32 - 1)),
    )
    const city = sha256(
      sha256(Buffer.from([1, 0, 1])),
      sha256(uint32(4), uint32(0), uint32(2)),
      sha256(Buffer.from('Wiené')),
    )
    const paid = sha256(sha256(Buffer.from([1, 0, 1])), sha256(Buffer.from([1, 0, 0])))
    const partition = sha256(uint32(7), uint32(1), uint64(40), uint64(43), amount, city, paid)
    const columns = Buffer.from(
      '[{"name":"amount","type":"int32"},{"name":"city","type":"utf8"},{"name":"paid","type":"bool"}]',
    )
    const expected = sha256(uint32(columns.length), columns, partition).toString('hex')
    expect(hashOf([sampleBatch(SCHEMA, ROWS, { baseOffset: 40 })], 7)).toBe(expected)
  })

  test('names every run of offsets', () => {
    const schema = sampleSchema({ a: 'uint8' })
    const rows = [{ a: 1 }, { a: 2 }, { a: 3 }]
    const [first, second, third] = cutBatch(sampleBatch(schema, rows), [1, 1])
    if (first === undefined || second === undefined || third === undefined) throw new Error('parts')
    const column = sha256(sha256(Buffer.from([1, 1, 1])), sha256(Buffer.from([1, 2, 3])))
    const runs = [uint64(0), uint64(2), uint64(9), uint64(10)]
    const partition = sha256(uint32(0), uint32(2), ...runs, column)
    const columns = Buffer.from('[{"name":"a","type":"uint8"}]')
    const expected = sha256(uint32(columns.length), columns, partition).toString('hex')
    expect(hashOf([first, second, { ...third, baseOffset: 9 }])).toBe(expected)
  })

  test('does not change with batch edges, dictionaries, segments and shared memory', () => {
    fc.assert(
      fc.property(
        arbitraryBatch(30, arbitraryType()),
        fc.array(fc.integer({ min: 1, max: 9 })),
        ({ batch, rows }, lengths) => {
          const expected = hashOf([batch])
          expect(hashOf(cutBatch(batch, lengths))).toBe(expected)
          expect(hashOf(readSegment(writeSegment([batch]).bytes).batches)).toBe(expected)
          const encoded = batch.columns.map((column, index) =>
            column.type === 'utf8'
              ? withDictionary(
                  column,
                  rows.map((row) => row[`c${index - 1}`] as string | null),
                )
              : column,
          )
          expect(hashOf([{ ...batch, columns: encoded }])).toBe(expected)
        },
      ),
      { numRuns: 100 },
    )
  })

  test('does not change with the stamped time, the order of columns, and what lies under nulls', () => {
    const expected = hashOf([sampleBatch(SCHEMA, ROWS)])
    const later = ROWS.map((row) => ({ ...row, _time: new Date(99) }))
    expect(hashOf([sampleBatch(SCHEMA, later)])).toBe(expected)
    const turned = { id: 1, fields: SCHEMA.fields.toReversed() }
    expect(hashOf([sampleBatch(turned, ROWS)])).toBe(expected)
    const batch = sampleBatch(SCHEMA, ROWS)
    const dirty = sampleColumn('int32', [1, 77, -1])
    const dirtyCity = sampleColumn('utf8', ['Wien', 'under', 'é'])
    const columns = batch.columns.map((column) =>
      column.type === 'int32'
        ? { ...column, values: dirty.values }
        : column.type === 'utf8'
          ? { ...column, values: dirtyCity.values, offsets: dirtyCity.offsets }
          : column,
    )
    expect(hashOf([{ ...batch, columns }])).toBe(expected)
  })

  test('changes with any value, null, offset, partition, name and type', () => {
    const batch = sampleBatch(SCHEMA, ROWS)
    const renamed = sampleSchema({
      _time: 'timestamp[ms]',
      town: 'utf8',
      amount: 'int32',
      paid: 'bool',
    })
    const widened = sampleSchema({
      _time: 'timestamp[ms]',
      city: 'utf8',
      amount: 'int64',
      paid: 'bool',
    })
    const hashes = [
      hashOf([batch]),
      hashOf([batch], 1),
      hashOf([{ ...batch, baseOffset: 1 }]),
      hashOf([sampleBatch(SCHEMA, ROWS.with(0, { ...ROWS[0], city: 'Graz' } as (typeof ROWS)[0]))]),
      hashOf([sampleBatch(SCHEMA, ROWS.with(1, { ...ROWS[1], city: '' } as (typeof ROWS)[0]))]),
      hashOf([sampleBatch(SCHEMA, ROWS.with(1, { ...ROWS[1], amount: 0 } as (typeof ROWS)[0]))]),
      hashOf([sampleBatch(SCHEMA, ROWS.toReversed())]),
      hashOf([sampleBatch(SCHEMA, ROWS.slice(0, 2))]),
      hashOf([
        sampleBatch(
          renamed,
          ROWS.map(({ city, ...row }) => ({ ...row, town: city })),
        ),
      ]),
      hashOf([sampleBatch(widened, ROWS)]),
      hashOf(cutBatch(batch, [1]).filter((_, index) => index === 0)),
    ]
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  test('tells values that were moved from one record to the next', () => {
    const schema = sampleSchema({ text: 'utf8' })
    const first = hashOf([sampleBatch(schema, [{ text: 'ab' }, { text: 'c' }])])
    expect(hashOf([sampleBatch(schema, [{ text: 'a' }, { text: 'bc' }])])).not.toBe(first)
  })

  test('sees gaps in the offsets, and where partitions meet', () => {
    const batch = sampleBatch(SCHEMA, ROWS)
    const [head, tail] = cutBatch(batch, [1])
    if (head === undefined || tail === undefined) throw new Error('two parts')
    const expected = hashOf([head, tail])
    expect(hashOf([head, { ...tail, baseOffset: 10 }])).not.toBe(expected)
    const parted = new LogHasher(SCHEMA)
    parted.add(1, tail)
    parted.add(0, head)
    const turned = new LogHasher(SCHEMA)
    turned.add(0, head)
    turned.add(1, tail)
    expect(parted.digestHex()).toBe(turned.digestHex())
    expect(parted.digestHex()).not.toBe(expected)
  })

  test('brings batches of older schemas to the newest', () => {
    const newest = sampleSchema(
      { _time: 'timestamp[ms]', paid: 'bool', amount: 'float64', city: 'utf8', note: 'utf8' },
      1,
    )
    const hasher = new LogHasher(newest)
    hasher.add(0, sampleBatch(SCHEMA, ROWS))
    const rows = ROWS.map((row) => ({ ...row, note: null }))
    expect(hasher.digestHex()).toBe(hashOf([sampleBatch(newest, rows)]))
  })
})
