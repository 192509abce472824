/** The JavaScript of row writers (row-writer.ts). */
import type { ColumnType, Field } from './schema.ts'

/** How a column takes its values from rows. */
type Intake =
  /** `check` tells the values that are stored as `store` says; a column's `write` sees to others. */
  | { readonly kind: 'cell'; readonly check: string; readonly store: string }
  /** Every value by the column's `write`. */
  | { readonly kind: 'value' }
  | { readonly kind: 'bit' }
  | { readonly kind: 'text' }
  /** Gathered, and left to the column's `pushAll`. */
  | { readonly kind: 'gathered' }

const SAFE_INTEGER = 'v === Math.floor(v) && v >= -9007199254740991 && v <= 9007199254740991'
/** A whole number has no such zero, and its sign would be lost; for a small integer V8 needs no look. */
const NOT_MINUS_ZERO = '!Object.is(v, -0)'
/** ToInt32 is exact modulo 2^32 for every safe integer. */
const STORE_HALVES = 'c[r * 2] = v | 0; c[r * 2 + 1] = Math.floor(v / 4294967296)'
const STORE = 'c[r] = v'

const INTAKES: Readonly<Partial<Record<ColumnType, Intake>>> = {
  bool: { kind: 'bit' },
  int8: { kind: 'cell', check: `v << 24 >> 24 === v && ${NOT_MINUS_ZERO}`, store: STORE },
  int16: { kind: 'cell', check: `v << 16 >> 16 === v && ${NOT_MINUS_ZERO}`, store: STORE },
  int32: { kind: 'cell', check: `(v | 0) === v && ${NOT_MINUS_ZERO}`, store: STORE },
  uint8: { kind: 'cell', check: `(v & 0xff) === v && ${NOT_MINUS_ZERO}`, store: STORE },
  uint16: { kind: 'cell', check: `(v & 0xffff) === v && ${NOT_MINUS_ZERO}`, store: STORE },
  uint32: { kind: 'cell', check: `v >>> 0 === v && ${NOT_MINUS_ZERO}`, store: STORE },
  float32: { kind: 'cell', check: 'true', store: STORE },
  float64: { kind: 'cell', check: 'true', store: STORE },
  int64: { kind: 'cell', check: `${SAFE_INTEGER} && ${NOT_MINUS_ZERO}`, store: STORE_HALVES },
  uint64: {
    kind: 'cell',
    check: `${SAFE_INTEGER} && v >= 0 && ${NOT_MINUS_ZERO}`,
    store: STORE_HALVES,
  },
  // Numbers are ms, which only a column of ms counts as they are.
  'timestamp[ms]': { kind: 'cell', check: SAFE_INTEGER, store: STORE_HALVES },
  'timestamp[s]': { kind: 'value' },
  'timestamp[us]': { kind: 'value' },
  'timestamp[ns]': { kind: 'value' },
  date: { kind: 'value' },
  utf8: { kind: 'text' },
  json: { kind: 'gathered' },
  binary: { kind: 'gathered' },
}

function intakeOf(type: ColumnType): Intake {
  if (type.startsWith('decimal(')) return { kind: 'value' }
  return INTAKES[type] ?? { kind: 'gathered' }
}

/** Whether the column's values are gathered before it takes them. */
export function isGathered({ type }: Field): boolean {
  const { kind } = intakeOf(type)
  return kind === 'text' || kind === 'gathered'
}

/** The body of a function of `plain, builders, rows, start, end, gathered`; see RowWriter.writeRows. */
export function rowsSource(fields: readonly Field[]): string {
  const lines = fields.map((field, index) => rowsLines(field, index))
  return `
    const count = end - start
    const base = builders[0].length
    ${lines.map(({ before }) => before).join('\n')}
    for (let k = 0; k < count; k++) {
      const row = rows[start + k]
      const r = base + k
      ${READ_ROW}
      ${lines.map(({ each }) => each).join('\n')}
      ${COUNT_KEYS(fields.length)}
    }
    ${lines.map(({ after }) => after).join('\n')}
    return true`
}

/** The body of a function of `plain, builders, row`; see RowWriter.writeRow. */
export function rowSource(fields: readonly Field[]): string {
  const lines = fields.map((field, index) => rowLines(field, index))
  return `
    const r = builders[0].length
    ${READ_ROW}
    ${lines.map(({ each }) => each).join('\n')}
    ${COUNT_KEYS(fields.length)}
    ${lines.map(({ after }) => after).join('\n')}
    return true`
}

