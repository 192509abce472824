/** The system columns of a batch, made from what the batch is. */
import { keyText } from '../base/key-text.ts'
import { columnReader } from '../format/column-values.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { HEAP_BUFFERS } from '../format/growing-column.ts'
import type { ColumnData } from '../format/column.ts'
import type { Tier } from '../format/manifest.ts'
import { type Field, SYSTEM_COLUMNS, type SystemColumn } from '../format/schema.ts'

/** Whose rows a system column is about. */
export interface BatchPlace {
  readonly partition: number
  readonly tier: Tier
  readonly baseOffset: number
  readonly length: number
  /** By row, where offsets do not follow one another. */
  readonly offsets?: Float64Array | null
}

export function isSystemColumn(name: string): name is SystemColumn {
  return (SYSTEM_COLUMNS as readonly string[]).includes(name)
}

/** What a system column is; `time` is the field of the log's time column. */
export function systemField(name: SystemColumn, time: Field | undefined): Field {
  switch (name) {
    case '_offset':
      return { name, type: 'int64', nullable: false }
    case '_partition':
      return { name, type: 'int32', nullable: false }
    case '_tier':
      return { name, type: 'utf8', nullable: false }
    case '_time':
      return time === undefined
        ? { name, type: 'timestamp[ms]', nullable: false }
        : { ...time, name }
    case '_key':
      return { name, type: 'utf8', nullable: true }
  }
}

/** A column that says where each row is. */
export function placeColumn(
  name: '_offset' | '_partition' | '_tier',
  place: BatchPlace,
): ColumnData {
  const { length } = place
  const column = { length, nullCount: 0, validity: null, offsets: null, dictionary: null }
  switch (name) {
    case '_offset': {
      const halves = new Int32Array(length * 2)
      for (let row = 0; row < length; row++) {
        const offset = place.offsets?.[row] ?? place.baseOffset + row
        halves[row * 2] = offset
        halves[row * 2 + 1] = offset / 4_294_967_296
      }
      return { ...column, type: 'int64', values: bytesOf(halves) }
    }
    case '_partition':
      return {
        ...column,
        type: 'int32',
        values: bytesOf(new Int32Array(length).fill(place.partition)),
      }
    case '_tier': {
      const tiers = createColumnBuilder('utf8', HEAP_BUFFERS)
      tiers.push(place.tier)
      return {
        ...column,
        type: 'utf8',
        values: bytesOf(new Int32Array(length)),
        dictionary: tiers.slice(0, 1),
      }
    }
  }
}

/** The keys of a key column as text. */
export function keyTexts(column: ColumnData): ColumnData {
  if (column.type === 'utf8') return column
  const read = columnReader(column)
  const texts = createColumnBuilder('utf8', HEAP_BUFFERS)
  for (let row = 0; row < column.length; row++) texts.push(keyText(read(row)))
  return texts.slice(0, column.length)
}

function bytesOf(elements: Int32Array): Uint8Array {
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
}
