/**
 * Turns rows into one array of values per column: the first half of appending rows.
 *
 * A gatherer is generated for the columns of a schema, because a property read by a constant name, at a place of its
 * own, is several times faster than one by a variable name; where code generation is forbidden a closure does the same.
 * Names go into the code as JSON strings, so no name can become code.
 */

/** Values of `count` rows: `columns[i][row]` belongs to the i-th name; absent values are undefined. */
export type ColumnValues = readonly unknown[][]

/**
 * Reads rows `[0, count)` into `columns`. Returns -1, or the index of the first row that needs a closer look: it is no
 * plain record of these names, or has others, or its class may have some. What a getter throws passes through.
 */
export type RowGatherer = (rows: readonly unknown[], count: number, columns: ColumnValues) => number

/** Null where the names rule a gatherer out: one that every object inherits would be read from its prototype. */
export function createRowGatherer(names: readonly string[]): RowGatherer | null {
  if (names.length === 0 || names.some((name) => name in Object.prototype)) return null
  return generate(names) ?? closureGatherer(names)
}

type Generated = (plain: object, ...given: Parameters<RowGatherer>) => number

/** A getter of a class would be read as a column, and hide that the object has others of its own. */
function isPlain(row: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(row)
  return prototype === Object.prototype || prototype === null
}

function generate(names: readonly string[]): RowGatherer | null {
  const each = (line: (index: number, name: string) => string): string =>
    names.map((name, index) => line(index, JSON.stringify(name))).join('\n')
  const body = `
    ${each((index) => `const column${index} = columns[${index}]`)}
    for (let i = 0; i < count; i++) {
      const row = rows[i]
      if (typeof row !== 'object' || row === null) return i
      const prototype = Object.getPrototypeOf(row)
      if (prototype !== plain && prototype !== null) return i
      let known = 0
      ${each((index, name) => `const value${index} = row[${name}]; if (value${index} !== undefined) known++`)}
      let keys = 0
      for (const key in row) keys++
      if (keys !== known) return i
      ${each((index) => `column${index}[i] = value${index}`)}
    }
    return -1`
  try {
    const gather = new Function('plain', 'rows', 'count', 'columns', body) as Generated
    return (rows, count, columns) => gather(Object.prototype, rows, count, columns)
  } catch {
    return null
  }
}

/** The same without generated code. */
export function closureGatherer(names: readonly string[]): RowGatherer {
  return (rows, count, columns) => {
    for (let index = 0; index < count; index++) {
      const row = rows[index]
      if (typeof row !== 'object' || row === null || !isPlain(row)) return index
      let known = 0
      for (const [position, name] of names.entries()) {
        const value = (row as Readonly<Record<string, unknown>>)[name]
        if (value !== undefined) known++
        const column = columns[position]
        if (column !== undefined) column[index] = value
      }
      let keys = 0
      for (const _key in row) keys++
      if (keys !== known) return index
    }
    return -1
  }
}
