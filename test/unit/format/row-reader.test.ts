import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ColumnData, sliceColumn } from '../../../src/format/column.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import {
  type RowReader,
  type RowShape,
  closureShape,
  rowReader,
  rowShape,
} from '../../../src/format/row-reader.ts'
import { valueCell } from '../../../src/format/value-cell.ts'
import { arbitraryBatch } from '../../support/arbitrary-columns.ts'
import { sampleColumn } from '../../support/sample-batches.ts'

const NAMES = fc.constantFrom(
  'plain',
  'a b',
  '__proto__',
  'constructor',
  'toString',
  '0',
  "'];//",
  '',
)

function oracle(names: readonly string[], columns: readonly ColumnData[], length: number): unknown {
  const readers = columns.map(columnReader)
  return Array.from({ length }, (_, row) =>
    names.map((name, index) => [name, readers[index]?.(row)]),
  )
}

function entriesOf(rows: readonly object[], names: readonly string[]): unknown {
  return rows.map((row) =>
    names.map((name) => {
      expect(Object.hasOwn(row, name), name).toBe(true)
      return [name, (row as Record<string, unknown>)[name]]
    }),
  )
}

function rowsOf(reader: RowReader, length: number, how: 'row' | 'single' | 'rows'): object[] {
  if (how === 'rows') return reader.rows(0, length)
  return Array.from({ length }, (_, row) => reader[how](row))
}

describe('rows', () => {
  test('have what the columns have, generated and by closures, whatever the names and types', () => {
    fc.assert(
      fc.property(
        arbitraryBatch(30),
        fc.uniqueArray(NAMES, { minLength: 5, maxLength: 5 }),
        ({ batch }, drawn) => {
          const names = drawn.slice(0, batch.columns.length)
          const cells = batch.columns.map(valueCell)
          const expected = oracle(names, batch.columns, batch.length)
          for (const shape of [rowShape(names, cells), closureShape(names)]) {
            for (const how of ['row', 'single', 'rows'] as const) {
              const rows = rowsOf(shape.reader(cells), batch.length, how)
              expect(entriesOf(rows, names)).toEqual(expected)
              expect(Object.getPrototypeOf(rows[0])).toBe(Object.prototype)
            }
            expect(lazyEntries(shape, cells, names, batch.length)).toEqual(expected)
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  test('of one shape share their code, and of another have other code', () => {
    const numbers = [sampleColumn('int32', [1, 2])].map(valueCell)
    const nullable = [sampleColumn('int32', [1, null])].map(valueCell)
    expect(rowShape(['n'], numbers)).toBe(rowShape(['n'], [...numbers]))
    expect(rowShape(['n'], nullable)).not.toBe(rowShape(['n'], numbers))
    expect(rowShape(['m'], numbers)).not.toBe(rowShape(['n'], numbers))
  })

  test('of more columns than code is generated for are the same', () => {
    const names = Array.from({ length: 600 }, (_, index) => `c${index}`)
    const columns = names.map((_, index) => sampleColumn('int32', [index]))
    const [row] = rowReader(names, columns).rows(0, 1)
    expect(Object.keys(row ?? {})).toEqual(names)
    expect(row).toMatchObject({ c0: 0, c599: 599 })
  })

  test('keep their texts when the buffer is given to others', () => {
    const texts = [
      'short',
      'a text that is longer than a slice that is copied',
      'ü',
      '',
      'x'.repeat(300),
    ]
    const column = sampleColumn('utf8', texts)
    const rows = rowReader(['text'], [column]).rows(0, texts.length)
    column.values.fill(0xdb)
    expect(rows.map(({ text }) => text)).toEqual(texts)
  })
})

function lazyEntries(
  shape: RowShape,
  cells: ReturnType<typeof valueCell>[],
  names: readonly string[],
  length: number,
): unknown {
  const cursor = shape.cursor()
  cursor.attach(cells)
  return Array.from({ length }, (_, row) => {
    cursor.move(row)
    return names.map((name) => [name, cursor.row[name]])
  })
}

describe('a lazy row', () => {
  test('decodes what is asked for, follows its cursor, and gives objects that stay', () => {
    const columns = [sampleColumn('int32', [1, 2]), sampleColumn('utf8', ['a', null])]
    const cells = columns.map(valueCell)
    for (const shape of [rowShape(['n', 's'], cells), closureShape(['n', 's'])]) {
      const { row, attach, move } = shape.cursor()
      attach(cells)
      const first = row.toObject()
      move(1)
      expect([row['n'], row['s']]).toEqual([2, null])
      expect(first).toEqual({ n: 1, s: 'a' })
      expect(JSON.stringify(row)).toBe('{"n":2,"s":null}')
      attach([sampleColumn('int32', [3, 4]), sampleColumn('utf8', ['b', 'c'])].map(valueCell))
      expect(row['n']).toBe(4)
    }
  })
})

describe('texts read one after the other', () => {
  test('are those that were put in, where many are decoded together and where one is not ASCII', () => {
    const texts = Array.from({ length: 1200 }, (_, row) => {
      const length = row < 400 ? 5 : row < 800 ? 100 : (row * 37) % 300
      return row % 350 === 349 ? `${row} ü` : String(row).padStart(length, 'x')
    })
    const rows = rowReader(['text'], [sampleColumn('utf8', texts)]).rows(0, texts.length)
    expect(rows.map(({ text }) => text)).toEqual(texts)
  })
})

describe('texts read in any order', () => {
  test('are those that were put in', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.string({ maxLength: 400 }),
      fc.constantFrom('', 'x'.repeat(255), 'x'.repeat(257)),
    )
    fc.assert(
      fc.property(
        fc.array(fc.option(text, { freq: 8 }), { minLength: 1, maxLength: 80 }),
        fc.array(fc.nat(79), { maxLength: 40 }),
        fc.nat(79),
        (texts, order, cut) => {
          const start = Math.min(cut, texts.length - 1)
          const kept = texts.slice(start)
          const read = columnReader(sliceColumn(sampleColumn('utf8', texts), start, texts.length))
          const rows = [...order.filter((row) => row < kept.length), ...kept.keys(), ...order]
          for (const row of rows) if (row < kept.length) expect(read(row)).toBe(kept[row])
        },
      ),
      { numRuns: 300 },
    )
  })
})

test('a shape holds nothing of the columns that it was made for', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const values = (): WeakRef<object> => {
    const column = sampleColumn('int32', [1, 2, 3])
    const cells = [valueCell(column)]
    const shape = rowShape(['only here'], cells)
    shape.reader(cells)
    shape.cursor().attach(cells)
    return new WeakRef(cells)
  }
  const held = values()
  // What a turn has looked at is held until it ends.
  await turnOfTheLoop()
  collect()
  expect(held.deref()).toBeUndefined()
})
