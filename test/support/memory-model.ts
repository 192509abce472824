/** What may happen to a log in the model test of the memory tier, and how it is said in each way there is. */
import { isDeepStrictEqual } from 'node:util'
import { tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import { expect } from 'vitest'
import { encodeIpcStream } from '../../src/format/arrow-output.ts'
import type { ColumnType, Field } from '../../src/format/schema.ts'
import type { Batch, Log, ReadOptions } from '../../src/index.ts'
import { arbitraryValue } from './arbitrary-columns.ts'
import { sampleColumn } from './sample-batches.ts'

export const PARTITIONS = 2

/** Declared; `tags` comes in columns only, and `wide` is there from its first row on, as whatever is inferred. */
export const TYPES: Readonly<Record<string, ColumnType>> = {
  flag: 'bool',
  small: 'int8',
  count: 'int32',
  big: 'int64',
  ratio: 'float64',
  half: 'float32',
  word: 'utf8',
  bytes: 'binary',
  at: 'timestamp[ms]',
  fine: 'timestamp[ns]',
  day: 'date',
  price: 'decimal(20,3)',
  doc: 'json',
  tags: 'list<int32>',
  pad: 'utf8',
}
export const NAMES: readonly string[] = Object.keys(TYPES)
const WORDS = ['', 'a', 'Graz', 'Zürich', '日本', '😀', 'a text that is longer than those'] as const

const typeOf = (name: string): ColumnType => TYPES[name] ?? 'utf8'

export type Values = Readonly<Record<string, unknown>>
/** By column, what its values are chosen from. */
export type Pools = Readonly<Record<string, readonly unknown[]>>

export interface Appending {
  readonly partition: number
  readonly how: 'rows' | 'row' | 'columns' | 'arrow' | 'adopted'
  readonly count: number
  readonly pad: number
  readonly seed: number
  readonly wide: number | null
  readonly ttl: number | null
  readonly priority: number | null
}

export type Step =
  | { readonly kind: 'append'; readonly appends: readonly Appending[] }
  | { readonly kind: 'read'; readonly asked: Asked }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'hold' | 'let-go' | 'refused' | 'restart' | 'flush' | 'query' | 'get' }

export interface Asked {
  readonly partition: number
  readonly from: number | null
  readonly to: number | null
  readonly since: number | null
  readonly until: number | null
  readonly last: number | null
  readonly limit: number | null
  readonly columns: readonly string[] | null
  readonly how: 'toArray' | 'rows' | 'lazy' | 'batches' | 'consume'
}

const part = fc.double({ min: 0, max: 1, noNaN: true })
const partition = fc.nat(PARTITIONS - 1)
const appending: fc.Arbitrary<Appending> = fc.record({
  partition,
  how: fc.constantFrom('rows', 'rows', 'row', 'columns', 'arrow', 'adopted'),
  count: fc.integer({ min: 1, max: 90 }),
  pad: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_500 })),
  seed: fc.nat(1_000),
  wide: fc.constantFrom(null, null, null, 7, 2 ** 40),
  ttl: fc.option(fc.integer({ min: 1, max: 4_000 }), { freq: 2 }),
  priority: fc.option(fc.integer({ min: -2, max: 2 }), { freq: 1 }),
})
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      appends: fc.array(appending, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      asked: fc.record({
        partition,
        from: fc.option(part),
        to: fc.option(part),
        since: fc.option(part),
        until: fc.option(part),
        last: fc.option(fc.nat(100)),
        limit: fc.option(fc.nat(100)),
        columns: fc.option(fc.subarray([...NAMES, '_offset', '_time'], { minLength: 1 })),
        how: fc.constantFrom('toArray', 'rows', 'lazy', 'batches', 'consume'),
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(1_500) }),
  },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom('hold', 'hold', 'let-go', 'refused', 'restart', 'flush', 'query', 'get')
      .map((kind) => ({ kind })),
  },
)

export function inputOf({ how }: Appending, rows: readonly Values[]): object {
  if (how === 'row') return rows[0] ?? {}
  if (how === 'rows') return rows
  const fields: Field[] = NAMES.map((name) => ({ name, type: typeOf(name), nullable: true }))
  const columns = fields.map(({ name, type }) =>
    sampleColumn(
      type,
      rows.map((row) => row[name]),
      how === 'adopted',
    ),
  )
  const batch = { fields, columns, length: rows.length }
  return how === 'arrow'
    ? tableFromIPC(Buffer.concat([...encodeIpcStream(fields, [batch])]))
    : batch
}

export async function readBy(how: Asked['how'], log: Log, options: ReadOptions): Promise<Values[]> {
  const stream = log.read(options)
  const rows: Values[] = []
  switch (how) {
    case 'rows':
      for await (const row of stream.rows()) rows.push(row)
      return rows
    case 'lazy':
      for await (const row of stream.lazyRows()) rows.push(row.toObject())
      return rows
    case 'batches':
      for await (const batch of stream) rows.push(...rowsOfColumns(batch))
      return rows
    default:
      return stream.toArray()
  }
}

function rowsOfColumns(batch: Batch): Values[] {
  const columns = batch.fields.map(({ name }) => batch.column(name))
  return Array.from({ length: batch.length }, (_, row) =>
    Object.fromEntries(columns.map((column) => [column.name, column.get(row)])),
  )
}

export function expectRow(row: Values, values: Values, names: readonly string[]): void {
  const own = names.filter((name) => !name.startsWith('_'))
  const pick = (from: Values): unknown[] => own.map((name) => from[name] ?? null)
  // Most of the test is this: `expect` is asked only for what to say.
  if (!isDeepStrictEqual(pick(row), pick(values))) expect(pick(row)).toEqual(pick(values))
}

export const pools: fc.Arbitrary<Pools> = fc.record(
  Object.fromEntries(
    NAMES.map((name) => [
      name,
      name === 'word'
        ? fc.constant(WORDS)
        : fc.array(arbitraryValue(typeOf(name)), { minLength: 1, maxLength: 7 }),
    ]),
  ),
)
