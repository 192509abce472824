/**
 * Reads one segment block by block through any `SegmentBytes`: the footer first, then only the blocks that are wanted,
 * neighbours in one request, the next request under way while the last one is decoded.
 *
 * Nothing is decoded before its checksum was verified, and the segment is held to its manifest entry: bytes of another
 * segment, sound in themselves, are refused as `segment_corrupt`.
 */
import { StratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import {
  SEGMENT_TAIL_BYTES,
  type SegmentDictionaries,
  decodeBlock,
  decodeDictionaries,
  parseSegmentTail,
} from '../format/segment-reader.ts'
import type { BatchFacts, SegmentFacts } from '../format/segment.ts'
import type { SegmentBytes } from './log-view.ts'

/** Whose segment it must be. */
export interface SegmentOwner {
  readonly logId: number
  readonly partition: number
}

/** A segment up to this size is read whole at once: one request is cheaper than the bytes it would save. */
const WHOLE_BYTES_MAX = 512 * 1024

/** Blocks closer to each other than this are read by one request. */
const GAP_BYTES_MAX = 128 * 1024

/**
 * What one request asks for at most unless the caller says, beside a single block that is bigger.
 * Two are held at a time.
 */
const READ_BYTES_MAX = 4 * 1024 * 1024

/** What one request fetches: blocks that follow each other closely, the first with the preamble where it is needed. */
interface Run extends Range {
  readonly blocks: readonly number[]
  readonly hasPreamble: boolean
}

export interface BlockReadOptions {
  /** Positions in the segment's schema; all when absent. */
  readonly columns?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
  readonly readBytesMax?: number | undefined
  /** Is told of a damaged block, which is then left out; without it the reading ends with the error. */
  readonly onDamage?: ((block: BatchFacts, error: unknown) => void) | undefined
}

export class SegmentReading {
  readonly facts: SegmentFacts
  readonly #bytes: SegmentBytes

  private constructor(facts: SegmentFacts, bytes: SegmentBytes) {
    this.facts = facts
    this.#bytes = bytes
  }

  /** Reads the footer. @throws StratalogError `segment_corrupt`, `format_unsupported`, and what `bytes.read` throws. */
  static async open(
    bytes: SegmentBytes,
    entry: SegmentEntry,
    owner: SegmentOwner,
    signal?: AbortSignal,
  ): Promise<SegmentReading> {
    const { length } = entry
    if (length <= WHOLE_BYTES_MAX) {
      const whole = await bytes.read({ start: 0, end: length }, signal)
      return SegmentReading.fromBytes(whole, entry, owner)
    }
    const tail = await bytes.read({ start: length - SEGMENT_TAIL_BYTES, end: length }, signal)
    let parsed = parseSegmentTail(tail, length)
    if (parsed.kind === 'more') {
      const more = await bytes.read({ start: length - parsed.tailBytes, end: length }, signal)
      parsed = parseSegmentTail(more, length)
    }
    if (parsed.kind === 'more') throw mismatch('its footer does not end')
    checkOwner(parsed.facts, entry, owner)
    return new SegmentReading(parsed.facts, bytes)
  }

  /** A segment whose bytes are at hand. @throws StratalogError `segment_corrupt`, `format_unsupported`. */
  static fromBytes(whole: Uint8Array, entry: SegmentEntry, owner: SegmentOwner): SegmentReading {
    const parsed = parseSegmentTail(whole, whole.length)
    if (parsed.kind === 'more') throw mismatch('its footer does not end')
    checkOwner(parsed.facts, entry, owner)
    const bytes: SegmentBytes = {
      length: whole.length,
      read: async ({ start, end }) => whole.subarray(start, end),
      path: null,
    }
    return new SegmentReading(parsed.facts, bytes)
  }

  /** Indexes of the blocks that `isWanted` names. */
  blocks(isWanted: (block: BatchFacts) => boolean): readonly number[] {
    return this.facts.batches.flatMap((block, index) => (isWanted(block) ? [index] : []))
  }

  /** The wanted blocks in offset order. Damage of what all blocks share ends it, whatever `onDamage` is. */
  async *read(
    blocks: readonly number[],
    options: BlockReadOptions = {},
  ): AsyncGenerator<RecordBatch, void, undefined> {
    const { columns, signal } = options
    const needsPreamble = this.facts.dictionaries.some(
      ({ column }) => columns === undefined || columns.includes(column),
    )
    const runs = runsOf(this.facts, blocks, needsPreamble, options.readBytesMax ?? READ_BYTES_MAX)
    let dictionaries: SegmentDictionaries = new Map()
    let next = this.#readRun(runs[0], signal)
    for (const [index, run] of runs.entries()) {
      const bytes = await next
      next = this.#readRun(runs[index + 1], signal)
      if (run.hasPreamble) {
        dictionaries = decodeDictionaries(
          this.facts,
          bytes.subarray(0, this.facts.preambleLength),
          columns,
        )
      }
      for (const block of run.blocks) {
        const batch = this.#decode(run, bytes, block, dictionaries, options)
        if (batch !== null) yield batch
      }
    }
  }

  #decode(
    run: Run,
    bytes: Uint8Array,
    index: number,
    dictionaries: SegmentDictionaries,
    options: BlockReadOptions,
  ): RecordBatch | null {
    const block = this.facts.batches[index]
    if (block === undefined) return null
    const start = block.position - run.start
    try {
      return decodeBlock(
        this.facts,
        index,
        bytes.subarray(start, start + blockBytes(block)),
        dictionaries,
        options.columns,
      )
    } catch (error) {
      if (options.onDamage === undefined) throw error
      options.onDamage(block, error)
      return null
    }
  }

  /** Starts a request. A failure is seen by whoever awaits it, and by nobody else when the reading ended before. */
  #readRun(run: Run | undefined, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (run === undefined) return Promise.resolve(new Uint8Array(0))
    const reading = this.#bytes.read({ start: run.start, end: run.end }, signal)
    reading.catch(() => {})
    return reading
  }
}

