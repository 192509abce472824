import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { type ColumnData, sliceColumn } from '../../../src/format/column.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import { VALUE_BYTES_MAX } from '../../../src/format/limits.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { EVERY_TYPE, sampleColumn } from '../../support/sample-batches.ts'
import { OutOfBuffers, TrackedBuffers } from '../../support/tracked-buffers.ts'

const poisoned = new TrackedBuffers()

function valuesOf(column: ColumnData): unknown[] {
  const read = columnReader(column)
  return Array.from({ length: column.length }, (_, row) => read(row))
}

interface Step {
  readonly kind: 'push' | 'pushAll' | 'refuseAll' | 'append' | 'refuse' | 'truncate' | 'view'
  readonly values: readonly unknown[]
  /** Buffers that there are for this step. */
  readonly buffers: number
  /** Says where to cut, between 0 and 1. */
  readonly from: number
  readonly to: number
}

function steps(type: ColumnType): fc.Arbitrary<readonly Step[]> {
  return fc.array(
    fc.record({
      kind: fc.constantFrom<Step['kind']>(
        'push',
        'pushAll',
        'pushAll',
        'refuseAll',
        'append',
        'append',
        'refuse',
        'truncate',
        'view',
      ),
      values: fc.array(arbitraryValue(type), { maxLength: 40 }),
      buffers: fc.oneof(fc.constant(Infinity), fc.nat(2)),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      to: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    { minLength: 1, maxLength: 12 },
  )
}

function cut({ from, to }: Step, length: number): [number, number] {
  const start = Math.round(Math.min(from, to) * length)
  return [start, Math.round(Math.max(from, to) * length)]
}

describe.each(EVERY_TYPE)('a column of %s', (type) => {
  test('holds what a plain array holds, however it grows, shrinks and is looked at', () => {
    fc.assert(
      fc.property(steps(type), (given) => {
        const source = new TrackedBuffers()
        const builder = createColumnBuilder(type, source)
        let model: unknown[] = []
        let views: {
          readonly end: number
          readonly column: ColumnData
          readonly values: unknown[]
        }[] = []
        const take = (step: Step): void => {
          if (step.kind === 'push') {
            expect(step.values.map((value) => builder.push(value))).toEqual(
              step.values.map(() => 'ok'),
            )
            model.push(...step.values)
          } else if (step.kind === 'pushAll') {
            const nulls = step.values.filter((value) => value === null).length
            const spare = [...step.values, 'more than is asked for']
            expect(builder.pushAll(spare, step.values.length)).toBe(nulls)
            model.push(...step.values)
          } else if (step.kind === 'refuseAll') {
            expect(builder.pushAll([...step.values, () => 1], step.values.length + 1)).toBe(-1)
            builder.truncate(model.length)
          } else if (step.kind === 'append') {
            const [start, end] = cut(step, step.values.length)
            builder.append(sliceColumn(sampleColumn(type, step.values), start, end))
            model.push(...step.values.slice(start, end))
          } else if (step.kind === 'refuse') {
            expect(builder.push(() => 1)).toBe('mismatch')
          } else if (step.kind === 'truncate') {
            const [length] = cut(step, model.length)
            builder.truncate(length)
            model = model.slice(0, length)
            views = views.filter((view) => view.end <= length)
          } else {
            const [start, end] = cut(step, model.length)
            source.isLeased = true
            views.push({ end, column: builder.slice(start, end), values: model.slice(start, end) })
          }
        }
        for (const step of given) {
          source.left = step.buffers
          try {
            take(step)
          } catch (error) {
            if (!(error instanceof OutOfBuffers)) throw error
            builder.truncate(model.length)
          }
          expect(builder.length).toBe(model.length)
        }
        source.left = 0
        builder.seal()
        expect(valuesOf(builder.slice(0, model.length))).toEqual(model)
        for (const { column, values } of views) {
          expect(valuesOf(column)).toEqual(values)
          expect(column.nullCount).toBe(values.filter((value) => value === null).length)
        }
      }),
      { numRuns: 100 },
    )
  })
})

test('a slice at every alignment of a long column is that part of it', () => {
  for (const type of ['bool', 'int8', 'utf8', 'int64'] as const) {
    const values = fc.sample(arbitraryValue(type), { numRuns: 70, seed: 4 })
    const builder = createColumnBuilder(type, poisoned)
    for (const value of values) builder.push(value)
    for (let start = 0; start <= values.length; start++) {
      for (let end = start; end <= values.length; end++) {
        const column = builder.slice(start, end)
        expect(valuesOf(column)).toEqual(values.slice(start, end))
        expect(valuesOf(sliceColumn(column, 0, column.length))).toEqual(values.slice(start, end))
      }
    }
  }
})

test('undefined is a null, and a column without nulls has no bitmap', () => {
  const builder = createColumnBuilder('int32', poisoned)
  builder.push(1)
  expect(builder.slice(0, 1).validity).toBeNull()
  builder.push(undefined)
  expect(valuesOf(builder.slice(0, 2))).toEqual([1, null])
  expect(builder.slice(0, 2).nullCount).toBe(1)
  expect(builder.slice(0, 1)).toMatchObject({ validity: null, nullCount: 0 })
})

describe('a text column', () => {
  const words = sampleColumn('utf8', ['Graz', '', 'Wien', 'Žilina 😀'])
  const dictionaryColumn = (codes: readonly (number | null)[]): ColumnData => {
    const validity = new Uint8Array((codes.length + 7) >> 3)
    codes.forEach((code, row) => {
      if (code !== null) validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
    })
    return {
      type: 'utf8',
      length: codes.length,
      nullCount: codes.filter((code) => code === null).length,
      validity,
      offsets: null,
      // What lies under a null is unspecified: here a code that the dictionary does not have.
      values: new Uint8Array(Int32Array.from(codes, (code) => code ?? 99).buffer),
      dictionary: words,
    }
  }

  test('takes the words of a dictionary column', () => {
    const texts = valuesOf(words)
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(3)), { maxLength: 200 }), fc.nat(200), (codes, at) => {
        const builder = createColumnBuilder('utf8', poisoned)
        builder.push('before')
        const start = Math.min(at, codes.length)
        builder.append(sliceColumn(dictionaryColumn(codes), start, codes.length))
        builder.push('after')
        const expected = codes.slice(start).map((code) => (code === null ? null : texts[code]))
        expect(valuesOf(builder.slice(0, builder.length))).toEqual(['before', ...expected, 'after'])
      }),
    )
  })

  test('refuses a lone surrogate, and takes a pair', () => {
    const builder = createColumnBuilder('utf8', poisoned)
    expect([
      builder.push('\ud83d'),
      builder.push('a\ude00b'),
      builder.push('\ud83d\ude00'),
    ]).toEqual(['ill_formed', 'ill_formed', 'ok'])
    expect(valuesOf(builder.slice(0, builder.length))).toEqual(['😀'])
  })

  test('takes a value of the greatest size in bytes, and none above it', () => {
    const builder = createColumnBuilder('utf8', poisoned)
    expect(builder.push('x'.repeat(VALUE_BYTES_MAX))).toBe('ok')
    expect(builder.push('x'.repeat(VALUE_BYTES_MAX + 1))).toBe('too_large')
    expect(builder.push('é'.repeat(VALUE_BYTES_MAX / 2 + 1))).toBe('too_large')
    expect(builder.push('é')).toBe('ok')
    expect(builder.length).toBe(2)
    expect(valuesOf(builder.slice(1, 2))).toEqual(['é'])
  })
})

