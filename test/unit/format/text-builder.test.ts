import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { type ColumnData, codesOf, columnBytes } from '../../../src/format/column.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import { type ColumnSize, NO_SIZE } from '../../../src/format/growing-column.ts'
import { TextBuilder } from '../../../src/format/text-builder.ts'
import { sampleColumn } from '../../support/sample-batches.ts'
import { OutOfBuffers, TrackedBuffers } from '../../support/tracked-buffers.ts'

type Text = string | null

function valuesOf(column: ColumnData): unknown[] {
  const read = columnReader(column)
  return Array.from({ length: column.length }, (_, row) => read(row))
}

const newBuilder = (expected: Partial<ColumnSize> = {}): TextBuilder =>
  new TextBuilder(new TrackedBuffers(), { ...NO_SIZE, ...expected })

/** `count` texts of which the first `distinct` differ. */
const texts = (count: number, distinct: number, prefix = 'word'): string[] =>
  Array.from({ length: count }, (_, row) => `${prefix} ${row % distinct}`)

const isCoded = (builder: TextBuilder): boolean =>
  builder.slice(0, builder.length).dictionary !== null

const dictionaryColumn = (
  words: readonly string[],
  codes: readonly (number | null)[],
): ColumnData => {
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
    values: new Uint8Array(Int32Array.from(codes, (code) => code ?? 9_999).buffer),
    dictionary: sampleColumn('utf8', words),
  }
}

describe('how a text column is kept', () => {
  test('few values in the first rows make it a dictionary, however they come', () => {
    const given = texts(200, 8)
    const single = newBuilder()
    for (const text of given) expect(single.push(text)).toBe('ok')
    const bulk = newBuilder()
    expect(bulk.pushAll(given, given.length)).toBe(0)
    const after = newBuilder()
    after.pushAll(given, 40)
    after.pushAll(given.slice(40), 160)
    for (const builder of [single, bulk, after]) {
      const column = builder.slice(0, 200)
      expect(column.values.byteLength).toBe(200)
      expect(column.dictionary?.length).toBe(8)
      expect(valuesOf(column)).toEqual(given)
      expect(builder.size()).toMatchObject({ rows: 200, encoding: 'dictionary' })
    }
  })

  test('many values, or long ones, stay plain', () => {
    for (const given of [
      texts(100, 100),
      texts(100, 4, 'x'.repeat(65)),
      texts(100, 4, '日'.repeat(30)),
    ]) {
      const builder = newBuilder()
      builder.pushAll(given, given.length)
      expect(isCoded(builder)).toBe(false)
      expect(valuesOf(builder.slice(0, 100))).toEqual(given)
    }
  })

  test('a column of fewer than 64 rows has no dictionary, unless its predecessor had', () => {
    const fresh = newBuilder()
    fresh.pushAll(texts(63, 1), 63)
    expect(isCoded(fresh)).toBe(false)
    const next = newBuilder({ encoding: 'dictionary' })
    next.push('a')
    expect(isCoded(next)).toBe(true)
    expect(valuesOf(next.slice(0, 1))).toEqual(['a'])
  })

  test('256 values take one byte each, and the 257th turns the column plain', () => {
    const given = texts(1_000, 256)
    for (const isSingle of [true, false]) {
      const builder = newBuilder({ encoding: 'dictionary' })
      builder.pushAll(texts(600, 1, 'x'), 600)
      builder.pushAll(given.slice(0, 255), 255)
      const before = builder.slice(0, 855)
      expect(before.dictionary?.length).toBe(256)
      if (isSingle) expect(builder.push('one more')).toBe('ok')
      else expect(builder.pushAll(['x 0', 'one more', 'x 0'], 3)).toBe(0)
      const after = isSingle ? ['one more'] : ['x 0', 'one more', 'x 0']
      const expected = [...texts(600, 1, 'x'), ...given.slice(0, 255), ...after]
      expect(isCoded(builder)).toBe(false)
      expect(valuesOf(builder.slice(0, builder.length))).toEqual(expected)
      expect(builder.size().encoding).toBe('plain')
    }
  })

  test('a dictionary of more than half as many words as rows is given up', () => {
    const builder = newBuilder({ encoding: 'dictionary' })
    builder.pushAll(texts(150, 150), 150)
    expect(isCoded(builder)).toBe(false)
    const next = newBuilder({ encoding: 'plain' })
    next.pushAll(texts(150, 2), 150)
    expect(isCoded(next)).toBe(false)
  })

  test('a refused text does not change how the column is kept', () => {
    const builder = newBuilder({ encoding: 'dictionary' })
    builder.pushAll(texts(10, 2), 10)
    expect(builder.push('\ud83d')).toBe('ill_formed')
    expect(builder.pushAll(['word 1', 'a\ude00'], 2)).toBe(-1)
    expect(builder.push(5)).toBe('mismatch')
    builder.truncate(10)
    expect(isCoded(builder)).toBe(true)
    expect(valuesOf(builder.slice(0, 10))).toEqual(texts(10, 2))
  })
})

