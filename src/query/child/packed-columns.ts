/**
 * Columns as one run of bytes and a layout, for a pipe: what comes out of one lies at any position, and a column's
 * buffers have to start where their elements do. Every buffer begins at a multiple of 8.
 */
import type { ColumnData } from '../../format/column.ts'
import type { ColumnType } from '../../format/schema.ts'

const ALIGNMENT = 8

/** Where a buffer lies, and its length, in bytes. */
type Place = readonly [position: number, length: number]

export interface ColumnPlan {
  readonly type: ColumnType
  readonly length: number
  readonly nullCount: number
  readonly validity: Place | null
  readonly offsets: Place | null
  readonly values: Place
  readonly dictionary: ColumnPlan | null
  readonly children?: readonly ColumnPlan[]
}

export interface PackedColumns {
  readonly plans: readonly ColumnPlan[]
  /** In order, with their padding, they are `byteLength` bytes. */
  readonly pieces: readonly Uint8Array[]
  readonly byteLength: number
}

/** Copies nothing: the pieces are the columns' own buffers. */
export function packColumns(columns: readonly ColumnData[]): PackedColumns {
  const pieces: Uint8Array[] = []
  let byteLength = 0
  const place = (bytes: Uint8Array): Place => {
    const position = byteLength
    const padding = -bytes.byteLength & (ALIGNMENT - 1)
    pieces.push(bytes)
    if (padding > 0) pieces.push(new Uint8Array(padding))
    byteLength += bytes.byteLength + padding
    return [position, bytes.byteLength]
  }
  const plan = ({ children, ...column }: ColumnData): ColumnPlan => ({
    type: column.type,
    length: column.length,
    nullCount: column.nullCount,
    validity: column.validity === null ? null : place(column.validity),
    offsets: column.offsets === null ? null : place(bytesOf(column.offsets)),
    values: place(column.values),
    dictionary: column.dictionary === null ? null : plan(column.dictionary),
    ...(children === undefined ? {} : { children: children.map(plan) }),
  })
  const plans = columns.map(plan)
  return { plans, pieces, byteLength }
}

/** Views over `bytes`, which begins where its ArrayBuffer does. */
export function unpackColumns(
  plans: readonly ColumnPlan[],
  bytes: ArrayBuffer,
): readonly ColumnData[] {
  const view = ([position, length]: Place): Uint8Array => new Uint8Array(bytes, position, length)
  const column = ({ children, ...plan }: ColumnPlan): ColumnData => ({
    type: plan.type,
    length: plan.length,
    nullCount: plan.nullCount,
    validity: plan.validity === null ? null : view(plan.validity),
    offsets:
      plan.offsets === null ? null : new Int32Array(bytes, plan.offsets[0], plan.offsets[1] >> 2),
    values: view(plan.values),
    dictionary: plan.dictionary === null ? null : column(plan.dictionary),
    ...(children === undefined ? {} : { children: children.map(column) }),
  })
  return plans.map(column)
}

/** The pieces, one after the other. */
export function joinPieces({ pieces, byteLength }: PackedColumns): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength)
  let position = 0
  for (const piece of pieces) {
    bytes.set(piece, position)
    position += piece.byteLength
  }
  return bytes
}

function bytesOf(offsets: Int32Array): Uint8Array {
  return new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength)
}
