import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NO_SIZE } from '../../../src/format/growing-column.ts'
import { strideRowsMax } from '../../../src/format/stride-offsets.ts'
import { VariableValues } from '../../../src/format/variable-values.ts'
import { sampleColumn } from '../../support/sample-batches.ts'
import { OutOfBuffers, TrackedBuffers } from '../../support/tracked-buffers.ts'

type Slice = ReturnType<VariableValues['slice']>

function textsIn({ offsets, values }: Slice): string[] {
  const bytes = Buffer.from(values)
  return Array.from({ length: offsets.length - 1 }, (_, row) =>
    bytes.toString('utf8', offsets[row] ?? 0, offsets[row + 1] ?? 0),
  )
}

const CHARACTERS = ['a', 'é', '日', '😀'] as const

/** A text of `bytes` in UTF-8, of characters as `seed` says: ASCII alone when it is even. */
function textOf(bytes: number, seed: number): string {
  let text = ''
  for (let left = bytes, turn = seed; left > 0; turn++) {
    const width = seed % 2 === 0 ? 1 : Math.min(left, 1 + (turn % 4))
    text += width === 1 ? String.fromCharCode(97 + (turn % 26)) : (CHARACTERS[width - 1] ?? '')
    left -= width
  }
  return text
}

interface Step {
  readonly kind: 'push' | 'pushTexts' | 'pushBytes' | 'append' | 'words' | 'truncate' | 'view'
  readonly count: number
  readonly seed: number
  /** The one among the values that may have another length than all others, and that length. */
  readonly odd: number
  readonly oddBytes: number
  readonly buffers: number
  readonly at: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind']>(
    ...(['push', 'pushTexts', 'pushBytes', 'append', 'words', 'truncate', 'view'] as const),
  ),
  count: fc.nat(90),
  seed: fc.nat(100),
  odd: fc.oneof({ weight: 3, arbitrary: fc.constant(-1) }, fc.nat(90)),
  oddBytes: fc.constantFrom(0, 1, 12, 30, 200),
  buffers: fc.oneof({ weight: 2, arbitrary: fc.constant(Infinity) }, fc.nat(2)),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
})

function take(values: VariableValues, kind: Step['kind'], texts: readonly string[]): void {
  if (kind === 'push') {
    for (const text of texts) expect(values.pushText(text)).toBe('ok')
  } else if (kind === 'pushTexts') {
    expect(values.pushTexts(['not this', ...texts], 1, texts.length + 1)).toBe('ok')
  } else if (kind === 'pushBytes') {
    for (const text of texts) expect(values.pushBytes(Buffer.from(text))).toBe('ok')
  } else if (kind === 'append') {
    const given = ['not this', ...texts].map((text) => Buffer.from(text))
    const { offsets, values: bytes } = sampleColumn('binary', given)
    values.append((offsets ?? new Int32Array(1)).subarray(1), bytes, texts.length)
  } else {
    const words = [...new Set(texts)]
    const codes = Uint8Array.from(texts, (text) => words.indexOf(text))
    const coded = { codes, validity: null, words: sampleColumn('utf8', words) }
    values.appendWords(coded, 0, texts.length)
  }
}

test('values are right whether all have one length or a first one has another, as they come and go', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 12, 24, 40, 200),
      fc.constantFrom(0, 50),
      fc.array(step, { minLength: 1, maxLength: 12 }),
      (bytes, rows, steps) => {
        const source = new TrackedBuffers()
        const values = new VariableValues(source, { ...NO_SIZE, rows })
        let model: string[] = []
        let views: { readonly end: number; readonly slice: Slice; readonly texts: string[] }[] = []
        let isEqual = true
        for (const { kind, count, seed, odd, oddBytes, buffers, at } of steps) {
          source.left = buffers
          const cut = Math.round(at * model.length)
          if (kind === 'truncate') {
            values.truncate(cut)
            model = model.slice(0, cut)
            views = views.filter(({ end }) => end <= cut)
          } else if (kind === 'view') {
            source.isLeased = true
            const slice = values.slice(cut, model.length)
            views.push({ end: model.length, slice, texts: model.slice(cut) })
          } else {
            const texts = Array.from({ length: count }, (_, index) =>
              textOf(index === odd ? oddBytes : bytes, seed + (index % 3) * 2),
            )
            isEqual &&= texts.every((text) => Buffer.byteLength(text) === bytes)
            try {
              take(values, kind, texts)
              model.push(...texts)
            } catch (error) {
              if (!(error instanceof OutOfBuffers)) throw error
              values.truncate(model.length)
            }
          }
          expect(textsIn(values.slice(0, model.length))).toEqual(model)
          expect(values.byteLength).toBe(Buffer.byteLength(model.join('')))
          if (isEqual) expect(values.offsetBytes).toBe(0)
        }
        source.left = 0
        values.seal()
        expect(textsIn(values.slice(0, model.length))).toEqual(model)
        const needed = values.byteLength + values.offsetBytes
        expect(source.heldBytes).toBeLessThanOrEqual(needed + 2 * 8)
        for (const { slice, texts } of views) expect(textsIn(slice)).toEqual(texts)
        values.retire()
        expect(source.heldBytes).toBe(0)
      },
    ),
    { numRuns: 500 },
  )
})

