import { describe, expect, test } from 'vitest'
import { batchToRows, columnReader } from '../../../src/format/column-values.ts'
import {
  codeWidthFor,
  dictionaryCodes,
  planDictionary,
} from '../../../src/format/dictionary-plan.ts'
import { readSegment } from '../../support/read-segment.ts'
import {
  sampleBatch,
  sampleColumn,
  sampleSchema,
  withDictionary,
  writeSegment,
} from '../../support/sample-batches.ts'

function repeated(distinct: number, count: number): (string | null)[] {
  return Array.from({ length: count }, (_, row) =>
    row % 11 === 5 ? null : `value ${(row * 7919) % distinct}`,
  )
}

describe('a dictionary', () => {
  test('is not made of a column that has only nulls, and its segment reads back', () => {
    const nulls = Array.from({ length: 2_000 }, () => null)
    expect(planDictionary([sampleColumn('utf8', nulls)])).toBeNull()
    const schema = sampleSchema({ _time: 'timestamp[ms]', text: 'utf8' })
    const rows = nulls.map((text, row) => ({ _time: new Date(row), text }))
    const { batches } = readSegment(writeSegment([sampleBatch(schema, rows)]).bytes)
    expect(batches.flatMap((batch) => batchToRows(batch))).toEqual(rows)
  })

  test('holds the distinct values in the order of their bytes, and the codes find them', () => {
    const texts = ['b', 'a', null, 'é', 'a', 'Z', '', 'aa', '😀']
    const rows = Array.from({ length: 900 }, (_, row) => texts[row % texts.length] ?? null)
    const column = sampleColumn('utf8', rows)
    const plan = planDictionary([column])
    if (plan === null) throw new Error('seven values in 900 rows')
    const read = columnReader(plan.dictionary)
    expect(Array.from({ length: plan.dictionary.length }, (_, code) => read(code))).toEqual([
      '',
      'Z',
      'a',
      'aa',
      'b',
      'é',
      '😀',
    ])
    const codes = dictionaryCodes(plan, column, 0)
    expect(rows.map((text, row) => (text === null ? null : read(codes[row] ?? -1)))).toEqual(rows)
  })

  test('is the same from columns that have dictionaries already, without the values that no row uses', () => {
    const rows = repeated(20, 2000)
    const plain = sampleColumn('utf8', rows)
    const encoded = withDictionary(plain, [...rows, 'unused'])
    const expected = planDictionary([plain])
    const plan = planDictionary([{ ...encoded, length: rows.length }])
    expect(expected).not.toBeNull()
    expect(plan?.dictionary).toEqual(expected?.dictionary)
    expect(plan?.entries).toEqual(expected?.entries)
  })

  test('is not made of many values, of few rows, or where it saves little', () => {
    const plan = (rows: readonly (string | null)[]): unknown =>
      planDictionary([sampleColumn('utf8', rows)])
    expect(plan(repeated(1000, 4000))).toBeNull()
    expect(plan(repeated(2, 20))).toBeNull()
    expect(plan(Array<null>(5000).fill(null))).not.toBeUndefined()
    expect(plan(repeated(400, 4000))).not.toBeNull()
    expect(plan([])).toBeNull()
  })

  test('is not made of values of more than 2 MiB together', () => {
    const rows = Array.from({ length: 80 }, (_, row) => `${row % 8}`.repeat(400_000))
    expect(planDictionary([sampleColumn('utf8', rows)])).toBeNull()
  })

  test('has codes of one, two or four bytes by its length', () => {
    expect([1, 128, 129, 32_768, 32_769].map(codeWidthFor)).toEqual([1, 1, 2, 2, 4])
  })

  test.each([1, 128, 129, 700])('of %i values comes back through a segment', (distinct) => {
    const schema = sampleSchema({ _time: 'timestamp[ms]', text: 'utf8' })
    const rows = repeated(distinct, 8000).map((text, row) => ({ _time: new Date(row), text }))
    const { bytes, facts } = writeSegment([sampleBatch(schema, rows)])
    expect(facts.dictionaries.map((dictionary) => dictionary.length)).toEqual([distinct])
    expect(readSegment(bytes).batches.flatMap((batch) => batchToRows(batch))).toEqual(rows)
  })

  test('is given up soon when texts are chosen to collide', () => {
    const texts = collidingTexts(4000)
    const rows = Array.from({ length: 40_000 }, (_, row) => texts[row % texts.length] ?? '')
    expect(planDictionary([sampleColumn('utf8', rows)])).toBeNull()
  })
})

/** Texts whose table slots are the same: their FNV-1a hashes agree in the low 17 bits after folding. */
function collidingTexts(count: number): string[] {
  const texts: string[] = []
  for (let candidate = 0; texts.length < count; candidate++) {
    const text = candidate.toString(36)
    let hash = 0x811c9dc5 | 0
    for (let index = 0; index < text.length; index++)
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
    if (((hash ^ (hash >>> 15)) & 0x3ff) === 0) texts.push(text)
  }
  return texts
}
