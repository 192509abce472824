/**
 * A column as generated code reads it: a kind, which decides the code, and what that code works on. Kinds are few, so
 * that batches of one schema share one piece of code. What has no kind of its own is read by its `ColumnReader`.
 */
import { type ColumnData, codesOf, int32View } from './column.ts'
import { elementsOf } from './column-elements.ts'
import { columnReader, dictionaryTexts, integerAt, timeOfMs } from './column-values.ts'
import { TextReader } from './text-reader.ts'

export interface ValueCell {
  readonly kind: string
  readonly values: unknown
  /** Of a dictionary. */
  readonly codes: Uint8Array | Int32Array | null
  /** Null where every row has a value, and where `values` look after it. */
  readonly validity: Uint8Array | null
}

/** The value in row `i`, as code over `values` and `codes`, for each kind. */
const CODE: Readonly<Record<string, (values: string, codes: string) => string>> = {
  int64: (values) => `integerAt(${values}, i)`,
  time: (values) => `timeOfMs(${values}, i)`,
  bool: (values) => `((${values}[i >> 3] >> (i & 7)) & 1) === 1`,
  text: (values) => `${values}.at(i)`,
  dictionary: (values, codes) => `${values}[${codes}[i]]`,
  reader: (values) => `${values}(i)`,
  sequence: (values) => `${values} + i`,
  constant: (values) => values,
}

const ELEMENT_KINDS: ReadonlySet<string> = new Set([
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'float32',
  'float64',
])

/** What the code of `cellCode` calls by name. */
export const CELL_FUNCTIONS: Readonly<Record<string, unknown>> = { integerAt, timeOfMs }

export function valueCell(column: ColumnData): ValueCell {
  const { type, validity, values } = column
  const cell = { codes: null, validity }
  if (column.dictionary !== null) {
    const texts = dictionaryTexts(column.dictionary)
    return { kind: 'dictionary', values: texts, codes: codesOf(column), validity }
  }
  switch (type) {
    case 'bool':
      return { ...cell, kind: 'bool', values }
    case 'int64':
      return { ...cell, kind: 'int64', values: int32View(values) }
    case 'timestamp[ms]':
      return { ...cell, kind: 'time', values: int32View(values) }
    case 'utf8':
      return { ...cell, kind: 'text', values: new TextReader(column) }
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'float32':
    case 'float64':
      return { ...cell, kind: type, values: elementsOf(column) }
    default:
      return { kind: 'reader', values: columnReader(column), codes: null, validity: null }
  }
}

/** Whatever a function gives for a row. */
export function readerCell(read: (row: number) => unknown): ValueCell {
  return { kind: 'reader', values: read, codes: null, validity: null }
}

/** Row by row the numbers from `first` on. */
export function sequenceCell(first: number): ValueCell {
  return { kind: 'sequence', values: first, codes: null, validity: null }
}

/** The same value in each row. */
export function constantCell(value: number | string): ValueCell {
  return { kind: 'constant', values: value, codes: null, validity: null }
}

/** The code of one cell; the names are those of its three parts. */
export function cellCode(cell: ValueCell, values: string, codes: string, validity: string): string {
  const code = CODE[cell.kind]?.(values, codes) ?? `${values}[i]`
  return cell.validity === null
    ? code
    : `((${validity}[i >> 3] >> (i & 7)) & 1) === 1 ? ${code} : null`
}

/** Code that reads what one cell lies in, and does nothing else: at most one expression, of a number. */
export function touchCode({ kind }: ValueCell, values: string, codes: string): readonly string[] {
  if (kind === 'text') return [`${values}.touch(i)`]
  if (kind === 'dictionary') return [`${codes}[i]`]
  if (kind === 'int64' || kind === 'time') return [`${values}[i * 2]`]
  return ELEMENT_KINDS.has(kind) ? [`${values}[i]`] : []
}

/** Equal for cells that the same code reads. */
export function cellShape(cell: ValueCell): string {
  return cell.validity === null ? cell.kind : `${cell.kind}?`
}

const NO_BYTES = new Uint8Array(0)

/** A cell that the same code reads, and that holds nothing. */
export function emptiedCell({ kind, codes, validity }: ValueCell): ValueCell {
  return {
    kind,
    values: null,
    codes: codes === null ? null : NO_BYTES,
    validity: validity === null ? null : NO_BYTES,
  }
}

/** The same without generated code. */
export function cellReader(cell: ValueCell): (row: number) => unknown {
  const { validity } = cell
  const read = presentReader(cell)
  if (validity === null) return read
  return (row) => ((((validity[row >> 3] ?? 0) >> (row & 7)) & 1) === 1 ? read(row) : null)
}

function presentReader({ kind, values, codes }: ValueCell): (row: number) => unknown {
  switch (kind) {
    case 'dictionary': {
      const texts = values as readonly string[]
      return (row) => texts[codes?.[row] ?? 0]
    }
    case 'bool': {
      const bits = values as Uint8Array
      return (row) => (((bits[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
    }
    case 'int64':
      return (row) => integerAt(values as Int32Array, row)
    case 'time':
      return (row) => timeOfMs(values as Int32Array, row)
    case 'text': {
      const texts = values as TextReader
      return (row) => texts.at(row)
    }
    case 'reader':
      return values as (row: number) => unknown
    case 'sequence':
      return (row) => (values as number) + row
    case 'constant':
      return () => values
    default:
      return (row) => (values as readonly number[])[row]
  }
}
