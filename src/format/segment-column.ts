/**
 * Stored buffers as columns. Every length follows from the row count or from offsets that were
 * checked before.
 */
import type { BufferPlace, ColumnPlace, ColumnShape } from './arrow-message-reader.ts'
import { type ColumnData, bitmapBytes, countBits, int32View } from './column.ts'
import { codeWidthFor } from './dictionary-plan.ts'
import type { Fail } from './json-fields.ts'
import { BLOCK_RAW_BYTES_MAX } from './limits.ts'
import { decompressFrame } from './lz4.ts'
import { type ColumnType, childTypes, columnLayout } from './schema.ts'

/** What a stored column is made of: bitmap and values, and offsets where its bytes vary; or columns inside. */
export function columnShape(type: ColumnType, isEncoded: boolean): ColumnShape {
  const { kind } = columnLayout(type)
  return {
    bufferCount: kind === 'struct' ? 1 : !isEncoded && kind === 'variable' ? 3 : 2,
    children: childTypes(type).map((inside) => columnShape(inside, false)),
    isList: kind === 'list',
  }
}

/** A column stored without a dictionary. */
export function decodePlainColumn(
  body: Uint8Array,
  place: ColumnPlace,
  type: ColumnType,
  length: number,
  fail: Fail,
): ColumnData {
  const { nullCount } = place
  const shape = {
    type,
    length,
    nullCount,
    validity: decodeValidity(body, place, length, fail),
    dictionary: null,
  }
  const layout = columnLayout(type)
  const [, second, third] = place.buffers
  if (layout.kind === 'struct') {
    const children = decodeInside(body, place, type, fail)
    return { ...shape, offsets: null, values: new Uint8Array(0), children }
  }
  if (layout.kind === 'bits')
    return {
      ...shape,
      offsets: null,
      values: decodeBuffer(body, second, bitmapBytes(length), fail),
    }
  if (layout.kind === 'fixed') {
    return {
      ...shape,
      offsets: null,
      values: decodeBuffer(body, second, length * layout.byteWidth, fail),
    }
  }
  const offsets = int32View(decodeBuffer(body, second, (length + 1) * 4, fail))
  checkOffsets(offsets, fail)
  if (layout.kind === 'list') {
    if (place.children[0]?.length !== offsets[length]) fail('a list has another count of items')
    const children = decodeInside(body, place, type, fail)
    return { ...shape, offsets, values: new Uint8Array(0), children }
  }
  return { ...shape, offsets, values: decodeBuffer(body, third, offsets[length] ?? 0, fail) }
}

function decodeInside(
  body: Uint8Array,
  place: ColumnPlace,
  type: ColumnType,
  fail: Fail,
): readonly ColumnData[] {
  return childTypes(type).map((inside, index) => {
    const child = place.children[index]
    return child === undefined
      ? fail('a column inside is missing')
      : decodePlainColumn(body, child, inside, child.length, fail)
  })
}

/** A column of codes into `dictionary`, widened to int32. */
export function decodeCodedColumn(
  body: Uint8Array,
  place: ColumnPlace,
  dictionary: ColumnData,
  length: number,
  fail: Fail,
): ColumnData {
  const { nullCount } = place
  const validity = decodeValidity(body, place, length, fail)
  const width = codeWidthFor(dictionary.length)
  const stored = decodeBuffer(body, place.buffers[1], length * width, fail)
  const narrow =
    width === 1
      ? stored
      : width === 2
        ? new Uint16Array(stored.buffer, stored.byteOffset, length)
        : int32View(stored)
  const codes = Int32Array.from(narrow)
  for (let row = 0; row < length; row++) {
    if ((codes[row] ?? 0) >= dictionary.length || (codes[row] ?? 0) < 0)
      fail('a code is not in its dictionary')
  }
  const values = new Uint8Array(codes.buffer)
  return { type: dictionary.type, length, nullCount, validity, offsets: null, values, dictionary }
}

function decodeValidity(
  body: Uint8Array,
  place: ColumnPlace,
  length: number,
  fail: Fail,
): Uint8Array | null {
  if (place.nullCount === 0) return null
  const validity = decodeBuffer(body, place.buffers[0], bitmapBytes(length), fail)
  if (length - countBits(validity, length) !== place.nullCount)
    fail('a null count does not match its bitmap')
  return validity
}

function checkOffsets(offsets: Int32Array, fail: Fail): void {
  let before = 0
  for (let index = 0; index < offsets.length; index++) {
    const offset = offsets[index] ?? 0
    if (offset < before || (index === 0 && offset !== 0)) fail('offsets do not ascend from 0')
    before = offset
  }
}

const PREFIX_BYTES = 8

/** Exactly `rawLength` bytes, aligned to 8. */
function decodeBuffer(
  body: Uint8Array,
  place: BufferPlace | undefined,
  rawLength: number,
  fail: Fail,
): Uint8Array {
  if (place === undefined) return fail('a buffer is missing')
  if (rawLength > BLOCK_RAW_BYTES_MAX) return fail(`a buffer would take ${rawLength} bytes`)
  if (place.length === 0) return rawLength === 0 ? new Uint8Array(0) : fail('a buffer is empty')
  if (place.length < PREFIX_BYTES) return fail('a buffer has no length')
  const view = new DataView(body.buffer, body.byteOffset + place.position, place.length)
  const declared = view.getBigInt64(0, true)
  const stored = body.subarray(place.position + PREFIX_BYTES, place.position + place.length)
  if (declared === -1n)
    return stored.length === rawLength ? aligned(stored) : fail('a buffer has another length')
  if (declared !== BigInt(rawLength)) return fail('a buffer declares another length')
  try {
    return aligned(decompressFrame(stored, rawLength))
  } catch (error) {
    return fail(`a buffer is damaged: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes)
}
