/** Texts that repeat go to the WAL as codes with the words that they stand for. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import type { ColumnData } from '../../../src/format/column.ts'
import { readValue } from '../../../src/format/column-values.ts'
import { APPEND_BYTES_MAX } from '../../../src/format/limits.ts'
import type { Schema } from '../../../src/format/schema.ts'
import {
  appendPayloadBytes,
  decodeAppendPayload,
  limitedPayloadBytes,
  writeAppendPayload,
} from '../../../src/format/wal-payload.ts'
import { goldenPath } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the file anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const SCHEMA: Schema = { id: 7, fields: [{ name: 'event', type: 'utf8', nullable: true }] }
/** Of the parts of a payload of one column without validity. */
const ENTRY = 16
const CODES = 24

/** Texts and nulls as codes of the distinct ones, in the order of their coming. */
function codedColumn(texts: readonly (string | null)[], codeBytes: 1 | 4 = 1): ColumnData {
  const words = [...new Set(texts.filter((text) => text !== null))]
  const codes = texts.map((text) => (text === null ? words.length : words.indexOf(text)))
  const nullCount = texts.filter((text) => text === null).length
  const validity = new Uint8Array(Math.ceil(texts.length / 8))
  for (const [row, text] of texts.entries())
    if (text !== null) validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
  return {
    type: 'utf8',
    length: texts.length,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets: null,
    values:
      codeBytes === 1 ? Uint8Array.from(codes) : new Uint8Array(Int32Array.from(codes).buffer),
    dictionary: plainColumn(words),
  }
}

function plainColumn(words: readonly string[]): ColumnData {
  const offsets = new Int32Array(words.length + 1)
  for (const [index, word] of words.entries())
    offsets[index + 1] = (offsets[index] ?? 0) + Buffer.byteLength(word)
  const shape = { type: 'utf8', length: words.length, nullCount: 0, validity: null } as const
  return { ...shape, offsets, values: Buffer.from(words.join('')), dictionary: null }
}

function encode(column: ColumnData, start = 0, end = column.length): Uint8Array {
  const bytes = new Uint8Array(appendPayloadBytes([column], start, end))
  expect(writeAppendPayload(bytes, 0, SCHEMA.id, [column], start, end)).toBe(bytes.length)
  return bytes
}

function decode(payload: Uint8Array): ColumnData {
  return present(decodeAppendPayload(payload, SCHEMA).columns[0], 'a column')
}

function textsOf(column: ColumnData): unknown[] {
  return Array.from({ length: column.length }, (_, row) => readValue(column, row))
}

function repeated(words: readonly string[], rows: number): string[] {
  return Array.from({ length: rows }, (_, row) => words[row % words.length] ?? '')
}

const EVENTS = ['view', 'click', '', 'größe']

describe('texts that repeat', () => {
  test.each([1, 4] as const)(
    'come back from codes of %d bytes, whatever rows are taken',
    (width) => {
      const texts = repeated(EVENTS, 90).map((text, row) => (row % 7 === 3 ? null : text))
      for (const [start, end] of [
        [0, 90],
        [5, 89],
        [17, 40],
        [3, 4],
        [8, 8],
      ] as const) {
        const column = decode(encode(codedColumn(texts, width), start, end))
        expect(textsOf(column)).toEqual(texts.slice(start, end))
      }
    },
  )

  test('take a byte each and the words once, where that is less than the offsets of plain text', () => {
    const payload = encode(codedColumn(repeated(EVENTS, 1_000)))
    // 5 offsets, and 4 + 5 + 0 + 7 bytes.
    expect(payload.length).toBe(CODES + 1_000 + 24 + 16)
    expect(decode(payload).dictionary?.length).toBe(4)
  })

  test('are plain where codes would not be fewer bytes, or would not fit one', () => {
    expect(decode(encode(codedColumn(['view']))).dictionary).toBeNull()
    const many = Array.from({ length: 257 }, (_, word) => String.fromCodePoint(0x100 + word))
    const coded = decode(encode(codedColumn(repeated(many.slice(1), 2_000))))
    expect(coded.dictionary?.length).toBe(256)
    expect(textsOf(coded)).toEqual(repeated(many.slice(1), 2_000))
    const plain = decode(encode(codedColumn(repeated(many, 2_000), 4)))
    expect(plain.dictionary).toBeNull()
    expect(textsOf(plain)).toEqual(repeated(many, 2_000))
  })

  test.each([
    ['no words', ENTRY + 4, 0, /0 words/],
    ['more words than codes', ENTRY + 4, 257, /257 words/],
    ['a code that is none', CODES + 3, 4, /code 4 of 4 words/],
    ['words that begin before the one before ends', CODES + 40 + 4, 200, /offsets/],
    ['words that begin behind the first byte', CODES + 40, 1, /offsets/],
    ['an unknown bit', ENTRY, 4, /unknown bits/],
  ])('are refused with %s', (_, position, value, reason) => {
    const payload = encode(codedColumn(repeated(EVENTS, 40)))
    const view = new DataView(payload.buffer)
    if (position === CODES + 3) payload[position] = value
    else view.setUint32(position, value, true)
    expect(() => decode(payload)).toThrow(reason)
    expect(() => decode(payload)).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
  })

  test('are refused in a column of numbers', () => {
    const payload = encode(codedColumn(repeated(EVENTS, 40)))
    const fields = [{ name: 'n', type: 'int8', nullable: true }] as const
    expect(() => decodeAppendPayload(payload, { id: SCHEMA.id, fields })).toThrow(/has codes/)
  })

  test('count in full against what an append may take', () => {
    const few = codedColumn(repeated(EVENTS, 1_000))
    const bytes = appendPayloadBytes([few], 0, 1_000)
    expect(limitedPayloadBytes([few], 0, 1_000, bytes)).toBe(bytes)
    const rows = 1_000_000
    const column = codedColumn(repeated(['x'.repeat(64), 'y'.repeat(64)], rows))
    const plain = CODES + (rows + 2) * 4 + rows * 64
    const coded = appendPayloadBytes([column], 0, rows)
    expect(coded).toBeLessThan(2 * rows)
    expect(plain).toBeGreaterThan(APPEND_BYTES_MAX)
    expect(limitedPayloadBytes([column], 0, rows, coded)).toBe(plain)
  })

  test('are written and read as they always were', () => {
    const texts = [...repeated(EVENTS, 20), null, 'view']
    const bytes = encode(codedColumn(texts, 4))
    const path = goldenPath('wal-payload-v1/codes.payload')
    if (isUpdate) {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, bytes)
    }
    const kept = new Uint8Array(readFileSync(path))
    expect(Buffer.compare(kept, bytes)).toBe(0)
    expect(textsOf(decode(kept))).toEqual(texts)
  })
})
