import { expect, test } from 'vitest'
import type { ColumnType } from '../../../src/format/schema.ts'
import {
  type ScanBounds,
  nonceFor,
  parseFilter,
  scanColumnName,
  scansFromPlan,
} from '../../../src/query/scan-bounds.ts'
import type { TableColumn } from '../../../src/query/table-columns.ts'

const TYPES: readonly ColumnType[] = [
  'int64',
  'float64',
  'utf8',
  'timestamp[us]',
  'date',
  'timestamp[ns]',
  'decimal(9,2)',
]
const bounds = (filter: string): ScanBounds => parseFilter(filter, 'x_0_', TYPES).bounds
const NOON = BigInt(Date.UTC(2026, 0, 1, 12)) * 1000n

test('a comparison with a constant bounds its column', () => {
  expect(bounds('(x_0_0 >= 5)')).toEqual([{ column: 0, min: 5n, max: null }])
  expect(bounds('(x_0_0 < -5)')).toEqual([{ column: 0, min: null, max: -6n }])
  expect(bounds('(x_0_0 = 5)')).toEqual([{ column: 0, min: 5n, max: 5n }])
  expect(bounds('(x_0_0 BETWEEN 3 AND 5)')).toEqual([
    { column: 0, min: 3n, max: 5n, isBetween: true },
  ])
  expect(bounds('(x_0_1 > 3.5)')).toEqual([{ column: 1, min: 3.5, max: null }])
  expect(bounds("(x_0_2 = 'it''s AND (x_0_0 > 3)')")).toEqual([
    { column: 2, min: "it's AND (x_0_0 > 3)", max: "it's AND (x_0_0 > 3)" },
  ])
  expect(bounds("(x_0_3 > '2026-01-01 12:00:00'::TIMESTAMP)")).toEqual([
    { column: 3, min: NOON + 1n, max: null },
  ])
  expect(bounds("(x_0_3 <= '2026-01-01 12:00:00.5'::TIMESTAMP)")).toEqual([
    { column: 3, min: null, max: NOON + 500_000n },
  ])
  expect(
    bounds(
      "(CAST(x_0_3 AS TIMESTAMP WITH TIME ZONE) > '2026-01-01 12:00:00+00'::TIMESTAMP WITH TIME ZONE)",
    ),
  ).toEqual([{ column: 3, min: NOON + 1n, max: null }])
  expect(bounds("(x_0_4 >= '1970-01-11'::DATE)")).toEqual([{ column: 4, min: 10, max: null }])
})

test('conditions joined by AND each count, and what is not understood bounds nothing', () => {
  expect(
    bounds(
      '((x_0_0 > 1) AND (abs(x_0_0) < 3) AND ((x_0_1 > 1.0) OR (x_0_1 < 0.0)) AND (x_0_1 <= 9.0))',
    ),
  ).toEqual([
    { column: 0, min: 2n, max: null },
    { column: 1, min: null, max: 9 },
  ])
  for (const filter of [
    '((x_0_0 = 3) OR (x_0_0 = 4))',
    '(NOT (x_0_0 = 3))',
    '(x_0_0 != 3)',
    '(x_0_0 IS NULL)',
    '(x_0_0 > x_0_1)',
    '(x_0_2 > 5)',
    "prefix(x_0_2, 'A')",
    "(x_0_3 > 'infinity'::TIMESTAMP)",
    "(x_0_4 > '1970-01-11 00:00:00'::TIMESTAMP)",
    "(x_0_5 > '2026-01-01 12:00:00.123456789'::TIMESTAMP_NS)",
    '(x_0_6 > 3.50)',
    '(x_0_99 > 3)',
    '(x_1_0 > 3)',
    '(y > 3)',
    '(CAST(x_0_1 AS BIGINT) >= 5)',
    "(CAST(x_0_3 AS DATE) > '2026-01-01'::DATE)",
    '(CAST(x_0_0 AS DOUBLE) > 1e300)',
    '(CAST(x_0_0 AS DECIMAL(20,1)) > 9007199254740993.5)',
  ]) {
    expect(bounds(filter), filter).toEqual([])
  }
  expect(bounds("(x_0_1 BETWEEN 1.0 AND 'nan'::DOUBLE)")).toEqual([
    { column: 1, min: 1, max: null, isBetween: true },
  ])
})