describe('a binary column', () => {
  test('takes bytes of any view, and copies them', () => {
    const builder = createColumnBuilder('binary', poisoned)
    const mine = Uint8Array.of(1, 2, 3)
    builder.push(mine.subarray(1))
    builder.push(mine.buffer)
    builder.push(Buffer.from('é'))
    mine.fill(9)
    const values = [Uint8Array.of(2, 3), Uint8Array.of(1, 2, 3), Uint8Array.of(0xc3, 0xa9)]
    expect(valuesOf(builder.slice(0, 3))).toEqual(values)
    expect(builder.push('text')).toBe('mismatch')
    expect(builder.push(new Uint8Array(VALUE_BYTES_MAX + 1))).toBe('too_large')
  })
})

describe('a json column', () => {
  test('refuses what JSON cannot say, and stays as it was', () => {
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const refused = [
      () => 1,
      Symbol('s'),
      5n,
      { deep: [5n] },
      circular,
      { toJSON: () => undefined },
    ]
    const builder = createColumnBuilder('json', poisoned)
    builder.push({ a: 1 })
    expect(refused.map((value) => builder.push(value))).toEqual(refused.map(() => 'mismatch'))
    expect(valuesOf(builder.slice(0, builder.length))).toEqual([{ a: 1 }])
  })

  test('refuses objects whose contents JSON would silently leave out', () => {
    const builder = createColumnBuilder('json', poisoned)
    const refused = [new Map([[1, 2]]), new Set([1]), Promise.resolve(1), /x/, new WeakMap()]
    expect(refused.map((value) => builder.push(value))).toEqual(refused.map(() => 'mismatch'))
  })

  test('passes on what the value itself throws', () => {
    const builder = createColumnBuilder('json', poisoned)
    const value = {
      get bad(): never {
        throw new Error('from the getter')
      },
    }
    expect(() => builder.push(value)).toThrow('from the getter')
    expect(builder.length).toBe(0)
  })

  test('keeps keys that mean something to JavaScript as they are', () => {
    const builder = createColumnBuilder('json', poisoned)
    const text = '{"__proto__":{"admin":true},"constructor":1}'
    builder.push(JSON.parse(text))
    const [value] = valuesOf(builder.slice(0, 1))
    expect(JSON.stringify(value)).toBe(text)
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })
})

test('long texts keep every character, also where the last one fills the buffer', () => {
  for (const last of ['é'.repeat(40), `${'x'.repeat(39)}é`, '日'.repeat(64), '🌊'.repeat(32)]) {
    for (const before of [1, 2, 5, 40]) {
      const builder = createColumnBuilder('utf8', poisoned)
      const values = [...Array.from({ length: before }, (_, row) => `${row}`.padEnd(32, '.')), last]
      expect(builder.pushAll(values, values.length)).toBe(0)
      expect(valuesOf(builder.slice(0, values.length))).toEqual(values)
    }
  }
})