describe('a dictionary', () => {
  test('is the same object until it has more words, and for good once the column is sealed', () => {
    const builder = newBuilder({ encoding: 'dictionary' })
    builder.pushAll(['a', 'b', 'a'], 3)
    const first = builder.slice(0, 2).dictionary
    builder.push('b')
    expect(builder.slice(1, 4).dictionary).toBe(first)
    builder.push('c')
    const second = builder.slice(0, 5).dictionary
    expect(second).not.toBe(first)
    expect([first?.length, second?.length]).toEqual([2, 3])
    builder.seal()
    const sealed = builder.slice(0, 5).dictionary
    expect(builder.slice(2, 3).dictionary).toBe(sealed)
    expect(valuesOf(builder.slice(0, 5))).toEqual(['a', 'b', 'a', 'b', 'c'])
  })

  test('takes the codes of another one, and asks for each of its words once', () => {
    const builder = newBuilder()
    builder.append(dictionaryColumn(['x', 'y', 'unused'], [1, null, 0, 1]))
    builder.append(dictionaryColumn(['y', 'z'], [0, 1, 1]))
    const column = builder.slice(0, 7)
    expect(valuesOf(column)).toEqual(['y', null, 'x', 'y', 'y', 'z', 'z'])
    expect(codesOf(column)).toBeInstanceOf(Uint8Array)
    expect(valuesOf(present(column.dictionary, 'a dictionary'))).toEqual(['y', 'x', 'z'])
  })

  test('of nothing but nulls has a word for their codes', () => {
    const builder = newBuilder()
    builder.append(dictionaryColumn(['x'], [null, null]))
    const column = builder.slice(0, 2)
    expect(valuesOf(column)).toEqual([null, null])
    expect(column.dictionary?.length).toBe(1)
  })

  test('of more words than codes of a byte arrives as plain text', () => {
    const words = texts(400, 400)
    const builder = newBuilder()
    const codes = Array.from({ length: 1_200 }, (_, row) => (row % 7 === 0 ? null : row % 400))
    builder.append(dictionaryColumn(words, codes))
    expect(isCoded(builder)).toBe(false)
    expect(valuesOf(builder.slice(0, 1_200))).toEqual(
      codes.map((code) => (code === null ? null : words[code])),
    )
  })

  test('takes plain text that it knows, and gives way to text that it does not', () => {
    const known = texts(100, 4)
    const builder = newBuilder({ encoding: 'dictionary' })
    builder.pushAll(known, 100)
    const given = [...known.slice(0, 30), null, ...known.slice(0, 9)]
    builder.append(sampleColumn('utf8', given))
    expect(isCoded(builder)).toBe(true)
    builder.append(sampleColumn('utf8', texts(40, 40, 'new')))
    expect(isCoded(builder)).toBe(false)
    expect(valuesOf(builder.slice(0, builder.length))).toEqual([
      ...known,
      ...given,
      ...texts(40, 40, 'new'),
    ])
  })
})

test('words that were there stay readable when a new one finds no room for its bytes', () => {
  for (let left = 0; left < 3; left++) {
    const source = new TrackedBuffers()
    const builder = new TextBuilder(source, { ...NO_SIZE, encoding: 'dictionary' })
    // As many words as have room, of several lengths, so that the next one replaces the offsets first.
    const given = Array.from({ length: 150 }, (_, row) => `${'w'.repeat(row % 4)}${row % 15}`)
    for (const text of given) builder.push(text)
    const words = new Set(given)
    const codes = present(builder.slice(0, 150).dictionary, 'a dictionary')
    expect(codes.length).toBe(words.size)
    source.left = left
    const pushMore = (): void => {
      for (let word = 0; word < 40; word++) builder.push(`${word}`.padEnd(60, 'x'))
    }
    expect(pushMore).toThrow(OutOfBuffers)
    builder.truncate(150)
    const { dictionary } = builder.slice(0, 150)
    expect(valuesOf({ ...present(dictionary, 'a dictionary') }).slice(0, words.size)).toEqual([
      ...words,
    ])
  }
})