test('the nonce is a word that the statement does not have', () => {
  expect(nonceFor('SELECT 1')).toBe('scan0')
  expect(nonceFor('SELECT Scan0, scan1_0_0 FROM t')).toBe('scan2')
})

const COLUMNS: readonly TableColumn[] = [{ name: '_offset', origin: { kind: 'offset' } }]
const scan = (table: number) => ({
  name: 'STRATALOG_SCAN ',
  children: [],
  extra_info: { Function: 'STRATALOG_SCAN', Projections: scanColumnName(table, 0, 'scan0') },
})
const filter = (expression: string, child: object) => ({
  name: 'FILTER',
  children: [child],
  extra_info: { Expression: expression },
})

test('a plan tells the bounds of each scan, from the filter directly above it', () => {
  const plan = {
    name: 'HASH_JOIN',
    extra_info: {},
    children: [
      filter('(scan0_0_0 > 5)', scan(0)),
      filter('(scan0_0_0 > 6)', { name: 'PROJECTION', extra_info: {}, children: [scan(0)] }),
      scan(1),
    ],
  }
  const { bounds } = scansFromPlan(JSON.stringify([plan]), [COLUMNS, COLUMNS, COLUMNS], 'scan0')
  expect(bounds).toEqual([[[{ column: 0, min: 6n, max: null }], []], [[]], []])
})

test('a scan that cannot be told apart makes every bound unknown', () => {
  const unknown = { ...scan(0), extra_info: { Function: 'STRATALOG_SCAN' } }
  const plan = {
    name: 'UNION',
    extra_info: {},
    children: [filter('(scan0_0_0 > 5)', scan(0)), unknown],
  }
  expect(scansFromPlan(JSON.stringify([plan]), [COLUMNS], 'scan0')).toEqual({
    bounds: [null],
    columns: [null],
    filters: [null],
  })
})

test('the columns of a table are those that any of its scans gives', () => {
  const giving = (Projections: unknown): object => ({
    ...scan(0),
    extra_info: { Function: 'STRATALOG_SCAN', Projections },
  })
  const columnsOf = (...projections: readonly unknown[]): unknown => {
    const plan = { name: 'UNION', extra_info: {}, children: projections.map(giving) }
    return scansFromPlan(JSON.stringify([plan]), [COLUMNS, COLUMNS], 'scan0').columns
  }
  expect(columnsOf(['scan0_0_1', 'scan0_0_0'], 'scan0_0_1')).toEqual([[1, 0], []])
  expect(columnsOf(['scan0_0_1', 'other'])).toEqual([null, []])
  expect(columnsOf(['scan0_0_1', 'scan0_1_0'])).toEqual([null, []])
})

test('a cast that fails for some values of a column bounds nothing: what it fails by must be read', () => {
  const found = (type: ColumnType, cast: string): boolean =>
    parseFilter(`(CAST(x_0_0 AS ${cast}) = 5)`, 'x_0_', [type]).bounds.length > 0
  expect(found('int64', 'INTEGER')).toBe(false)
  expect(found('uint64', 'INTEGER')).toBe(false)
  expect(found('uint64', 'BIGINT')).toBe(false)
  expect(found('uint32', 'INTEGER')).toBe(false)
  expect(found('int64', 'DECIMAL(19,1)')).toBe(false)
  expect(found('uint64', 'DECIMAL(20,1)')).toBe(false)
  for (const [type, cast] of [
    ['uint16', 'INTEGER'],
    ['uint32', 'BIGINT'],
    ['uint64', 'HUGEINT'],
    ['uint64', 'DOUBLE'],
    ['int64', 'DOUBLE'],
    ['int64', 'DECIMAL(20,1)'],
    ['uint64', 'DECIMAL(21,1)'],
    ['int8', 'DECIMAL(4,1)'],
    ['float32', 'DOUBLE'],
  ] as const)
    expect(found(type, cast), `${type} as ${cast}`).toBe(true)
})
