/**
 * Writes segments. A segment is an Arrow IPC file that any Arrow reader opens; the layout is drawn
 * in docs/formats.md:
 *
 * ```
 * preamble   "ARROW1" 0 0 | schema message | one dictionary message per encoded column
 * blocks     record batch messages, each with bodies LZ4_FRAME
 * tail       0xFFFFFFFF 0 (end of stream) | "SLT1" | CRC-32C u32 of all that follows
 *            | footer (flatbuffers, with our facts) | footer length u32 | "ARROW1"
 * ```
 *
 * All numbers are little-endian, all parts are padded to 8 bytes. Equal input gives equal bytes.
 */
import { assert, present } from '../base/assert.ts'
import {
  ARROW_MAGIC,
  END_OF_STREAM,
  type EncodedMessage,
  type WrittenColumn,
  encodeBatch,
  encodeFooter,
  encodeSchema,
  padded,
  writtenBytes,
  writtenColumn,
} from './arrow-message.ts'
import type { WrittenField } from './arrow-schema.ts'
import { Sha256, crc32c } from './checksum.ts'
import { type ColumnData, sliceColumn } from './column.ts'
import { concatColumns, concatValidity, flattenColumn } from './column-concat.ts'
import { describeColumns } from './column-layout.ts'
import { type ColumnRange, columnRange, mergeRanges, toStatistics } from './column-range.ts'
import { type DictionaryPlan, dictionaryCodes, planDictionary } from './dictionary-plan.ts'
import type { RecordBatch } from './record-batch.ts'
import { type BlockPlan, blockOffsets, planBlocks } from './segment-blocks.ts'
import { FACTS_KEY, TAIL_MAGIC, factsJson } from './segment-facts.ts'
import { blockTimes, summaryFacts } from './segment-summary.ts'
import type {
  BatchFacts,
  DictionaryFacts,
  EncodedSegment,
  SegmentFacts,
  SegmentHeader,
} from './segment.ts'

/**
 * The bytes of a segment of `batches`, piece by piece; the last step returns what was written. Work
 * is done as pieces are asked for: about 1 MiB of records a step, so a caller can let others run in
 * between. The batches have one schema id, follow each other without a gap, and stay unchanged until
 * the end. A piece is the caller's, and may be empty.
 */
export function* encodeSegment(
  header: SegmentHeader,
  batches: readonly RecordBatch[],
): Generator<Uint8Array, EncodedSegment, void> {
  const writer = new SegmentWriter(header, batches)
  yield* writer.preamble()
  yield* writer.blocks()
  yield writer.tail()
  return writer.result()
}

interface ColumnTotal {
  nullCount: number
  range: ColumnRange | null
}

class SegmentWriter {
  readonly #header: SegmentHeader
  readonly #batches: readonly RecordBatch[]
  readonly #first: RecordBatch
  readonly #blockPlans: readonly BlockPlan[]
  readonly #timePosition: number
  readonly #hash = new Sha256()
  readonly #totals: readonly ColumnTotal[]
  readonly #dictionaryFacts: DictionaryFacts[] = []
  readonly #batchFacts: BatchFacts[] = []
  #plans: readonly (DictionaryPlan | null)[] = []
  #fields: readonly WrittenField[] = []
  #position = 0
  #rawBytes = 0
  #preambleChecksum = 0
  #preambleLength = 0
  #facts: SegmentFacts | null = null

  constructor(header: SegmentHeader, batches: readonly RecordBatch[]) {
    this.#header = header
    this.#batches = batches
    this.#first = present(batches[0], 'a batch to write')
    this.#blockPlans = planBlocks(batches)
    const { fields } = this.#first.schema
    this.#timePosition = fields.findIndex((field) => field.name === header.timeColumn)
    assert(this.#timePosition !== -1, 'the time column is one of the schema')
    this.#totals = fields.map(() => ({ nullCount: 0, range: null }))
  }

  /**
   * One piece per column whose dictionary has to be found, which may be empty, then the preamble's
   * messages.
   */
  *preamble(): Generator<Uint8Array, void, void> {
    const { fields } = this.#first.schema
    const plans: (DictionaryPlan | null)[] = []
    for (const [position, field] of fields.entries()) {
      plans.push(field.type === 'utf8' ? planDictionary(this.#columnsAt(position)) : null)
      if (field.type === 'utf8') yield new Uint8Array(0)
    }
    this.#plans = plans
    this.#fields = fields.map((field, position) => {
      const plan = plans[position] ?? null
      return plan === null ? field : { ...field, codeWidth: plan.codeWidth }
    })
    const magic = new Uint8Array(padded(ARROW_MAGIC.length))
    magic.set(ARROW_MAGIC)
    yield this.#addPreamble(magic)
    yield this.#addPreamble(encodeSchema(this.#fields))
    for (const [column, plan] of plans.entries()) {
      if (plan !== null) yield this.#addDictionary(column, plan.dictionary)
    }
    this.#preambleLength = this.#position
  }

  *blocks(): Generator<Uint8Array, void, void> {
    for (const plan of this.#blockPlans) yield this.#encodeBlock(plan)
  }

  tail(): Uint8Array {
    const facts = this.#summary()
    this.#facts = facts
    const footer = encodeFooter(this.#fields, this.#dictionaryFacts, this.#batchFacts, [
      [FACTS_KEY, factsJson(facts)],
    ])
    const covered = new Uint8Array(footer.length + 4 + ARROW_MAGIC.length)
    covered.set(footer)
    new DataView(covered.buffer).setUint32(footer.length, footer.length, true)
    covered.set(ARROW_MAGIC, footer.length + 4)
    const tail = new Uint8Array(END_OF_STREAM.length + TAIL_MAGIC.length + 4 + covered.length)
    tail.set(END_OF_STREAM)
    tail.set(TAIL_MAGIC, END_OF_STREAM.length)
    new DataView(tail.buffer).setUint32(
      END_OF_STREAM.length + TAIL_MAGIC.length,
      crc32c(covered),
      true,
    )
    tail.set(covered, tail.length - covered.length)
    return this.#add(tail)
  }

  result(): EncodedSegment {
    return {
      facts: present(this.#facts, 'the tail'),
      length: this.#position,
      sha256: this.#hash.digestHex(),
    }
  }

  #columnsAt(position: number): readonly ColumnData[] {
    return this.#batches.map((batch) => present(batch.columns[position], `column ${position}`))
  }

  #add(bytes: Uint8Array): Uint8Array {
    this.#hash.update(bytes)
    this.#position += bytes.length
    return bytes
  }

