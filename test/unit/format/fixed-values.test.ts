import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnReader } from '../../../src/format/column-values.ts'
import { fixedValues } from '../../../src/format/fixed-values.ts'
import { type ColumnType, columnLayout } from '../../../src/format/schema.ts'

/** What each value reads back as, or `refused`. */
function written(type: ColumnType, values: readonly unknown[]): unknown[] {
  const layout = columnLayout(type)
  const byteWidth = layout.kind === 'fixed' ? layout.byteWidth : 0
  const bytes = new Uint8Array(values.length * byteWidth)
  const writer = fixedValues(type)
  const cells = writer.over(bytes)
  const isWritten = values.map((value, row) => writer.write(cells, row, value))
  const read = columnReader({
    type,
    length: values.length,
    nullCount: 0,
    validity: null,
    offsets: null,
    values: bytes,
    dictionary: null,
  })
  return values.map((_, row) => (isWritten[row] === true ? read(row) : 'refused'))
}

function refusals(type: ColumnType, values: readonly unknown[]): void {
  expect(written(type, values)).toEqual(values.map(() => 'refused'))
}

const INT64_MAX = 2n ** 63n - 1n

describe('integers', () => {
  test('take their whole range, as numbers and as bigints, and nothing outside it', () => {
    const ranges: readonly [ColumnType, bigint, bigint][] = [
      ['int8', -128n, 127n],
      ['int16', -32768n, 32767n],
      ['int32', -(2n ** 31n), 2n ** 31n - 1n],
      ['uint8', 0n, 255n],
      ['uint16', 0n, 65535n],
      ['uint32', 0n, 2n ** 32n - 1n],
      ['int64', -(2n ** 63n), INT64_MAX],
      ['uint64', 0n, 2n ** 64n - 1n],
    ]
    for (const [type, min, max] of ranges) {
      const asRead = (value: bigint): unknown =>
        Number.isSafeInteger(Number(value)) ? Number(value) : value
      expect(written(type, [min, max, 7n, 7])).toEqual([asRead(min), asRead(max), 7, 7])
      refusals(type, [min - 1n, max + 1n, 1.5, NaN, Infinity, '7', true, {}, new Date(0)])
    }
  })

  test('of 64 bits refuse numbers that have lost digits already', () => {
    const edge = Number.MAX_SAFE_INTEGER
    expect(written('int64', [edge, -edge, BigInt(edge) + 1n])).toEqual([
      edge,
      -edge,
      BigInt(edge) + 1n,
    ])
    refusals('int64', [2 ** 53, -(2 ** 53), 1e300])
    refusals('uint64', [-1, 2 ** 53])
  })

  test('of 64 bits keep every value that a bigint can say', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: INT64_MAX }), (value) => {
        const [read] = written('int64', [value])
        expect(BigInt(read as number | bigint)).toBe(value)
      }),
    )
  })
})

describe('floats', () => {
  test('keep minus zero, NaN and the infinities', () => {
    const values = [-0, 0, NaN, Infinity, -Infinity, 5e-324, 1.7976931348623157e308]
    expect(written('float64', values)).toEqual(values)
    expect(written('float32', [-0, NaN, -Infinity, 0.5])).toEqual([-0, NaN, -Infinity, 0.5])
  })

  test('take no bigint and no text: neither says what it would lose', () => {
    refusals('float64', [1n, '1', true, new Date(0)])
  })
})

