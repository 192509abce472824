/**
 * Whether columns from a caller are laid out as `ColumnData` says: what is taken on trust would be read beyond its end.
 */
import { isUtf8 } from 'node:buffer'
import { areCodes, areOffsets, areTexts } from './buffer-check.ts'
import { type ColumnData, bitmapBytes, codesOf, countBits, isValidAt } from './column.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import { type ColumnType, type StructField, columnLayout, isColumnType } from './schema.ts'

/** What is wrong with the layout of a column, or null. Looks at every offset, code and byte of text. */
export function columnProblem(column: ColumnData): string | null {
  const { type, length, nullCount, validity, values } = column
  if (!isColumnType(type)) return `${JSON.stringify(type)} is not a column type`
  if (!isCount(length)) return 'its length is not a count'
  if (!isCount(nullCount) || nullCount > length) return 'its null count is not a count of its rows'
  if (validity === null ? nullCount > 0 : !isBytes(validity, bitmapBytes(length)))
    return 'its validity is too short'
  if (validity !== null && length - countBits(validity, length) !== nullCount)
    return 'its null count is not that of its validity'
  if (!(values instanceof Uint8Array)) return 'its values are not bytes'
  return column.dictionary === null
    ? layoutProblem(column)
    : dictionaryProblem(column, column.dictionary)
}

function layoutProblem(column: ColumnData): string | null {
  const layout = columnLayout(column.type)
  const { length, offsets, values, children } = column
  if (layout.kind === 'list') return listProblem(column, layout.item)
  if (layout.kind === 'struct') return structProblem(column, layout.fields)
  if (children !== undefined) return 'it has columns inside, as only lists and structs do'
  if (layout.kind !== 'variable') {
    if (offsets !== null) return 'it has offsets'
    const width = layout.kind === 'bits' ? null : layout.byteWidth
    const needed = width === null ? bitmapBytes(length) : length * width
    if (values.length < needed)
      return `its values take ${values.length} bytes; ${length} rows need ${needed}`
    return width !== null && values.byteOffset % Math.min(width, 8) !== 0
      ? 'its values are not aligned'
      : null
  }
  if (!(offsets instanceof Int32Array)) return TOO_FEW_OFFSETS
  const problem = offsetsProblem(offsets, length, values.length, VALUE_BYTES_MAX)
  if (problem !== null) return problem
  return column.type === 'binary' ? null : textProblem(column, offsets)
}

function offsetsProblem(
  offsets: Int32Array,
  length: number,
  end: number,
  stepMax: number,
): string | null {
  if (areOffsets(offsets, length, end, stepMax)) return null
  if (offsets.length < length + 1) return TOO_FEW_OFFSETS
  let before = 0
  for (let row = 0; row <= length; row++) {
    const offset = offsets[row] ?? 0
    if (offset < before) return 'its offsets do not ascend'
    if (offset - before > stepMax && row > 0)
      return `its value in row ${row - 1} is over ${stepMax} bytes`
    before = offset
  }
  return before > end ? 'its offsets lie beyond its values' : null
}

const TOO_FEW_OFFSETS = 'it has too few offsets'

function listProblem(column: ColumnData, itemType: ColumnType): string | null {
  const { length, offsets, children } = column
  if (!(offsets instanceof Int32Array)) return TOO_FEW_OFFSETS
  const problem = childrenProblem(children, [itemType])
  return problem ?? offsetsProblem(offsets, length, children?.[0]?.length ?? 0, Infinity)
}

function structProblem(column: ColumnData, fields: readonly StructField[]): string | null {
  const { length, offsets, children } = column
  if (offsets !== null) return 'it has offsets'
  const problem = childrenProblem(
    children,
    fields.map((field) => field.type),
  )
  if (problem !== null) return problem
  return children?.every((child) => child.length === length) === true
    ? null
    : 'the columns inside have other lengths'
}

function childrenProblem(
  children: readonly ColumnData[] | undefined,
  types: readonly ColumnType[],
): string | null {
  if (!Array.isArray(children) || children.length !== types.length)
    return `it has not ${types.length} ${types.length === 1 ? 'column' : 'columns'} inside`
  for (const [index, child] of (children as readonly ColumnData[]).entries()) {
    if (typeof child !== 'object' || child === null || child.type !== types[index])
      return `the column inside is not of the type ${types[index]}`
    if (child.dictionary !== null) return 'the column inside has a dictionary'
    const problem = columnProblem(child)
    if (problem !== null) return `the column inside, ${child.type}: ${problem}`
  }
  return null
}

/** Each value is whole text by itself; nothing is known of the bytes under a null. */
function textProblem({ length, values, validity }: ColumnData, offsets: Int32Array): string | null {
  if (areTexts(offsets, length, values)) return null
  for (let row = 0; row < length; row++) {
    if (validity !== null && !isValidAt({ validity }, row)) continue
    if (!isUtf8(values.subarray(offsets[row] ?? 0, offsets[row + 1] ?? 0)))
      return `its text in row ${row} is not UTF-8`
  }
  return null
}

function dictionaryProblem(column: ColumnData, dictionary: ColumnData): string | null {
  const { length, offsets, values } = column
  if (column.type !== 'utf8' || dictionary.type !== 'utf8') return 'only text has a dictionary'
  if (offsets !== null) return 'it has offsets'
  if (dictionary.dictionary !== null || dictionary.nullCount > 0)
    return 'its dictionary is not plain'
  const problem = columnProblem(dictionary)
  if (problem !== null) return `its dictionary: ${problem}`
  if (values.length !== length && (values.length < length * 4 || values.byteOffset % 4 !== 0))
    return 'it has too few codes'
  const codes = codesOf(column)
  if (areCodes(codes, length, dictionary.length)) return null
  for (let row = 0; row < length; row++) {
    const code = codes[row] ?? -1
    if ((code < 0 || code >= dictionary.length) && isValidAt(column, row))
      return 'a code is not in its dictionary'
  }
  return null
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isBytes(value: unknown, lengthMin: number): boolean {
  return value instanceof Uint8Array && value.length >= lengthMin
}
