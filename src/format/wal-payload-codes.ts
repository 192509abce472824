/**
 * Columns with a dictionary in a WAL payload (`wal-payload.ts`): as codes with the words, or as plain text.
 *
 * Codes are of one byte. They are written where they and all the words take no more than the offsets of plain text
 * alone: that is known without a look at the rows, and never more than plain text takes.
 */
import { present } from '../base/assert.ts'
import { type ColumnData, codesOf, isValidAt } from './column.ts'
import { padded, setUint32, writeBytes, writeOffsets, writePadding } from './wal-payload-bytes.ts'

/** So that a code takes one byte. */
export const CODED_WORDS_MAX = 256

/** Whether rows `[start, end)` of a column of this dictionary are written as codes. */
export function isCoded(dictionary: ColumnData, start: number, end: number): boolean {
  const words = dictionary.length
  if (words === 0 || words > CODED_WORDS_MAX) return false
  return (words + 1) * 4 + wordBytes(dictionary) + end - start <= (end - start + 1) * 4
}

/** Bytes of codes and words, with their padding. */
export function codedBytes(dictionary: ColumnData, start: number, end: number): number {
  return padded(end - start) + padded((dictionary.length + 1) * 4) + padded(wordBytes(dictionary))
}

export function writeCoded(
  into: Uint8Array,
  position: number,
  column: ColumnData,
  dictionary: ColumnData,
  start: number,
  end: number,
): number {
  const codes = codesOf(column)
  if (codes instanceof Uint8Array && column.validity === null)
    writeBytes(into, position, codes, start, end - start)
  else
    for (let row = start; row < end; row++)
      into[position + row - start] = isValidAt(column, row) ? (codes[row] ?? 0) : 0
  const words = writePadding(into, position + end - start)
  const offsets = present(dictionary.offsets, 'offsets of a dictionary')
  const at = writeOffsets(into, words, offsets, 0, dictionary.length)
  const bytes = wordBytes(dictionary)
  writeBytes(into, at, dictionary.values, offsets[0] ?? 0, bytes)
  return writePadding(into, at + bytes)
}

/** Bytes of the texts of rows `[start, end)`. */
export function plainTextBytes(
  column: ColumnData,
  dictionary: ColumnData,
  start: number,
  end: number,
): number {
  const offsets = present(dictionary.offsets, 'offsets of a dictionary')
  const codes = codesOf(column)
  let bytes = 0
  for (let row = start; row < end; row++) {
    const code = isValidAt(column, row) ? (codes[row] ?? 0) : -1
    if (code >= 0) bytes += (offsets[code + 1] ?? 0) - (offsets[code] ?? 0)
  }
  return bytes
}

/** No less than what plain text takes with its offsets, found without a look at the rows. */
export function plainTextBytesMax(dictionary: ColumnData, start: number, end: number): number {
  return padded((end - start + 1) * 4) + padded(wordBytes(dictionary) * (end - start))
}

export function writePlainText(
  into: Uint8Array,
  position: number,
  column: ColumnData,
  dictionary: ColumnData,
  start: number,
  end: number,
): number {
  const offsets = present(dictionary.offsets, 'offsets of a dictionary')
  const codes = codesOf(column)
  const values = writePadding(into, position + (end - start + 1) * 4)
  let length = 0
  setUint32(into, position, 0)
  for (let row = start; row < end; row++) {
    const code = isValidAt(column, row) ? (codes[row] ?? 0) : -1
    if (code >= 0) {
      const from = offsets[code] ?? 0
      const bytes = (offsets[code + 1] ?? 0) - from
      writeBytes(into, values + length, dictionary.values, from, bytes)
      length += bytes
    }
    setUint32(into, position + (row - start + 1) * 4, length)
  }
  return writePadding(into, values + length)
}

function wordBytes({ length, offsets }: ColumnData): number {
  return (offsets?.[length] ?? 0) - (offsets?.[0] ?? 0)
}