test('words of a dictionary that the caller has overwritten are the new ones', () => {
  const builder = newBuilder()
  const column = dictionaryColumn(['abc', 'def', 'unused'], [0, 1, null, 0])
  builder.append(column)
  builder.append(column)
  present(column.dictionary, 'words').values.set(Buffer.from('ghijkl'))
  builder.append(column)
  const before = ['abc', 'def', null, 'abc']
  const after = ['ghi', 'jkl', null, 'ghi']
  expect(valuesOf(builder.slice(0, 12))).toEqual([...before, ...before, ...after])
})

interface Step {
  readonly kind: 'push' | 'pushAll' | 'append' | 'appendCoded' | 'refuse' | 'truncate' | 'view'
  readonly pool: number
  readonly count: number
  readonly seed: number
  readonly buffers: number
  readonly at: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind']>(
    ...([
      'push',
      'pushAll',
      'pushAll',
      'append',
      'appendCoded',
      'refuse',
      'truncate',
      'view',
    ] as const),
  ),
  pool: fc.nat(3),
  count: fc.nat(150),
  seed: fc.nat(1_000),
  buffers: fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, fc.nat(4)),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
})

const SOME = ['', 'a', 'é', '日本', '😀', 'Graz', 'x'.repeat(64), 'x'.repeat(40)] as const

/** Texts of few or of many values, short and long, with nulls. */
function textsOf({ pool, count, seed }: Step): Text[] {
  return Array.from({ length: count }, (_, row) => {
    const turn = (row * 7 + seed) % 1_009
    if (turn % 11 === 5) return null
    if (pool === 0) return SOME[turn % SOME.length] ?? null
    if (pool === 1) return `w${turn % 90}`
    if (pool === 2) return `${seed} ${row} ${row % 5 === 0 ? 'é' : ''}`
    return turn % 3 === 0 ? 'y'.repeat(turn) : (SOME[turn % SOME.length] ?? '')
  })
}

test('a text column holds what a plain array holds, as it turns from plain to coded and back', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      fc.constantFrom(undefined, 'dictionary' as const, 'plain' as const),
      (steps, encoding) => {
        const source = new TrackedBuffers()
        const size = encoding === undefined ? NO_SIZE : { ...NO_SIZE, encoding }
        const builder = new TextBuilder(source, size)
        let model: Text[] = []
        let views: {
          readonly end: number
          readonly column: ColumnData
          readonly values: Text[]
        }[] = []
        const take = (given: Step): void => {
          const values = textsOf(given)
          const cut = Math.round(given.at * model.length)
          switch (given.kind) {
            case 'push':
              for (const value of values) expect(builder.push(value)).toBe('ok')
              model.push(...values)
              break
            case 'pushAll':
              expect(builder.pushAll(values, values.length)).toBeGreaterThanOrEqual(0)
              model.push(...values)
              break
            case 'append':
              builder.append(sampleColumn('utf8', values))
              model.push(...values)
              break
            case 'appendCoded': {
              const words = [...new Set(values.filter((value) => value !== null))]
              const codes = values.map((value) => (value === null ? null : words.indexOf(value)))
              builder.append(dictionaryColumn(words, codes))
              model.push(...values)
              break
            }
            case 'refuse':
              expect(builder.pushAll([...values, 'a\ud83d'], values.length + 1)).toBe(-1)
              builder.truncate(model.length)
              break
            case 'truncate':
              builder.truncate(cut)
              model = model.slice(0, cut)
              views = views.filter(({ end }) => end <= cut)
              break
            default:
              source.isLeased = true
              views.push({
                end: model.length,
                column: builder.slice(cut, model.length),
                values: model.slice(cut),
              })
          }
        }
        for (const given of steps) {
          source.left = given.buffers
          const committed = model.length
          try {
            take(given)
          } catch (error) {
            if (!(error instanceof OutOfBuffers)) throw error
            model.length = committed
            builder.truncate(committed)
          }
          const column = builder.slice(0, builder.length)
          expect(valuesOf(column)).toEqual(model)
          expect(column.nullCount).toBe(model.filter((value) => value === null).length)
        }
        source.left = 0
        builder.seal()
        const column = builder.slice(0, builder.length)
        expect(valuesOf(column)).toEqual(model)
        // Each of up to five buffers is rounded up, and there may be a bitmap of what was truncated.
        expect(source.heldBytes).toBeLessThanOrEqual(columnBytes(column) + 5 * 8 + model.length / 8)
        for (const view of views) expect(valuesOf(view.column)).toEqual(view.values)
      },
    ),
    { numRuns: 400 },
  )
})