describe('values of one length', () => {
  test('take no offsets, however they come, and share them with every other column of that length', () => {
    const column = sampleColumn('utf8', ['Graz', 'Linz', '日a'])
    const slices = (['push', 'pushTexts', 'pushBytes', 'append', 'words'] as const).map((kind) => {
      const source = new TrackedBuffers()
      const values = new VariableValues(source)
      take(values, kind, ['Graz', 'Linz', '日a'])
      values.seal()
      expect([values.offsetBytes, source.heldBytes]).toEqual([0, 16])
      return values.slice(1, 3)
    })
    for (const { offsets } of slices) {
      expect([...offsets]).toEqual([4, 8, 12])
      expect(offsets.buffer).toBe(column.offsets?.buffer)
    }
  })

  test('get offsets of their own with the first of another length, and what was seen before stays', () => {
    const source = new TrackedBuffers()
    const values = new VariableValues(source)
    values.pushTexts(['Graz', 'Linz'], 0, 2)
    const before = values.slice(0, 2)
    expect(values.pushText('Wien 1')).toBe('ok')
    expect(values.offsetBytes).toBe(16)
    expect([...values.slice(0, 3).offsets]).toEqual([0, 4, 8, 14])
    expect([...before.offsets]).toEqual([0, 4, 8])
    expect(values.slice(0, 3).offsets.buffer).not.toBe(before.offsets.buffer)
  })

  test('that find no memory for offsets are as they were', () => {
    const source = new TrackedBuffers()
    const values = new VariableValues(source)
    values.pushTexts(['Graz', 'Linz'], 0, 2)
    const held = source.heldBytes
    source.left = 0
    const { offsets, values: bytes } = sampleColumn('utf8', ['Wien', 'Bregenz'])
    expect(() => values.pushText('Wels 2')).toThrow(OutOfBuffers)
    expect(() => values.pushTexts(['Wien', 'é'], 0, 2)).toThrow(OutOfBuffers)
    expect(() => values.append(offsets ?? new Int32Array(1), bytes, 2)).toThrow(OutOfBuffers)
    values.truncate(2)
    expect([values.offsetBytes, source.heldBytes]).toEqual([0, held])
    expect(values.pushText('Enns')).toBe('ok')
    expect(textsIn(values.slice(0, 3))).toEqual(['Graz', 'Linz', 'Enns'])
  })

  test('may have another length once there is none any more', () => {
    const values = new VariableValues(new TrackedBuffers())
    values.pushTexts(['Graz', 'Linz'], 0, 2)
    values.truncate(0)
    values.pushTexts(['Wels 2', 'Enns 3'], 0, 2)
    expect(values.offsetBytes).toBe(0)
    expect(textsIn(values.slice(0, 2))).toEqual(['Wels 2', 'Enns 3'])
  })

  test('get offsets when there are more than any open batch has', () => {
    const rows = strideRowsMax(100)
    const offsets = Int32Array.from({ length: rows + 1 }, (_, row) => row * 100)
    const values = new VariableValues(new TrackedBuffers())
    values.append(offsets, new Uint8Array(rows * 100).fill(97), rows)
    expect(values.offsetBytes).toBe(0)
    expect(values.pushText('b'.repeat(100))).toBe('ok')
    expect(values.offsetBytes).toBe((rows + 2) * 4)
    expect(textsIn(values.slice(rows - 1, rows + 1))).toEqual(['a'.repeat(100), 'b'.repeat(100)])
  })

  test('with an empty one among them, as a null is, have offsets', () => {
    const values = new VariableValues(new TrackedBuffers())
    values.pushText('Graz')
    values.pushEmpty()
    expect([...values.slice(0, 2).offsets]).toEqual([0, 4, 4])
    expect(values.offsetBytes).toBe(12)
  })
})
