/**
 * The text of nested column types, strictly: every nested type has exactly one spelling, so that equal types are equal
 * strings.
 *
 * ```
 * list    list<T>
 * struct  struct<name:T,name:T,…>     at least one field; names differ, and are compared as they are
 * name    [A-Za-z_][A-Za-z0-9_]*, any other text as a JSON string
 * T       a scalar type, a list or a struct; at most NESTING_DEPTH_MAX lists and structs around one another
 * ```
 */
import { COLUMNS_MAX, COLUMN_NAME_BYTES_MAX, NESTING_DEPTH_MAX } from './limits.ts'

/** One level of a nested type; the types inside are spelled out as text again. */
export type NestedShape =
  | { readonly kind: 'list'; readonly item: string; readonly columnCount: number }
  | {
      readonly kind: 'struct'
      readonly fields: readonly NestedField[]
      /** Columns that it is stored as: itself and every one inside of it. */
      readonly columnCount: number
    }

interface NestedField {
  readonly name: string
  readonly type: string
}

export function isNestedText(text: string): boolean {
  return text.startsWith('list<') || text.startsWith('struct<')
}

/** The outermost level of a nested type; null for text that is none. */
export function parseNestedType(
  text: string,
  isScalar: (text: string) => boolean,
): NestedShape | null {
  const parser = new TypeParser(text, isScalar)
  const shape = parser.type(0)
  return shape === null || shape.kind === 'scalar' || !parser.isAtEnd ? null : shape
}

export function listText(item: string): string {
  return `list<${item}>`
}

export function structText(fields: readonly NestedField[]): string {
  return `struct<${fields.map(({ name, type }) => `${nameText(name)}:${type}`).join(',')}>`
}

/** What is wrong with the names of a struct's fields, or null. */
export function structNamesProblem(names: readonly string[]): string | null {
  if (names.length === 0) return 'a struct has at least one field'
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `a struct has the field ${JSON.stringify(twice)} twice`
  const wrong = names.find((name) => !isFieldName(name))
  return wrong === undefined ? null : `a struct cannot have a field ${JSON.stringify(wrong)}`
}

const SIMPLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

function nameText(name: string): string {
  return SIMPLE_NAME.test(name) ? name : JSON.stringify(name)
}

/** A field called `__proto__` would not be one of the objects that structs are read as. */
function isFieldName(name: string): boolean {
  return (
    name !== '' &&
    name !== '__proto__' &&
    name.isWellFormed() &&
    Buffer.byteLength(name) <= COLUMN_NAME_BYTES_MAX
  )
}

type ParsedType = NestedShape | { readonly kind: 'scalar'; readonly columnCount: 1 }

const SCALAR = { kind: 'scalar', columnCount: 1 } as const
const SCALAR_TEXT = /[a-z][a-z0-9]*(?:\[[a-z]+\]|\(\d+,\d+\))?/y
const NAME_TEXT = /[A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)*"/y

class TypeParser {
  readonly #text: string
  readonly #isScalar: (text: string) => boolean
  #position = 0

  constructor(text: string, isScalar: (text: string) => boolean) {
    this.#text = text
    this.#isScalar = isScalar
  }

  get isAtEnd(): boolean {
    return this.#position === this.#text.length
  }

  /** The type at the position; null when there is none. `depth` lists and structs are around it. */
  type(depth: number): ParsedType | null {
    const isList = this.#take('list<')
    if (!isList && !this.#take('struct<')) {
      const text = this.#match(SCALAR_TEXT)
      return text !== null && this.#isScalar(text) ? SCALAR : null
    }
    if (depth === NESTING_DEPTH_MAX) return null
    return isList ? this.#list(depth + 1) : this.#struct(depth + 1)
  }

  #list(depth: number): ParsedType | null {
    const start = this.#position
    const item = this.type(depth)
    const text = this.#text.slice(start, this.#position)
    if (item === null || !this.#take('>')) return null
    return { kind: 'list', item: text, columnCount: item.columnCount + 1 }
  }

  #struct(depth: number): ParsedType | null {
    const fields: NestedField[] = []
    let columnCount = 1
    do {
      const name = this.#name()
      if (name === null || !this.#take(':')) return null
      const start = this.#position
      const type = this.type(depth)
      if (type === null) return null
      columnCount += type.columnCount
      if (columnCount > COLUMNS_MAX) return null
      fields.push({ name, type: this.#text.slice(start, this.#position) })
    } while (this.#take(','))
    const isWhole = this.#take('>') && structNamesProblem(fields.map(({ name }) => name)) === null
    return isWhole ? { kind: 'struct', fields, columnCount } : null
  }

  /** Only in its one spelling. */
  #name(): string | null {
    const text = this.#match(NAME_TEXT)
    if (text === null) return null
    const name = text.startsWith('"') ? parseText(text) : text
    return name !== null && nameText(name) === text ? name : null
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#position)) return false
    this.#position += text.length
    return true
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#position
    const text = pattern.exec(this.#text)?.[0] ?? null
    this.#position += text?.length ?? 0
    return text
  }
}

function parseText(text: string): string | null {
  try {
    return JSON.parse(text) as string
  } catch {
    return null
  }
}
