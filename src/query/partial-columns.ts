/** Which partial aggregates a scan makes of a column, and of which types they are. */
import type { ColumnType } from '../format/schema.ts'
import { timestampUnit } from '../format/schema.ts'
import type { PartialClass, PartialKind } from './partial-kinds.ts'
import { type ColumnOrigin, sqlColumnType } from './table-columns.ts'

const SHORT_INTEGERS = /^u?int(?:8|16|32)$/
const FLOATS = /^float(?:32|64)$/

/** Null for a column of which a scan makes none. */
export function partialClassOf(origin: ColumnOrigin): PartialClass | null {
  if (origin.kind !== 'field' && origin.kind !== 'time') return null
  const { type } = origin.field
  if (SHORT_INTEGERS.test(type) || FLOATS.test(type)) return 'number'
  if (type === 'int64') return 'wide'
  return timestampUnit(type) === null ? 'counted' : 'ordered'
}

/** `of` is undefined for the number of records. */
export function partialOrigin(kind: PartialKind, of: ColumnOrigin | undefined): ColumnOrigin {
  const field = of?.kind === 'field' || of?.kind === 'time' ? of.field : null
  return { kind: 'partial', partial: kind, of: field, type: partialType(kind, of) }
}

function partialType(kind: PartialKind, of: ColumnOrigin | undefined): ColumnType {
  const isOrdered = kind === 'least' || kind === 'greatest'
  if (of === undefined || (!isOrdered && kind !== 'sum')) return 'int64'
  const type = sqlColumnType(of)
  if (isOrdered) return type
  return FLOATS.test(type) ? 'float64' : 'int64'
}
