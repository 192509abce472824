/**
 * Arbitrary values of every column type, as `columnReader` gives them back, and batches of them.
 */
import fc from 'fast-check'
import type { RecordBatch } from '../../src/format/record-batch.ts'
import { listText, structText } from '../../src/format/nested-type.ts'
import type { Row } from '../../src/format/schema-inference.ts'
import { type ColumnType, type Field, type Schema, columnLayout } from '../../src/format/schema.ts'
import { EVERY_TYPE, sampleBatch } from './sample-batches.ts'

const DAY_MS = 86_400_000

/**
 * Integers at and around the edges of a range, and any between. Beyond 2^53 they are bigints, as
 * readers give them.
 */
function integers(min: bigint, max: bigint): fc.Arbitrary<number | bigint> {
  const edges = fc.constantFrom(
    min,
    min + 1n,
    max - 1n,
    max,
    ...[-1n, 0n, 1n].filter((edge) => edge >= min),
  )
  return fc.oneof(edges, fc.bigInt({ min, max })).map((value) => {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : value
  })
}

const text = fc.oneof(
  fc.constantFrom('', 'a', 'Graz', 'Wien', 'Linz', '\u0000', 'é', '日本', '😀', 'x'.repeat(70)),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

const timeCount = (perSecond: bigint): fc.Arbitrary<bigint> =>
  fc.oneof(
    fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n),
    fc.bigInt({ min: -(10n ** 9n) * perSecond, max: 10n ** 9n * perSecond }),
  )

const VALUES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  bool: fc.boolean(),
  int8: integers(-128n, 127n),
  int16: integers(-32768n, 32767n),
  int32: integers(-(2n ** 31n), 2n ** 31n - 1n),
  int64: integers(-(2n ** 63n), 2n ** 63n - 1n),
  uint8: integers(0n, 255n),
  uint16: integers(0n, 65535n),
  uint32: integers(0n, 2n ** 32n - 1n),
  uint64: integers(0n, 2n ** 64n - 1n),
  float32: fc.oneof(fc.constantFrom(-0, 0, NaN, Infinity, -Infinity), fc.float()),
  float64: fc.oneof(fc.constantFrom(-0, 0, NaN, Infinity, -Infinity, 5e-324), fc.double()),
  utf8: text,
  json: fc
    .jsonValue()
    .filter((value) => value !== null)
    .map((value) => JSON.parse(JSON.stringify(value)) as unknown),
  binary: fc.uint8Array({ maxLength: 20 }),
  'timestamp[s]': fc
    .integer({ min: -8_640_000_000_000, max: 8_640_000_000_000 })
    .map((s) => new Date(s * 1000)),
  'timestamp[ms]': fc.integer({ min: -8.64e15, max: 8.64e15 }).map((ms) => new Date(ms)),
  'timestamp[us]': timeCount(1_000_000n),
  'timestamp[ns]': timeCount(1_000_000_000n),
  date: fc.integer({ min: -100_000_000, max: 100_000_000 }).map((days) => new Date(days * DAY_MS)),
  'decimal(20,3)': fc
    .bigInt({ min: -(10n ** 20n) + 1n, max: 10n ** 20n - 1n })
    .map((unscaled) => decimalText(unscaled, 3)),
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** A value of a type, or null; also inside of lists and structs. */
export function arbitraryValue(type: ColumnType): fc.Arbitrary<unknown> {
  return fc.option(presentValue(type), { freq: 5 })
}

function presentValue(type: ColumnType): fc.Arbitrary<unknown> {
  const layout = columnLayout(type)
  if (layout.kind === 'list') return fc.array(arbitraryValue(layout.item), { maxLength: 4 })
  if (layout.kind !== 'struct') return VALUES[type] ?? fc.constant(null)
  return fc.record(
    Object.fromEntries(layout.fields.map((field) => [field.name, arbitraryValue(field.type)])),
  )
}

const fieldName = fc.constantFrom('a', 'b', 'A', 'item', 'two words', 'ü', '"', 'x:y,z>', 'list<')

/** A list or a struct, at most `depth` levels of them. */
export function arbitraryNestedType(
  depth = 3,
  plain: fc.Arbitrary<ColumnType> = fc.constantFrom(...EVERY_TYPE),
): fc.Arbitrary<ColumnType> {
  const inside = depth === 1 ? plain : arbitraryType(depth - 1, plain)
  const list = inside.map((item) => listText(item) as ColumnType)
  const struct = fc
    .uniqueArray(fc.tuple(fieldName, inside), {
      selector: ([name]) => name,
      minLength: 1,
      maxLength: 3,
    })
    .map((fields) => structText(fields.map(([name, type]) => ({ name, type }))) as ColumnType)
  return fc.oneof(list, struct)
}

/** Any type, nested ones included. */
export function arbitraryType(
  depth = 3,
  plain: fc.Arbitrary<ColumnType> = fc.constantFrom(...EVERY_TYPE),
): fc.Arbitrary<ColumnType> {
  return fc.oneof(plain, arbitraryNestedType(depth, plain))
}

export interface ArbitraryRecords {
  readonly batch: RecordBatch
  readonly rows: readonly Row[]
}

/** A batch with `_time` and a few columns of any types, and the rows it was made of. */
export function arbitraryBatch(
  rowsMax: number,
  anyType: fc.Arbitrary<ColumnType> = fc.constantFrom(...EVERY_TYPE),
): fc.Arbitrary<ArbitraryRecords> {
  return fc
    .tuple(fc.array(anyType, { minLength: 1, maxLength: 4 }), fc.nat(1_000_000), fc.boolean())
    .chain(([types, baseOffset, shared]) => {
      const fields: Field[] = [
        { name: '_time', type: 'timestamp[ms]', nullable: false },
        ...types.map((type, index) => ({ name: `c${index}`, type, nullable: true })),
      ]
      const schema: Schema = { id: 3, fields }
      const record = fc.tuple(fc.nat(2 ** 31), ...types.map(arbitraryValue))
      return fc.array(record, { minLength: 1, maxLength: rowsMax }).map((records) => {
        const rows = records.map(([time, ...values]) => ({
          _time: new Date(time),
          ...Object.fromEntries(values.map((value, index) => [`c${index}`, value])),
        }))
        return { batch: sampleBatch(schema, rows, { baseOffset, shared }), rows }
      })
    })
}