  #addPreamble(bytes: Uint8Array): Uint8Array {
    this.#preambleChecksum = crc32c(bytes, this.#preambleChecksum)
    return this.#add(bytes)
  }

  #addDictionary(column: number, dictionary: ColumnData): Uint8Array {
    const written = writtenColumn(dictionary)
    const message = encodeBatch([written], dictionary.length, {
      compress: true,
      dictionaryId: column,
    })
    this.#rawBytes += writtenBytes([written])
    const { metadataLength, bodyLength } = message
    this.#dictionaryFacts.push({
      column,
      length: dictionary.length,
      position: this.#position,
      metadataLength,
      bodyLength,
    })
    return this.#addPreamble(message.bytes)
  }

  #encodeBlock(plan: BlockPlan): Uint8Array {
    const ranges: (ColumnRange | null)[] = []
    const columns = this.#fields.map((_, position) => {
      const { written, range } = this.#encodeColumn(plan, position)
      const total = present(this.#totals[position], 'totals')
      total.nullCount += written.nullCount
      total.range = mergeRanges(total.range, range)
      ranges.push(range)
      return written
    })
    this.#rawBytes += writtenBytes(columns)
    const message = encodeBatch(columns, plan.length, { compress: true })
    this.#batchFacts.push(
      this.#blockFacts(plan, columns, message, ranges[this.#timePosition] ?? null),
    )
    return this.#add(message.bytes)
  }

  #encodeColumn(
    plan: BlockPlan,
    position: number,
  ): { written: WrittenColumn; range: ColumnRange | null } {
    const parts = plan.parts.map(({ batch, start, end }) =>
      sliceColumn(present(batch.columns[position], `column ${position}`), start, end),
    )
    const dictionary = this.#plans[position] ?? null
    if (dictionary === null) {
      const [only] = parts
      const column = flattenColumn(
        only !== undefined && parts.length === 1 ? only : concatColumns(parts),
      )
      return { written: writtenColumn(column), range: columnRange(column) }
    }
    const validity = concatValidity(parts)
    const codes = dictionaryCodes(dictionary, validity, plan.firstRow)
    const { length, nullCount } = validity
    const buffers = [validity.validity ?? new Uint8Array(0), codes]
    return { written: { length, nullCount, buffers }, range: null }
  }

  #blockFacts(
    plan: BlockPlan,
    columns: readonly WrittenColumn[],
    { bytes, metadataLength, bodyLength, bufferLengths }: EncodedMessage,
    timeRange: ColumnRange | null,
  ): BatchFacts {
    const types = this.#fields.map((field) => field.type)
    const type = present(this.#fields[this.#timePosition], 'the time column').type
    return {
      ...blockOffsets(plan),
      position: this.#position,
      metadataLength,
      bodyLength,
      metadataChecksum: crc32c(bytes.subarray(0, metadataLength)),
      columns: describeColumns(columns, types, bufferLengths, bytes.subarray(metadataLength)),
      ...blockTimes(plan, type, timeRange),
    }
  }

  #summary(): SegmentFacts {
    return summaryFacts(this.#header, this.#first, this.#batchFacts, {
      format: 'arrow',
      rawBytes: this.#rawBytes,
      dictionaries: this.#dictionaryFacts,
      statistics: this.#totals.map(({ nullCount, range }, position) => {
        const dictionary = this.#plans[position]?.dictionary
        return toStatistics(nullCount, dictionary === undefined ? range : columnRange(dictionary))
      }),
      preambleChecksum: this.#preambleChecksum,
      preambleLength: this.#preambleLength,
    })
  }
}
