/**
 * Makes rows of columns: plain objects, or views that read a value when it is asked for.
 *
 * Both are generated per shape, which is the names and how each column is read: objects with constant keys have one
 * hidden class, and every batch of a log is read by the same code, so that the code is compiled once. Where code
 * generation is forbidden closures do the same. Names go into the code as JSON strings, so no name can become code, and
 * `__proto__` is a key like any other.
 */
import type { ColumnData } from './column.ts'
import type { Row } from './schema-inference.ts'
import {
  CELL_FUNCTIONS,
  type ValueCell,
  cellCode,
  cellReader,
  cellShape,
  emptiedCell,
  touchCode,
  valueCell,
} from './value-cell.ts'

/** Reads rows as objects of their own; `row` and `[from, to)` lie inside the columns. */
export interface RowReader {
  /** For rows one after the other. */
  readonly row: (row: number) => Row
  /** The same for a row here and there. */
  single(row: number): Row
  rows(from: number, to: number): Row[]
}

/**
 * A view of one row at a time. Each column is a getter that decodes on access; a column named like a method hides it.
 */
export interface LazyRow {
  readonly [column: string]: unknown
  /** The row as an object of its own. */
  toObject(): Row
  toJSON(): Row
}

/** A lazy row with the ways to move it, which are not on the row: every name there may be a column. */
export interface LazyCursor {
  readonly row: LazyRow
  /** Which columns the row reads; they have the shape that the cursor was made for. */
  readonly attach: (cells: readonly ValueCell[]) => void
  readonly move: (row: number) => void
}

/** What reads the rows of one shape. */
export interface RowShape {
  reader(cells: readonly ValueCell[]): RowReader
  cursor(): LazyCursor
}

export function rowReader(names: readonly string[], columns: readonly ColumnData[]): RowReader {
  const cells = columns.map(valueCell)
  return rowShape(names, cells).reader(cells)
}

/** Shapes that are kept; beyond that all are made anew. */
const SHAPES_MAX = 1024
/** Of more columns the code would be huge, and objects of so many keys are dictionaries anyway. */
const GENERATED_COLUMNS_MAX = 512

const shapes = new Map<string, RowShape>()

/** The shape of columns of these names; equal ones share it. */
export function rowShape(names: readonly string[], cells: readonly ValueCell[]): RowShape {
  const key = JSON.stringify([names, cells.map(cellShape)])
  const known = shapes.get(key)
  if (known !== undefined) return known
  if (shapes.size >= SHAPES_MAX) shapes.clear()
  const shape = generatedShape(names, cells) ?? closureShape(names)
  shapes.set(key, shape)
  return shape
}

type CursorClass = new () => LazyRow

/** What a generated script gives; the functions of a lazy row stand beside its class. */
interface GeneratedLazy {
  readonly LazyRow: CursorClass
  readonly attach: (row: LazyRow, cells: readonly ValueCell[]) => void
  readonly move: (row: LazyRow, index: number) => void
}

/** Null where code generation is forbidden, or would not pay. */
function generatedShape(names: readonly string[], cells: readonly ValueCell[]): RowShape | null {
  if (names.length > GENERATED_COLUMNS_MAX) return null
  try {
    const reader = compile(readerCode(names, cells)) as RowShape['reader']
    // A shape outlives the columns that it was first made for.
    const emptied = cells.map(emptiedCell)
    let lazy: GeneratedLazy | null = null
    return {
      reader,
      cursor: () => {
        lazy ??= compile(lazyCode(names, emptied)) as GeneratedLazy
        const { LazyRow, attach, move } = lazy
        const row = new LazyRow()
        return {
          row,
          attach: (columns) => attach(row, columns),
          move: (index) => move(row, index),
        }
      },
    }
  } catch {
    return null
  }
}

function compile(code: string): unknown {
  const make = new Function(...Object.keys(CELL_FUNCTIONS), `'use strict'; return ${code}`)
  return make(...Object.values(CELL_FUNCTIONS)) as unknown
}

/** A key of an object literal that makes an own property whatever the name. */
function keyCode(name: string): string {
  return name === '__proto__' ? `['__proto__']` : JSON.stringify(name)
}

