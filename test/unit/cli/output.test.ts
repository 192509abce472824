import { describe, expect, test } from 'vitest'
import { csvHeader, toCells, toCsv } from '../../../src/query/text-records.ts'
import { toNdjson } from '../../../src/query/ndjson.ts'
import { renderTable } from '../../../src/cli/output/table.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import type { ColumnData } from '../../../src/format/column.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import type { ColumnType } from '../../../src/format/schema.ts'

function columnOf(type: ColumnType, values: readonly unknown[]): ColumnData {
  const builder = createColumnBuilder(type, HEAP_BUFFERS)
  for (const value of values) expect(builder.push(value)).toBe('ok')
  return builder.slice(0, values.length)
}

function chunkOf(columns: Readonly<Record<string, ColumnData>>): Parameters<typeof toNdjson>[0] {
  const length = Object.values(columns)[0]?.length ?? 0
  return { names: Object.keys(columns), columns: Object.values(columns), length }
}

describe('records as text', () => {
  test('NDJSON keeps what JSON numbers cannot: wide integers, decimals, digits of times, bytes', () => {
    const chunk = chunkOf({
      wide: columnOf('int64', [9007199254740993n, 5]),
      decimal: columnOf('decimal(10,2)', ['1.50', null]),
      ns: columnOf('timestamp[ns]', [1_700_000_000_123_456_789n, 0n]),
      date: columnOf('date', [new Date('2024-02-29'), null]),
      bytes: columnOf('binary', [Uint8Array.of(255, 0), null]),
      json: columnOf('json', [{ a: [1] }, null]),
      float: columnOf('float64', [Number.NaN, -0.5]),
    })
    expect(
      toNdjson(chunk)
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      {
        wide: '9007199254740993',
        decimal: '1.50',
        ns: '2023-11-14T22:13:20.123456789Z',
        date: '2024-02-29',
        bytes: '/wA=',
        json: { a: [1] },
        float: 'NaN',
      },
      {
        wide: 5,
        decimal: null,
        ns: '1970-01-01T00:00:00.000Z',
        date: null,
        bytes: null,
        json: null,
        float: -0.5,
      },
    ])
  })

  test('lists and structs are arrays and objects of the same, and JSON text in a cell', () => {
    const type = 'struct<wide:int64,at:list<timestamp[ns]>,bytes:binary,odd:float64>'
    const value = {
      wide: 9007199254740993n,
      at: [1n, null],
      bytes: Uint8Array.of(255, 0),
      odd: Number.NaN,
    }
    const chunk = chunkOf({
      s: columnOf(type, [value, null]),
      l: columnOf('list<utf8>', [['a'], []]),
    })
    const shown = {
      wide: '9007199254740993',
      at: ['1970-01-01T00:00:00.000000001Z', null],
      bytes: '/wA=',
      odd: 'NaN',
    }
    expect(
      toNdjson(chunk)
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { s: shown, l: ['a'] },
      { s: null, l: [] },
    ])
    expect(toCells(chunk, 2)).toEqual([
      [JSON.stringify(shown), '["a"]'],
      [null, '[]'],
    ])
    expect(toCsv(chunk).split('\r\n')[1]).toBe(',[]')
  })

  test('CSV quotes what would break a line or a cell, and tells a null from an empty text', () => {
    const chunk = chunkOf({ 'a,b': columnOf('utf8', ['x', 'say "hi"', 'two\nlines', '', null]) })
    expect(csvHeader(chunk.names) + toCsv(chunk)).toBe(
      '"a,b"\r\nx\r\n"say ""hi"""\r\n"two\nlines"\r\n""\r\n\r\n',
    )
  })

  test('cells are cut to the rows that are wanted', () => {
    expect(toCells(chunkOf({ a: columnOf('int32', [1, null, 3]) }), 2)).toEqual([['1'], [null]])
  })
})

describe('tables', () => {
  test('columns line up, numbers to the right, wide characters counted by their width', () => {
    const table = renderTable(
      [{ name: 'name' }, { name: 'n', align: 'right' }],
      [
        ['日本', '1'],
        [null, '1,000'],
      ],
    )
    expect(table.split('\n')).toEqual([
      'name      n',
      '───────────',
      '日本      1',
      '      1,000',
      '',
    ])
  })

  test('control characters and long texts do not break the lines', () => {
    const table = renderTable([{ name: 'a' }], [['x\n\u001B[31m'], ['y'.repeat(500)]])
    expect(table).not.toContain('\u001B')
    expect(Math.max(...table.split('\n').map((line) => line.length))).toBe(80)
  })
})
