/**
 * The types of apache-arrow, told by their shape, as column types. What no column type holds is refused with what its
 * owner can do about it.
 */
import { type ColumnType, isColumnType, isNestedType } from './schema.ts'
import { listText, structNamesProblem, structText } from './nested-type.ts'

/** What is used of apache-arrow's types; `typeId` is of its enum Type. */
export interface ArrowType {
  readonly typeId: number
  readonly bitWidth?: number
  readonly isSigned?: boolean
  readonly precision?: number
  readonly scale?: number
  readonly unit?: number
  /** Of binary of a fixed size. */
  readonly byteWidth?: number
  /** Of lists of a fixed size. */
  readonly listSize?: number
  /** Of nested types: the fields inside. */
  readonly children?: readonly ArrowChild[] | null
  /** Of a dictionary: the type of its values. */
  readonly dictionary?: ArrowType
  readonly indices?: ArrowType
}

interface ArrowChild {
  readonly name: string
  readonly type: ArrowType
  readonly metadata?: ReadonlyMap<string, string> | undefined
}

/** A RecordBatch of apache-arrow, as far as it is looked at. */
export interface ArrowBatch {
  readonly schema: { readonly fields: readonly ArrowField[] }
  readonly data: { readonly length: number; readonly children: readonly unknown[] }
}

export interface ArrowField {
  readonly name: string
  readonly nullable: boolean
  readonly metadata?: ReadonlyMap<string, string>
}

export const ARROW_TYPE = {
  null: 1,
  int: 2,
  float: 3,
  binary: 4,
  utf8: 5,
  bool: 6,
  decimal: 7,
  date: 8,
  time: 9,
  timestamp: 10,
  interval: 11,
  list: 12,
  struct: 13,
  union: 14,
  fixedSizeBinary: 15,
  fixedSizeList: 16,
  map: 17,
  duration: 18,
  largeBinary: 19,
  largeUtf8: 20,
  largeList: 21,
  binaryView: 23,
  utf8View: 24,
  dictionary: -1,
} as const

/** Halves, which become float32. */
export const FLOAT_16 = 0

/** Why no column type holds an Arrow type. */
export interface Unsupported {
  readonly given: string
  readonly advice: string
}

const TIMESTAMP_TYPES: readonly ColumnType[] = [
  'timestamp[s]',
  'timestamp[ms]',
  'timestamp[us]',
  'timestamp[ns]',
]

const INTEGER_OR_TEXT = 'cast it to an integer or to text'

const UNSUPPORTED: Readonly<Record<number, Unsupported>> = {
  [ARROW_TYPE.null]: { given: 'null inside of another type', advice: 'cast it to a type' },
  [ARROW_TYPE.time]: { given: 'time of day', advice: INTEGER_OR_TEXT },
  [ARROW_TYPE.interval]: { given: 'interval', advice: INTEGER_OR_TEXT },
  [ARROW_TYPE.duration]: { given: 'duration', advice: INTEGER_OR_TEXT },
  [ARROW_TYPE.union]: { given: 'union', advice: 'make it a column per type' },
}

/** What the metadata of a field says of its text. */
export function isJsonField(field: Pick<ArrowChild, 'metadata'>): boolean {
  return field.metadata?.get('stratalog:type') === 'json'
}

/** @param isJson whether text of that type is JSON. */
export function columnTypeOf(type: ArrowType, isJson: boolean): ColumnType | Unsupported {
  switch (type.typeId) {
    case ARROW_TYPE.int:
      return integerOf(type)
    case ARROW_TYPE.float:
      return type.precision === 2 ? 'float64' : 'float32'
    case ARROW_TYPE.binary:
    case ARROW_TYPE.largeBinary:
    case ARROW_TYPE.binaryView:
    case ARROW_TYPE.fixedSizeBinary:
      return 'binary'
    case ARROW_TYPE.utf8:
    case ARROW_TYPE.largeUtf8:
    case ARROW_TYPE.utf8View:
      return isJson ? 'json' : 'utf8'
    case ARROW_TYPE.bool:
      return 'bool'
    case ARROW_TYPE.decimal:
      return decimalOf(type)
    case ARROW_TYPE.date:
      // Dates in ms may have a time of day, which only a timestamp keeps.
      return type.unit === 0 ? 'date' : 'timestamp[ms]'
    case ARROW_TYPE.timestamp:
      return TIMESTAMP_TYPES[type.unit ?? -1] ?? unknown(type)
    case ARROW_TYPE.dictionary:
      return dictionaryOf(type, isJson)
    default:
      return nestedOf(type)
  }
}

