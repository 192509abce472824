/**
 * Cuts hot batches into the blocks of a segment: about 1 MiB each and at most 65,536 rows, so that
 * many tiny batches do not become many tiny blocks, and a huge one does not become a block that
 * nobody can read a part of.
 */
import { assert, present } from '../base/assert.ts'
import { rawColumnBytes } from './column-size.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from './limits.ts'
import type { RecordBatch } from './record-batch.ts'
import { hasOffsetColumn, offsetOfRow } from './sparse-rows.ts'

/** Rows `[start, end)` of one input batch. */
export interface BlockPart {
  readonly batch: RecordBatch
  readonly start: number
  readonly end: number
}

/** The rows of one block, in offset order; without a gap unless the batches have an offset column. */
export interface BlockPlan {
  readonly parts: readonly BlockPart[]
  readonly baseOffset: number
  /** Only where the batches have an offset column. */
  readonly endOffset?: number
  /** Among the rows of all batches. */
  readonly firstRow: number
  readonly length: number
}

/** The batches follow each other, have one schema and at least one row. */
export function planBlocks(batches: readonly RecordBatch[]): readonly BlockPlan[] {
  const blocks: BlockPlan[] = []
  let parts: BlockPart[] = []
  let firstRow = 0
  let length = 0
  let bytes = 0
  const close = (): void => {
    if (parts.length > 0) blocks.push({ parts, ...offsetsOf(parts), firstRow, length })
    firstRow += length
    parts = []
    length = 0
    bytes = 0
  }
  assertContinuous(batches)
  for (const batch of batches) {
    for (const piece of cutBatch(batch)) {
      const pieceLength = piece.end - piece.start
      if (length + pieceLength > BATCH_ROWS_MAX || isFull(bytes, piece.bytes)) close()
      parts.push({ batch, start: piece.start, end: piece.end })
      length += pieceLength
      bytes += piece.bytes
    }
  }
  close()
  return blocks
}

function offsetsOf(parts: readonly BlockPart[]): Pick<BlockPlan, 'baseOffset' | 'endOffset'> {
  const first = present(parts[0], 'a part')
  const last = present(parts.at(-1), 'a part')
  const baseOffset = offsetOfRow(first.batch, first.start)
  if (!hasOffsetColumn(first.batch.schema)) return { baseOffset }
  return { baseOffset, endOffset: offsetOfRow(last.batch, last.end - 1) + 1 }
}

/**
 * A block takes what keeps it below its target, and while it is small also what brings it somewhat
 * above.
 */
function isFull(bytes: number, added: number): boolean {
  return bytes + added > BATCH_BYTES_TARGET * (bytes < BATCH_BYTES_TARGET / 2 ? 1.5 : 1)
}

interface Piece {
  readonly start: number
  readonly end: number
  readonly bytes: number
}

/** Even pieces of a batch, each of a multiple of 8 rows so that bitmaps are cut between bytes. */
function cutBatch(batch: RecordBatch): readonly Piece[] {
  const bytes = batch.columns.reduce((sum, column) => sum + rawColumnBytes(column), 0)
  const count = Math.max(
    Math.ceil(batch.length / BATCH_ROWS_MAX),
    Math.round(bytes / BATCH_BYTES_TARGET),
    1,
  )
  const rows = Math.min(BATCH_ROWS_MAX, Math.ceil(batch.length / count / 8) * 8)
  const pieces: Piece[] = []
  for (let start = 0; start < batch.length; start += rows) {
    const end = Math.min(start + rows, batch.length)
    pieces.push({ start, end, bytes: (bytes * (end - start)) / batch.length })
  }
  return pieces
}

function assertContinuous(batches: readonly RecordBatch[]): void {
  batches.forEach((batch, index) => {
    const before = batches[index - 1]
    assert(batch.length > 0, 'a batch of a segment has rows')
    if (before === undefined) return
    const next = offsetOfRow(before, before.length - 1) + 1
    const isNext = hasOffsetColumn(batch.schema)
      ? batch.baseOffset >= next
      : batch.baseOffset === next
    assert(isNext, 'the batches of a segment follow each other')
    assert(batch.schema.id === before.schema.id, 'the batches of a segment have one schema')
  })
}

/** What the facts of a block say of its offsets. */
export function blockOffsets({
  baseOffset,
  length,
  endOffset,
}: BlockPlan): Pick<BlockPlan, 'baseOffset' | 'length' | 'endOffset'> {
  return { baseOffset, length, ...(endOffset === undefined ? {} : { endOffset }) }
}