describe('timestamps', () => {
  const ms = Date.UTC(2026, 0, 31, 14, 5, 6, 789)

  test('take Dates and numbers as ms, bigints as the count of their own unit', () => {
    expect(written('timestamp[ms]', [new Date(ms), ms, BigInt(ms)])).toEqual([
      new Date(ms),
      new Date(ms),
      new Date(ms),
    ])
    expect(written('timestamp[s]', [new Date(ms), 5n])).toEqual([
      new Date(ms - 789),
      new Date(5_000),
    ])
    expect(written('timestamp[us]', [new Date(ms), ms, 5n])).toEqual([
      BigInt(ms) * 1000n,
      BigInt(ms) * 1000n,
      5n,
    ])
    expect(written('timestamp[ns]', [new Date(ms), 5n])).toEqual([BigInt(ms) * 1_000_000n, 5n])
  })

  test('round seconds before 1970 down, so that order stays', () => {
    expect(written('timestamp[s]', [new Date(-1)])).toEqual([new Date(-1_000)])
  })

  test('take ISO 8601 text to the last digit of the unit', () => {
    const text = '2026-01-31T14:05:06.789123456Z'
    expect(written('timestamp[ms]', [text])).toEqual([new Date(ms)])
    expect(written('timestamp[us]', [text])).toEqual([BigInt(ms) * 1000n + 123n])
    expect(written('timestamp[ns]', [text])).toEqual([BigInt(ms) * 1_000_000n + 123_456n])
    expect(written('timestamp[us]', ['1969-12-31T23:59:59.999999Z'])).toEqual([-1n])
    expect(written('timestamp[s]', ['1969-12-31T23:59:59.999999Z'])).toEqual([new Date(-1_000)])
  })

  test('refuse text that only has a number in it, and times that no count holds', () => {
    refusals('timestamp[ms]', [
      '1',
      'room 12',
      '31.1.2026',
      '2026-02-30',
      new Date(NaN),
      NaN,
      Infinity,
      true,
      {},
    ])
    for (const unit of ['s', 'ms', 'us', 'ns'] as const)
      refusals(`timestamp[${unit}]`, [1e300, -1e300, 2n ** 63n])
    refusals('timestamp[ns]', [new Date(8.64e15)])
  })
})

describe('dates', () => {
  test('are the day, also before 1970, and beyond what a Date holds are refused', () => {
    expect(written('date', [new Date('2026-01-31T23:59:59Z'), '2026-01-31', new Date(-1)])).toEqual(
      [new Date('2026-01-31'), new Date('2026-01-31'), new Date('1969-12-31')],
    )
    refusals('date', [5, 5n, 'today', new Date(NaN)])
  })
})

describe('decimals', () => {
  test('are exact up to their digits', () => {
    const values = [
      '0.10',
      '-99999999999999999999999999999999999.999',
      '99999999999999999999999999999999999.999',
      7,
      7n,
      '-0',
    ]
    expect(written('decimal(38,3)', values)).toEqual([
      '0.100',
      values[1],
      values[2],
      '7.000',
      '7.000',
      '0.000',
    ])
  })

  test('refuse more digits than they have, on either side of the point', () => {
    refusals('decimal(4,2)', [
      '100.00',
      '-100',
      '1.001',
      0.001,
      'NaN',
      '1e2',
      '',
      '.',
      '1.',
      '+1',
      ' 1',
      1e21,
      NaN,
    ])
    expect(written('decimal(4,2)', ['99.99', '1.1000', '0007'])).toEqual(['99.99', '1.10', '7.00'])
  })

  test('refuse a text of a million digits at once', () => {
    refusals('decimal(38,0)', ['9'.repeat(1_000_000), `0.${'1'.repeat(1_000_000)}`])
  })

  test('of every precision read back as written', () => {
    const decimal = fc
      .integer({ min: 1, max: 38 })
      .chain((precision) =>
        fc.tuple(
          fc.constant(precision),
          fc.integer({ min: 0, max: precision }),
          fc.bigInt({ min: -(10n ** BigInt(precision)) + 1n, max: 10n ** BigInt(precision) - 1n }),
        ),
      )
    fc.assert(
      fc.property(decimal, ([precision, scale, unscaled]) => {
        const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
        const whole = digits.slice(0, digits.length - scale)
        const text = `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`
        expect(written(`decimal(${precision},${scale})`, [text])).toEqual([text])
      }),
    )
  })
})