const SIGNED: Readonly<Record<number, ColumnType>> = {
  8: 'int8',
  16: 'int16',
  32: 'int32',
  64: 'int64',
}
const UNSIGNED: Readonly<Record<number, ColumnType>> = {
  8: 'uint8',
  16: 'uint16',
  32: 'uint32',
  64: 'uint64',
}

function integerOf({ isSigned, bitWidth }: ArrowType): ColumnType | Unsupported {
  const type = (isSigned === true ? SIGNED : UNSIGNED)[bitWidth ?? 0]
  const given = `${isSigned === true ? '' : 'u'}int${bitWidth}`
  return type ?? { given, advice: INTEGER_OR_TEXT }
}

function named(name: string, advice: string): ColumnType | Unsupported {
  return isColumnType(name) ? name : { given: name, advice }
}

function decimalOf({ bitWidth, precision, scale }: ArrowType): ColumnType | Unsupported {
  const name = `decimal(${precision},${scale})`
  if (bitWidth === 128) return named(name, 'cast it to float64 or to text')
  return {
    given: `${name} of ${bitWidth} bits`,
    advice: 'cast it to a decimal of 128 bits or to text',
  }
}

function dictionaryOf({ dictionary }: ArrowType, isJson: boolean): ColumnType | Unsupported {
  const type = dictionary === undefined ? null : columnTypeOf(dictionary, isJson)
  if (typeof type === 'string' && type !== 'bool' && !isNestedType(type)) return type
  const of = typeof type === 'string' ? type : (type?.given ?? 'nothing')
  return { given: `dictionary of ${of}`, advice: 'cast it to its plain values' }
}

function nestedOf(type: ArrowType): ColumnType | Unsupported {
  const children = type.children ?? []
  switch (type.typeId) {
    case ARROW_TYPE.list:
    case ARROW_TYPE.largeList:
    case ARROW_TYPE.fixedSizeList:
      return listOf(children[0])
    case ARROW_TYPE.map:
      return listOf(children[0])
    case ARROW_TYPE.struct:
      return structOf(children)
    default:
      return unknown(type)
  }
}

function listOf(item: ArrowChild | undefined): ColumnType | Unsupported {
  const type = item === undefined ? null : columnTypeOf(item.type, isJsonField(item))
  if (type === null) return { given: 'list of nothing', advice: 'cast it to a type' }
  if (typeof type === 'object') return { ...type, given: `list of ${type.given}` }
  return named(listText(type), TOO_MUCH)
}

function structOf(children: readonly ArrowChild[]): ColumnType | Unsupported {
  const fields: { name: string; type: ColumnType }[] = []
  for (const child of children) {
    const type = columnTypeOf(child.type, isJsonField(child))
    if (typeof type === 'object')
      return { ...type, given: `struct with ${type.given} in ${JSON.stringify(child.name)}` }
    fields.push({ name: child.name, type })
  }
  if (fields.length === 0) return { given: 'struct without fields', advice: 'leave it out' }
  const problem = structNamesProblem(fields.map(({ name }) => name))
  if (problem !== null) return { given: 'struct', advice: `name its fields otherwise: ${problem}` }
  return named(structText(fields), TOO_MUCH)
}

const TOO_MUCH = 'make it less deep, or columns of its parts, or JSON text'

function unknown({ typeId }: ArrowType): Unsupported {
  return UNSUPPORTED[typeId] ?? { given: `type ${typeId}`, advice: 'cast it to another type' }
}
