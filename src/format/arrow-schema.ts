/**
 * Column types as Arrow types. JSON columns are Utf8 with the field metadata `stratalog:type` =
 * `json`; timestamps are in UTC. Only the writers of Arrow messages use this file.
 */
import { DateUnit } from 'apache-arrow/fb/date-unit'
import { Binary } from 'apache-arrow/fb/binary'
import { Bool } from 'apache-arrow/fb/bool'
import { Date as ArrowDate } from 'apache-arrow/fb/date'
import { Decimal } from 'apache-arrow/fb/decimal'
import { DictionaryEncoding } from 'apache-arrow/fb/dictionary-encoding'
import { Endianness } from 'apache-arrow/fb/endianness'
import { Field as ArrowField } from 'apache-arrow/fb/field'
import { FloatingPoint } from 'apache-arrow/fb/floating-point'
import { Int } from 'apache-arrow/fb/int'
import { KeyValue } from 'apache-arrow/fb/key-value'
import { List } from 'apache-arrow/fb/list'
import { Precision } from 'apache-arrow/fb/precision'
import { Schema as ArrowSchema } from 'apache-arrow/fb/schema'
import { Struct_ as Struct } from 'apache-arrow/fb/struct-'
import { TimeUnit } from 'apache-arrow/fb/time-unit'
import { Timestamp } from 'apache-arrow/fb/timestamp'
import { Type } from 'apache-arrow/fb/type'
import { Utf8 } from 'apache-arrow/fb/utf8'
import type { Builder, Offset } from 'flatbuffers'
import type { CodeWidth } from './dictionary-plan.ts'
import {
  type ColumnType,
  type Field,
  type TimestampUnit,
  columnLayout,
  decimalParameters,
  timestampUnit,
} from './schema.ts'

/** Field metadata that tells our types from Arrow's where those are coarser. */
export const TYPE_METADATA_KEY = 'stratalog:type'

/**
 * A field as it is written; `codeWidth` when its column is dictionary-encoded. A dictionary's id is
 * the field's position.
 */
export interface WrittenField extends Field {
  readonly codeWidth?: CodeWidth
}

export function writeSchema(builder: Builder, fields: readonly WrittenField[]): Offset {
  const offsets = fields.map((field, position) => writeField(builder, field, position))
  const vector = ArrowSchema.createFieldsVector(builder, offsets)
  ArrowSchema.startSchema(builder)
  ArrowSchema.addEndianness(builder, Endianness.Little)
  ArrowSchema.addFields(builder, vector)
  return ArrowSchema.endSchema(builder)
}

function writeField(builder: Builder, field: WrittenField, position: number): Offset {
  const name = builder.createString(field.name)
  const { typeType, type } = writeType(builder, field.type)
  const inside = childFields(field.type).map((child) => writeField(builder, child, position))
  const children = ArrowField.createChildrenVector(builder, inside)
  const metadata =
    field.type === 'json' ? writeMetadata(builder, [[TYPE_METADATA_KEY, 'json']]) : null
  const dictionary =
    field.codeWidth === undefined ? null : writeEncoding(builder, position, field.codeWidth)
  ArrowField.startField(builder)
  ArrowField.addName(builder, name)
  ArrowField.addNullable(builder, field.nullable)
  ArrowField.addTypeType(builder, typeType)
  ArrowField.addType(builder, type)
  ArrowField.addChildren(builder, children)
  if (dictionary !== null) ArrowField.addDictionary(builder, dictionary)
  if (metadata !== null) ArrowField.addCustomMetadata(builder, metadata)
  return ArrowField.endField(builder)
}

/** What lies inside may be null, as we have no type that says otherwise. */
function childFields(type: ColumnType): readonly WrittenField[] {
  const layout = columnLayout(type)
  if (layout.kind === 'list') return [{ name: 'item', type: layout.item, nullable: true }]
  if (layout.kind !== 'struct') return []
  return layout.fields.map((field) => ({ ...field, nullable: true }))
}

function writeEncoding(builder: Builder, id: number, codeWidth: CodeWidth): Offset {
  const indexType = Int.createInt(builder, codeWidth * 8, true)
  DictionaryEncoding.startDictionaryEncoding(builder)
  DictionaryEncoding.addId(builder, BigInt(id))
  DictionaryEncoding.addIndexType(builder, indexType)
  return DictionaryEncoding.endDictionaryEncoding(builder)
}

/** Key-value pairs as a vector that fields, schemas and footers take as custom metadata. */
export function writeMetadata(
  builder: Builder,
  pairs: readonly (readonly [string, string])[],
): Offset {
  const offsets = pairs.map(([key, value]) =>
    KeyValue.createKeyValue(builder, builder.createString(key), builder.createString(value)),
  )
  return ArrowField.createCustomMetadataVector(builder, offsets)
}

interface WrittenType {
  readonly typeType: Type
  readonly type: Offset
}

const TIME_UNITS: Readonly<Record<TimestampUnit, TimeUnit>> = {
  s: TimeUnit.SECOND,
  ms: TimeUnit.MILLISECOND,
  us: TimeUnit.MICROSECOND,
  ns: TimeUnit.NANOSECOND,
}

function writeType(builder: Builder, type: ColumnType): WrittenType {
  const integer = /^(u?)int(8|16|32|64)$/.exec(type)
  if (integer !== null) {
    return {
      typeType: Type.Int,
      type: Int.createInt(builder, Number(integer[2]), integer[1] === ''),
    }
  }
  const unit = timestampUnit(type)
  if (unit !== null) {
    const zone = builder.createString('UTC')
    return {
      typeType: Type.Timestamp,
      type: Timestamp.createTimestamp(builder, TIME_UNITS[unit], zone),
    }
  }
  const decimal = decimalParameters(type)
  if (decimal !== null) {
    return {
      typeType: Type.Decimal,
      type: Decimal.createDecimal(builder, decimal.precision, decimal.scale, 128),
    }
  }
  return writePlainType(builder, type)
}

function writePlainType(builder: Builder, type: ColumnType): WrittenType {
  const { kind } = columnLayout(type)
  if (kind === 'list') return { typeType: Type.List, type: List.createList(builder) }
  if (kind === 'struct') return { typeType: Type.Struct_, type: Struct.createStruct_(builder) }
  switch (type) {
    case 'bool':
      return { typeType: Type.Bool, type: Bool.createBool(builder) }
    case 'float32':
      return {
        typeType: Type.FloatingPoint,
        type: FloatingPoint.createFloatingPoint(builder, Precision.SINGLE),
      }
    case 'float64':
      return {
        typeType: Type.FloatingPoint,
        type: FloatingPoint.createFloatingPoint(builder, Precision.DOUBLE),
      }
    case 'date':
      return { typeType: Type.Date, type: ArrowDate.createDate(builder, DateUnit.DAY) }
    case 'binary':
      return { typeType: Type.Binary, type: Binary.createBinary(builder) }
    default:
      return { typeType: Type.Utf8, type: Utf8.createUtf8(builder) }
  }
}