function literalCode(
  names: readonly string[],
  cells: readonly ValueCell[],
  part: (letter: string, index: number) => string,
): string {
  const entries = names.map((name, index) => {
    const cell = cells[index]
    if (cell === undefined) return ''
    return `${keyCode(name)}: ${cellCode(cell, part('v', index), part('c', index), part('n', index))}`
  })
  return `{ ${entries.join(', ')} }`
}

/** The parts of each cell that its code uses: letter, position, and the property of ValueCell. */
function partsOf(
  cells: readonly ValueCell[],
): readonly { readonly name: string; readonly from: string }[] {
  return cells.flatMap((cell, index) => [
    { name: `v${index}`, from: `cells[${index}].values` },
    ...(cell.codes === null ? [] : [{ name: `c${index}`, from: `cells[${index}].codes` }]),
    ...(cell.validity === null ? [] : [{ name: `n${index}`, from: `cells[${index}].validity` }]),
  ])
}

function readerCode(names: readonly string[], cells: readonly ValueCell[]): string {
  const part = (letter: string, index: number): string => `${letter}${index}`
  const literal = literalCode(names, cells, part)
  const parts = partsOf(cells).map(({ name, from }) => `const ${name} = ${from}`)
  // Kept in a variable, so that no compiler leaves the reads out.
  const touches = cells.flatMap((cell, index) =>
    touchCode(cell, part('v', index), part('c', index)),
  )
  return `(cells) => {
    ${parts.join('\n')}
    let touched = 0
    return {
      row: (i) => (${literal}),
      single: (i) => {
        ${touches.length === 0 ? '' : `touched = ${touches.join(' | ')}`}
        return (${literal})
      },
      rows: (from, to) => {
        const rows = []
        for (let i = from; i < to; i++) rows.push(${literal})
        return rows
      },
    }
  }`
}

function lazyCode(names: readonly string[], cells: readonly ValueCell[]): string {
  const part = (letter: string, index: number): string => `this.#${letter}${index}`
  const parts = partsOf(cells)
  const getters = names.map((name, index) => {
    const cell = cells[index]
    if (cell === undefined) return ''
    const code = cellCode(cell, part('v', index), part('c', index), part('n', index))
    return `get [${JSON.stringify(name)}]() { const i = this.#i; return ${code} }`
  })
  return `(() => {
    let attach, move
    class LazyRow {
      #i = 0
      ${parts.map(({ name }) => `#${name} = null`).join('\n')}
      static {
        attach = (row, cells) => { ${parts.map(({ name, from }) => `row.#${name} = ${from}`).join('; ')} }
        move = (row, index) => { row.#i = index }
      }
      toObject() { const i = this.#i; return (${literalCode(names, cells, part)}) }
      toJSON() { const i = this.#i; return (${literalCode(names, cells, part)}) }
      ${getters.join('\n')}
    }
    return { LazyRow, attach, move }
  })()`
}

/** The same without generated code. */
export function closureShape(names: readonly string[]): RowShape {
  const makeRow = (readers: readonly ((row: number) => unknown)[], row: number): Row => {
    const record: Record<string, unknown> = {}
    for (const [index, name] of names.entries()) define(record, name, readers[index]?.(row))
    return record
  }
  return {
    reader: (cells) => {
      const readers = cells.map(cellReader)
      return {
        row: (row) => makeRow(readers, row),
        single: (row) => makeRow(readers, row),
        rows: (from, to) =>
          Array.from({ length: to - from }, (_, index) => makeRow(readers, from + index)),
      }
    },
    cursor: () => {
      let readers: readonly ((row: number) => unknown)[] = []
      let at = 0
      const toObject = (): Row => makeRow(readers, at)
      const row = Object.create({ toObject, toJSON: toObject }) as LazyRow
      for (const [index, name] of names.entries()) {
        Object.defineProperty(row, name, {
          get: () => readers[index]?.(at),
          configurable: true,
        })
      }
      return {
        row,
        attach: (cells) => {
          readers = cells.map(cellReader)
        },
        move: (index) => {
          at = index
        },
      }
    },
  }
}

function define(record: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') record[name] = value
  else {
    Object.defineProperty(record, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
}
