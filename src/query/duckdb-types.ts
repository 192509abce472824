/** How the types of logs and of DuckDB correspond. */
import {
  BIGINT,
  BLOB,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  DuckDBDecimalType,
  type DuckDBType,
  DuckDBTypeId,
  FLOAT,
  INTEGER,
  LIST,
  SMALLINT,
  STRUCT,
  TIMESTAMP,
  TIMESTAMP_MS,
  TIMESTAMP_NS,
  TIMESTAMP_S,
  TINYINT,
  UBIGINT,
  UINTEGER,
  USMALLINT,
  UTINYINT,
  VARCHAR,
} from '@duckdb/node-api'
import { present } from '../base/assert.ts'
import {
  type ColumnType,
  type StructField,
  columnLayout,
  decimalParameters,
} from '../format/schema.ts'

const DUCKDB_TYPES: Readonly<Record<string, DuckDBType>> = {
  bool: BOOLEAN,
  int8: TINYINT,
  int16: SMALLINT,
  int32: INTEGER,
  int64: BIGINT,
  uint8: UTINYINT,
  uint16: USMALLINT,
  uint32: UINTEGER,
  uint64: UBIGINT,
  float32: FLOAT,
  float64: DOUBLE,
  utf8: VARCHAR,
  json: VARCHAR,
  binary: BLOB,
  date: DATE,
  'timestamp[s]': TIMESTAMP_S,
  'timestamp[ms]': TIMESTAMP_MS,
  'timestamp[us]': TIMESTAMP,
  'timestamp[ns]': TIMESTAMP_NS,
}

export function toDuckDBType(type: ColumnType): DuckDBType {
  const layout = columnLayout(type)
  if (layout.kind === 'list') return LIST(toDuckDBType(layout.item))
  if (layout.kind === 'struct') return STRUCT(structEntries(layout.fields))
  const decimal = decimalParameters(type)
  if (decimal !== null) return DECIMAL(decimal.precision, decimal.scale)
  return present(DUCKDB_TYPES[type], `a DuckDB type for ${type}`)
}

/** DuckDB knows `a` and `A` as one name: the second becomes `A_1`. */
function structEntries(fields: readonly StructField[]): Record<string, DuckDBType> {
  const entries = new Map<string, DuckDBType>()
  const known = new Set<string>()
  for (const { name, type } of fields) {
    let own = name
    for (let count = 1; known.has(own.toLowerCase()); count++) own = `${name}_${count}`
    known.add(own.toLowerCase())
    entries.set(own, toDuckDBType(type))
  }
  return Object.fromEntries(entries)
}

const COLUMN_TYPES: Partial<Readonly<Record<DuckDBTypeId, ColumnType>>> = {
  [DuckDBTypeId.BOOLEAN]: 'bool',
  [DuckDBTypeId.TINYINT]: 'int8',
  [DuckDBTypeId.SMALLINT]: 'int16',
  [DuckDBTypeId.INTEGER]: 'int32',
  [DuckDBTypeId.BIGINT]: 'int64',
  [DuckDBTypeId.UTINYINT]: 'uint8',
  [DuckDBTypeId.USMALLINT]: 'uint16',
  [DuckDBTypeId.UINTEGER]: 'uint32',
  [DuckDBTypeId.UBIGINT]: 'uint64',
  [DuckDBTypeId.HUGEINT]: 'decimal(38,0)',
  [DuckDBTypeId.FLOAT]: 'float32',
  [DuckDBTypeId.DOUBLE]: 'float64',
  [DuckDBTypeId.VARCHAR]: 'utf8',
  [DuckDBTypeId.BLOB]: 'binary',
  [DuckDBTypeId.DATE]: 'date',
  [DuckDBTypeId.TIMESTAMP_S]: 'timestamp[s]',
  [DuckDBTypeId.TIMESTAMP_MS]: 'timestamp[ms]',
  [DuckDBTypeId.TIMESTAMP]: 'timestamp[us]',
  [DuckDBTypeId.TIMESTAMP_TZ]: 'timestamp[us]',
  [DuckDBTypeId.TIMESTAMP_NS]: 'timestamp[ns]',
}

const NESTED: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.LIST,
  DuckDBTypeId.STRUCT,
  DuckDBTypeId.MAP,
  DuckDBTypeId.ARRAY,
  DuckDBTypeId.UNION,
  DuckDBTypeId.VARIANT,
])

/** How a DuckDB value is carried: as it is, nested as JSON text, and what we have no type for as DuckDB's text. */
export function toColumnType(type: DuckDBType): ColumnType {
  if (type instanceof DuckDBDecimalType) return `decimal(${type.width},${type.scale})`
  return COLUMN_TYPES[type.typeId] ?? (NESTED.has(type.typeId) ? 'json' : 'utf8')
}

/** Whether vectors of this type are read by their bytes, not value by value. */
export function hasOwnLayout(type: DuckDBType): boolean {
  return type instanceof DuckDBDecimalType || COLUMN_TYPES[type.typeId] !== undefined
}

/** Bytes of one value in a DuckDB vector of fixed width. DuckDB keeps a decimal as small as its precision allows. */
export function vectorByteWidth(type: ColumnType): number {
  const decimal = decimalParameters(type)
  if (decimal !== null)
    return decimal.precision <= 4
      ? 2
      : decimal.precision <= 9
        ? 4
        : decimal.precision <= 18
          ? 8
          : 16
  if (type === 'bool' || type === 'int8' || type === 'uint8') return 1
  if (type === 'int16' || type === 'uint16') return 2
  if (type === 'int32' || type === 'uint32' || type === 'float32' || type === 'date') return 4
  return type === 'utf8' || type === 'json' || type === 'binary' ? 16 : 8
}