/** A getter of a class would be read as a column, and hide that the object has others of its own. */
const READ_ROW = `
      if (typeof row !== 'object' || row === null) return false
      const prototype = Object.getPrototypeOf(row)
      if (prototype !== plain && prototype !== null) return false
      let keys = 0`

/** Absent values have been counted as keys already. */
const COUNT_KEYS = (count: number): string => `
      for (const key in row) keys++
      if (keys !== ${count}) return false`

interface Lines {
  readonly before: string
  readonly each: string
  readonly after: string
}

function rowsLines(field: Field, index: number): Lines {
  const intake = intakeOf(field.type)
  const value = `const v${index} = row[${JSON.stringify(field.name)}]`
  const column = `const b${index} = builders[${index}]; b${index}.reserve(count)`
  switch (intake.kind) {
    case 'text':
      return {
        before: `${column}; const t${index} = gathered[${index}]; let n${index} = 0`,
        each: `${value}
          if (typeof v${index} === 'string') { t${index}[k] = v${index}; n${index} += v${index}.length }
          else ${otherwise(field, index, `t${index}[k] = ''; b${index}.setNull(r)`, 'return false')}`,
        after: `if (!b${index}.pushTexts(t${index}, count, n${index})) return false`,
      }
    case 'gathered':
      return {
        before: `const t${index} = gathered[${index}]`,
        each: `${value}
          t${index}[k] = v${index}
          if (v${index} === undefined) ${field.nullable ? 'keys++' : 'return false'}
          ${field.nullable ? '' : `else if (v${index} === null) return false`}`,
        after: `if (builders[${index}].pushAll(t${index}, count) < 0) return false`,
      }
    default:
      return {
        before: `${column}; const c${index} = b${index}.cells`,
        each: `${value}\n${cellLines(field, intake, index)}`,
        after: `b${index}.advance(count)`,
      }
  }
}

function rowLines(field: Field, index: number): Omit<Lines, 'before'> {
  const intake = intakeOf(field.type)
  const column = `const b${index} = builders[${index}]`
  const value = `const v${index} = row[${JSON.stringify(field.name)}]`
  switch (intake.kind) {
    case 'text':
      return {
        each: `${column}; ${value}
          b${index}.reserve(1)
          if (typeof v${index} === 'string') { if (b${index}.pushText(v${index}) !== 'ok') return false }
          else ${otherwise(field, index, `b${index}.setNull(r); b${index}.pushText('')`, 'return false')}`,
        after: '',
      }
    case 'gathered':
      return {
        each: `${value}
          if (v${index} === undefined) ${field.nullable ? 'keys++' : 'return false'}
          ${field.nullable ? '' : `else if (v${index} === null) return false`}
          if (builders[${index}].push(v${index}) !== 'ok') return false`,
        after: '',
      }
    default:
      return {
        each: `${column}; ${value}
          b${index}.reserve(1); const c${index} = b${index}.cells
          ${cellLines(field, intake, index)}`,
        after: `b${index}.advance(1)`,
      }
  }
}

function cellLines(field: Field, intake: Intake, index: number): string {
  const [b, c, v] = [`b${index}`, `c${index}`, `v${index}`]
  const other = otherwise(field, index, `${b}.setNull(r)`, `if (!${b}.write(r, ${v})) return false`)
  if (intake.kind === 'bit')
    return `if (${v} === true) ${c}[r >> 3] |= 1 << (r & 7)
      else if (${v} !== false) ${other}`
  if (intake.kind !== 'cell') return other
  const named = (code: string): string => code.replaceAll(/\bv\b/g, v).replaceAll(/\bc\b/g, c)
  return `if (typeof ${v} === 'number' && ${named(intake.check)}) { ${named(intake.store)} }
    else ${other}`
}

/** What happens to a null, and to any other value that is not one of the usual. */
function otherwise(field: Field, index: number, isNull: string, isOdd: string): string {
  const v = `v${index}`
  return field.nullable
    ? `if (${v} === null) { ${isNull} } else if (${v} === undefined) { keys++; ${isNull} } else { ${isOdd} }`
    : `{ if (${v} === null || ${v} === undefined) return false; ${isOdd} }`
}