/** Stored bytes of one block. */
export function blockBytes(block: BatchFacts): number {
  return block.metadataLength + block.bodyLength
}

function runsOf(
  facts: SegmentFacts,
  blocks: readonly number[],
  needsPreamble: boolean,
  bytesMax: number,
): readonly Run[] {
  const preamble = { start: 0, end: facts.preambleLength, blocks: [], hasPreamble: true }
  const runs: { start: number; end: number; blocks: number[]; hasPreamble: boolean }[] =
    needsPreamble ? [preamble] : []
  for (const index of blocks) {
    const block = facts.batches[index]
    if (block === undefined) continue
    const last = runs.at(-1)
    const end = block.position + blockBytes(block)
    if (
      last !== undefined &&
      block.position - last.end <= GAP_BYTES_MAX &&
      end - last.start <= bytesMax
    ) {
      last.end = end
      last.blocks.push(index)
    } else {
      runs.push({ start: block.position, end, blocks: [index], hasPreamble: false })
    }
  }
  return runs
}

/** The facts are those of the segment that the manifest means. */
function checkOwner(facts: SegmentFacts, entry: SegmentEntry, owner: SegmentOwner): void {
  const found = placeOf(facts.logId, facts.partition, facts.baseOffset)
  const meant = placeOf(owner.logId, owner.partition, entry.baseOffset)
  if (found !== meant) throw mismatch(`it is of ${found}, not of ${meant}`, 'swapped')
  if (facts.endOffset !== entry.endOffset) {
    throw mismatch(
      `it holds offsets up to ${facts.endOffset}, and the manifest says up to ${entry.endOffset}`,
      'row-count',
    )
  }
  if (facts.schema.id !== entry.schemaId)
    throw mismatch(`its schema is ${facts.schema.id}, not ${entry.schemaId}`, 'swapped')
  // Another engine, or an earlier life of this one, may have had a segment of the same offsets.
  const other = TRAITS.find((trait) => facts[trait] !== entry[trait])
  if (other !== undefined)
    throw mismatch(`its ${other} is ${facts[other]}, not ${entry[other]}`, 'swapped')
  if (JSON.stringify(facts.statistics) !== JSON.stringify(entry.statistics))
    throw mismatch('its values lie in other bounds', 'swapped')
}

/** Times of records are not among them: a manifest knows them within what whole ms can say. */
const TRAITS = ['rawBytes', 'appendTimeMin', 'appendTimeMax'] as const

function placeOf(logId: number, partition: number, baseOffset: number): string {
  return `log ${logId}, partition ${partition}, from offset ${baseOffset} on`
}

function mismatch(reason: string, damage = 'footer'): StratalogError {
  return new StratalogError(
    'segment_corrupt',
    `The segment is not what the manifest says: ${reason}.`,
    {
      details: { reason, damage },
    },
  )
}
