import { expect, test } from 'vitest'
import { decodeSegmentFacts } from '../../../src/format/segment-facts.ts'
import type { Fail } from '../../../src/format/json-fields.ts'
import type { SegmentFacts } from '../../../src/format/segment.ts'
import { sampleBatch, sampleSchema, writeSegment } from '../../support/sample-batches.ts'

const fail: Fail = (reason) => {
  throw new Error(reason)
}

function sampleFacts(): SegmentFacts {
  const schema = sampleSchema({ _time: 'timestamp[ms]', city: 'utf8', note: 'utf8' })
  const rows = Array.from({ length: 70_000 }, (_, row) => ({
    _time: new Date(row),
    city: `city ${row % 5}`,
    note: `note ${row}`,
  }))
  return writeSegment([sampleBatch(schema, rows)]).facts
}

const FACTS = sampleFacts()
const LAST = FACTS.batches.at(-1)
const TAIL_POSITION = LAST === undefined ? 0 : LAST.position + LAST.metadataLength + LAST.bodyLength

/** The format is what the bytes are, and not stored. */
function decode(facts: object): SegmentFacts {
  const { format: _format, ...stored } = facts as Partial<SegmentFacts>
  return decodeSegmentFacts(Buffer.from(JSON.stringify(stored)), 'arrow', TAIL_POSITION, fail)
}

function withBatch(change: object, index = 1): object {
  const batches = FACTS.batches.map((batch, position) =>
    position === index ? { ...batch, ...change } : batch,
  )
  return { ...FACTS, batches }
}

const COLUMNS: readonly (readonly number[])[] = LAST?.columns ?? []

/** Of the last block. */
function withColumns(columns: readonly unknown[]): object {
  return withBatch({ columns }, FACTS.batches.length - 1)
}

function withDictionary(change: object): object {
  return {
    ...FACTS,
    dictionaries: FACTS.dictionaries.map((dictionary) => ({ ...dictionary, ...change })),
  }
}

test('facts come back as they were written', () => {
  expect(FACTS.batches.length).toBeGreaterThan(1)
  expect(FACTS.dictionaries).toHaveLength(1)
  expect(decode(FACTS)).toEqual(FACTS)
})

test('terms of records come back, and only as many as there are records', () => {
  const terms = [
    [FACTS.endOffset - FACTS.baseOffset - 2, 0, 1_000],
    [2, 1_234, 995],
  ]
  expect(decode({ ...FACTS, terms }).terms).toEqual([
    { rows: 69_998, expiresAt: Infinity, priority: 0 },
    { rows: 2, expiresAt: 1_234, priority: -5 },
  ])
  const [first = [], second = []] = terms
  for (const bad of [[first], [first, second, second], [first, [2, 1]], [first, [0, 0, 0], second]])
    expect(() => decode({ ...FACTS, terms: bad })).toThrow('terms')
})

test.each([
  ['a field is missing', { ...FACTS, engineId: undefined }],
  ['a field is too many', { ...FACTS, extra: 1 }],
  ['a number is text', { ...FACTS, logId: '1' }],
  ['a number is below zero', { ...FACTS, baseOffset: -1 }],
  ['a number is no safe integer', { ...FACTS, endOffset: 2 ** 60 }],
  [
    'a column has an unknown type',
    { ...FACTS, schema: { id: 0, fields: [{ name: 'a', type: 'int7', nullable: true }] } },
  ],
  [
    'there is no column',
    { ...FACTS, schema: { id: 0, fields: [] }, statistics: [], dictionaries: [] },
  ],
  ['the time column is not there', { ...FACTS, timeColumn: 'other' }],
  ['statistics are missing', { ...FACTS, statistics: FACTS.statistics.slice(1) }],
  ['there is no block', { ...FACTS, batches: [] }],
  ['the end is another', { ...FACTS, endOffset: FACTS.endOffset + 1 }],
  ['a block lies elsewhere', withBatch({ position: 8 })],
  ['a block is longer', withBatch({ bodyLength: 8 })],
  ['a block says nothing of a column', withColumns(COLUMNS.slice(1))],
  ['a column is no list of numbers', withColumns([7, ...COLUMNS.slice(1)])],
  ['a column says a length below zero', withColumns(COLUMNS.with(0, [1, 0, 0, -8]))],
  ['a column says too little', withColumns(COLUMNS.with(0, [1, 0, 0]))],
  ['a column says too much', withColumns(COLUMNS.map((column) => [...column, 0]))],
  ['a column has more nulls than rows', withColumns(COLUMNS.map((c) => c.with(1, 70_001)))],
  ['a buffer is longer', withColumns(COLUMNS.map((c) => c.with(3, (c[3] ?? 0) + 8)))],
  ['a block has other offsets', withBatch({ baseOffset: 1 })],
  ['a block has no row', withBatch({ length: 0 })],
  ['a block has too many rows', withBatch({ length: 65_537 }, 0)],
  ['a dictionary has no value', withDictionary({ length: 0 })],
  ['a dictionary has too many values', withDictionary({ length: 32_769 })],
  ['a dictionary belongs to a number', withDictionary({ column: 0 })],
  ['a dictionary belongs to no column', withDictionary({ column: 9 })],
  ['a dictionary ends elsewhere', withDictionary({ bodyLength: 0 })],
  [
    'a dictionary comes twice',
    { ...FACTS, dictionaries: [...FACTS.dictionaries, ...FACTS.dictionaries] },
  ],
  ['the preamble is shorter', { ...FACTS, preambleLength: FACTS.preambleLength - 8 }],
])('facts are refused when %s', (_, facts) => {
  expect(() => decode(facts)).toThrow()
})
