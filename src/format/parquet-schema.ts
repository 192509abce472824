/**
 * Column types as Parquet types. A list is Parquet's group of three levels; what lies inside of a list or a struct may
 * be null. Seconds have no type there and are plain int64: who reads the Arrow schema, which each file embeds, sees
 * what they are.
 */
import type { SchemaElement } from 'hyparquet'
import {
  type ColumnType,
  type Field,
  columnLayout,
  decimalParameters,
  timestampUnit,
} from './schema.ts'

/** A column that a file stores: one for each scalar type inside of a field. */
export interface ParquetLeaf {
  readonly type: ColumnType
  readonly path: readonly string[]
  readonly element: SchemaElement
  /** The definition level of a value that is there: how many optional and repeated things are around it. */
  readonly definitionMax: number
  /** Lists around it. */
  readonly repetitionMax: number
}

/** Every element of the fields, depth first, below a root. */
export function parquetSchema(fields: readonly Field[]): SchemaElement[] {
  const root = { name: 'schema', num_children: fields.length }
  return [root, ...fields.flatMap((field) => elementsOf(field.name, field.type, field.nullable))]
}

/** The stored columns of a field, in the order of the file. */
export function parquetLeaves({ name, type, nullable }: Field): readonly ParquetLeaf[] {
  return leavesOf(type, nullable, [name], 0, 0)
}

/** How many stored columns a type has. */
export function leafCount(type: ColumnType): number {
  const layout = columnLayout(type)
  if (layout.kind === 'list') return leafCount(layout.item)
  if (layout.kind !== 'struct') return 1
  return layout.fields.reduce((sum, field) => sum + leafCount(field.type), 0)
}

function elementsOf(name: string, type: ColumnType, isNullable: boolean): SchemaElement[] {
  const layout = columnLayout(type)
  const own: SchemaElement = { name, repetition_type: isNullable ? 'OPTIONAL' : 'REQUIRED' }
  if (layout.kind === 'list') {
    return [
      { ...own, num_children: 1, converted_type: 'LIST', logical_type: { type: 'LIST' } },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      ...elementsOf('element', layout.item, true),
    ]
  }
  if (layout.kind === 'struct') {
    const inside = layout.fields.flatMap((field) => elementsOf(field.name, field.type, true))
    return [{ ...own, num_children: layout.fields.length }, ...inside]
  }
  return [{ ...own, ...physicalType(type) }]
}

function leavesOf(
  type: ColumnType,
  isNullable: boolean,
  path: readonly string[],
  definition: number,
  repetition: number,
): readonly ParquetLeaf[] {
  const layout = columnLayout(type)
  const present = definition + (isNullable ? 1 : 0)
  if (layout.kind === 'list') {
    const inside = [...path, 'list', 'element']
    return leavesOf(layout.item, true, inside, present + 1, repetition + 1)
  }
  if (layout.kind === 'struct') {
    return layout.fields.flatMap((field) =>
      leavesOf(field.type, true, [...path, field.name], present, repetition),
    )
  }
  const name = path.at(-1) ?? ''
  const repetitionType = isNullable ? 'OPTIONAL' : 'REQUIRED'
  const element: SchemaElement = { name, repetition_type: repetitionType, ...physicalType(type) }
  return [{ type, path, element, definitionMax: present, repetitionMax: repetition }]
}

type PhysicalType = Omit<SchemaElement, 'name'>

/** Widths are given by the older annotation alone: the library writes the newer one's as no reader takes it. */
const PHYSICAL_TYPES: Readonly<Record<string, PhysicalType>> = {
  bool: { type: 'BOOLEAN' },
  int8: { type: 'INT32', converted_type: 'INT_8' },
  int16: { type: 'INT32', converted_type: 'INT_16' },
  int32: { type: 'INT32' },
  int64: { type: 'INT64' },
  uint8: { type: 'INT32', converted_type: 'UINT_8' },
  uint16: { type: 'INT32', converted_type: 'UINT_16' },
  uint32: { type: 'INT32', converted_type: 'UINT_32' },
  uint64: { type: 'INT64', converted_type: 'UINT_64' },
  float32: { type: 'FLOAT' },
  float64: { type: 'DOUBLE' },
  utf8: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  json: { type: 'BYTE_ARRAY', converted_type: 'JSON', logical_type: { type: 'JSON' } },
  binary: { type: 'BYTE_ARRAY' },
  date: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } },
}

const TIME_UNITS = { ms: 'MILLIS', us: 'MICROS', ns: 'NANOS' } as const

function physicalType(type: ColumnType): PhysicalType {
  const known = PHYSICAL_TYPES[type]
  if (known !== undefined) return known
  const decimal = decimalParameters(type)
  if (decimal !== null) {
    return {
      type: 'FIXED_LEN_BYTE_ARRAY',
      type_length: 16,
      converted_type: 'DECIMAL',
      logical_type: { type: 'DECIMAL', ...decimal },
      ...decimal,
    }
  }
  const unit = timestampUnit(type)
  if (unit === null || unit === 's') return { type: 'INT64' }
  const logical = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: TIME_UNITS[unit] } as const
  return { type: 'INT64', logical_type: logical }
}
