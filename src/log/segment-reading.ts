/**
 * Reads one segment block by block through any `SegmentBytes`: the footer first, then only the wanted columns of the
 * wanted blocks, close ones in one request. Who goes on reading has the next ones under way while these are decoded.
 *
 * Nothing is decoded before its checksum was verified, and the segment is held to its manifest entry: bytes of another
 * segment, sound in themselves, are refused as `segment_corrupt`.
 */
import { StratalogError } from '../base/errors.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { crc32c, sha256Hex } from '../format/checksum.ts'
import type { StoredRange } from '../format/column-layout.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from '../format/limits.ts'
import type { SegmentEntry } from '../format/manifest.ts'
import { recordsIn } from '../format/segment-entry.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import {
  type SegmentDictionaries,
  decodeDictionaries,
  decodeRows,
  parseSegmentTail,
  rowRanges,
  tailStart,
} from '../format/segment-reader.ts'
import { type OffsetRows, runsOf } from '../format/sparse-rows.ts'
import type { BatchFacts, SegmentFacts } from '../format/segment.ts'
import type { CachedPart } from '../storage/part-cache.ts'
import type { SegmentBytes } from './log-view.ts'
import { readParts } from './read-parts.ts'

/** Whose segment it must be. */
export interface SegmentOwner {
  readonly logId: number
  readonly partition: number
}

/** A segment up to this size is read whole at once: its footer and a block would weigh about as much. */
const WHOLE_BYTES_MAX = 128 * 1024

/** What is asked for at once in the beginning: who wants few records gets few bytes. */
const READ_BYTES_FIRST = 256 * 1024

/** Each time more is wanted, that many times as much is asked for. */
const READ_BYTES_GROWTH = 4

/** What is asked for at once at most unless the caller says, beside a single block that is bigger. Two are held. */
const READ_BYTES_MAX = 4 * 1024 * 1024

/** How far a reader has gone: the longer it goes on, the more is read ahead of it. One may go through many segments. */
export class ReadPace {
  /** Requests under way at most while the blocks of an earlier one are decoded. */
  readonly aheadMax: number
  readonly #bytesMax: number
  #bytes: number | null = null

  constructor(bytesMax: number = READ_BYTES_MAX, aheadMax = 1) {
    this.#bytesMax = bytesMax
    this.aheadMax = aheadMax
  }

  /** Whether the reader came back for more. */
  get isSequential(): boolean {
    return this.#bytes !== null
  }

  /** Bytes to ask for now. */
  next(): number {
    const bytes = this.#bytes === null ? READ_BYTES_FIRST : this.#bytes * READ_BYTES_GROWTH
    this.#bytes = Math.min(bytes, this.#bytesMax)
    return this.#bytes
  }
}

/** What is read at once: some of the wanted blocks, the first with the preamble where it is needed. */
interface Run {
  readonly blocks: readonly number[]
  readonly parts: readonly CachedPart[]
}

/** The parts of a run as they were read. */
interface ReadRun extends Run {
  readonly bytes: readonly Uint8Array[]
}

export interface BlockReadOptions {
  /** Positions in the segment's schema; all when absent. */
  readonly columns?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
  readonly pace?: ReadPace | undefined
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
    let [tail = NO_BYTES] = await readParts(bytes, [firstPart(entry)], signal)
    if (length <= WHOLE_BYTES_MAX) return SegmentReading.fromBytes(tail, entry, owner)
    let parsed = parseSegmentTail(tail, length)
    if (parsed.kind === 'more') {
      ;[tail = NO_BYTES] = await readParts(bytes, [tailPart(length, parsed.tailBytes)], signal)
      parsed = parseSegmentTail(tail, length)
    }
    if (parsed.kind === 'more') throw mismatch('its footer does not end')
    checkOwner(parsed.facts, entry, owner)
    return new SegmentReading(parsed.facts, bytes)
  }

  /** Has what `open` begins with brought to the cache, where there is one. Whether that works, `open` will tell. */
  static prefetch(bytes: SegmentBytes, entry: SegmentEntry, signal?: AbortSignal): void {
    void bytes.readParts?.([firstPart(entry)], signal).catch(() => {})
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
      position: 0,
    }
    return new SegmentReading(parsed.facts, bytes)
  }

  /** Indexes of the blocks that `isWanted` names. */
  blocks(isWanted: (block: BatchFacts) => boolean): readonly number[] {
    return this.facts.batches.flatMap((block, index) => (isWanted(block) ? [index] : []))
  }

  /** What a reader of a file needs who reads some columns of some blocks: these, their dictionaries, and the footer. */
  parts(blocks: readonly number[], columns: readonly number[]): readonly CachedPart[] {
    const { facts } = this
    const { length } = this.#bytes
    return [
      ...(this.#needsPreamble(columns) ? [preamblePart(facts)] : []),
      ...blocks.flatMap((block) => rowRanges(facts, block, columns).map(rangePart)),
      tailPart(length, length - tailStart(facts)),
    ]
  }

  /**
   * The wanted blocks in offset order; of a sparse segment a block is several batches, as offsets in one follow each
   * other. Damage of what all blocks share ends it, whatever `onDamage` is.
   */
  async *read(
    blocks: readonly number[],
    options: BlockReadOptions = {},
  ): AsyncGenerator<RecordBatch, void, undefined> {
    for await (const rows of this.readRows(blocks, options)) yield* runsOf(rows)
  }

  /** As `read`, a block at a time. */
  async *readRows(
    blocks: readonly number[],
    options: BlockReadOptions = {},
  ): AsyncGenerator<OffsetRows, void, undefined> {
    const { columns, signal, pace = new ReadPace() } = options
    const runs = this.#runs(blocks, columns, pace)
    let dictionaries: SegmentDictionaries | null = null
    const ahead: Promise<ReadRun | null>[] = []
    for (;;) {
      const isAhead = pace.isSequential
      const run = await (ahead.shift() ?? this.#readNext(runs, signal))
      while (isAhead && ahead.length < pace.aheadMax) ahead.push(this.#readNext(runs, signal))
      if (run === null) return
      const bytesOf = bytesIn(run)
      dictionaries ??= this.#dictionaries(bytesOf, columns)
      for (const block of run.blocks) {
        const rows = this.#decode(bytesOf, block, dictionaries, options)
        if (rows !== null) yield rows
      }
    }
  }

  #needsPreamble(columns: readonly number[] | undefined): boolean {
    return this.facts.dictionaries.some(
      ({ column }) => columns === undefined || columns.includes(column),
    )
  }

  #dictionaries(
    bytesOf: (range: Range) => Uint8Array,
    columns: readonly number[] | undefined,
  ): SegmentDictionaries {
    if (!this.#needsPreamble(columns)) return new Map()
    const preamble = bytesOf({ start: 0, end: this.facts.preambleLength })
    return decodeDictionaries(this.facts, preamble, columns)
  }

  #decode(
    bytesOf: (range: Range) => Uint8Array,
    index: number,
    dictionaries: SegmentDictionaries,
    options: BlockReadOptions,
  ): OffsetRows | null {
    const block = this.facts.batches[index]
    if (block === undefined) return null
    try {
      return decodeRows(this.facts, index, bytesOf, dictionaries, options.columns)
    } catch (error) {
      if (options.onDamage === undefined) throw error
      options.onDamage(block, error)
      return null
    }
  }

  /** As many blocks at a time as the pace says when they are asked for. */
  *#runs(
    blocks: readonly number[],
    columns: readonly number[] | undefined,
    pace: ReadPace,
  ): Generator<Run, void, undefined> {
    const { facts } = this
    let run: { blocks: number[]; parts: CachedPart[] } = { blocks: [], parts: [] }
    if (blocks.length > 0 && this.#needsPreamble(columns)) run.parts.push(preamblePart(facts))
    let bytesMax = blocks.length > 0 ? pace.next() : 0
    let bytes = 0
    for (const block of blocks) {
      const ranges = rowRanges(facts, block, columns)
      const added = ranges.reduce((sum, range) => sum + rangeLength(range), 0)
      if (run.blocks.length > 0 && bytes + added > bytesMax) {
        yield run
        run = { blocks: [], parts: [] }
        bytesMax = pace.next()
        bytes = 0
      }
      bytes += added
      run.blocks.push(block)
      run.parts.push(...ranges.map(rangePart))
    }
    if (run.blocks.length > 0) yield run
  }

  /** Starts a read. A failure is seen by whoever awaits it, and by nobody else when the reading ended before. */
  #readNext(
    runs: Generator<Run, void, undefined>,
    signal: AbortSignal | undefined,
  ): Promise<ReadRun | null> {
    const step = runs.next()
    if (step.done === true) return Promise.resolve(null)
    const run = step.value
    const reading = readParts(this.#bytes, run.parts, signal).then((bytes) => ({ ...run, bytes }))
    reading.catch(() => {})
    return reading
  }
}

const NO_BYTES = new Uint8Array(0)

/** What is read of a segment first: all of a small one, of others a footer as long as it may be expected to be. */
function firstPart(entry: SegmentEntry): CachedPart {
  const { length, sha256 } = entry
  if (length > WHOLE_BYTES_MAX) return tailPart(length, Math.min(length, expectedTailBytes(entry)))
  const isSound = (bytes: Uint8Array): boolean =>
    bytes.length === length && sha256Hex(bytes) === sha256
  return { start: 0, end: length, kind: 'data', isSound }
}

/** Rounded up: a footer that is longer takes one more request. */
function expectedTailBytes(entry: SegmentEntry): number {
  const { rawBytes, statistics } = entry
  const columns = statistics.length
  const blocks = 1 + (2 * rawBytes) / BATCH_BYTES_TARGET + recordsIn(entry) / BATCH_ROWS_MAX
  return Math.ceil(4_096 + columns * 512 + blocks * (320 + columns * 32))
}

function tailPart(length: number, tailBytes: number): CachedPart {
  const isSound = (bytes: Uint8Array): boolean => isTail(bytes, length)
  return { start: length - tailBytes, end: length, kind: 'footer', isSound }
}

function isTail(bytes: Uint8Array, length: number): boolean {
  try {
    return parseSegmentTail(bytes, length) !== null
  } catch {
    return false
  }
}

function preamblePart({ preambleLength, preambleChecksum }: SegmentFacts): CachedPart {
  return rangePart({ start: 0, end: preambleLength, checksum: preambleChecksum })
}

function rangePart({ start, end, checksum }: StoredRange): CachedPart {
  const isSound = (bytes: Uint8Array): boolean =>
    bytes.length === end - start && crc32c(bytes) === checksum
  return { start, end, kind: 'data', isSound }
}

/** The parts of a run by where they begin. */
function bytesIn({ parts, bytes }: ReadRun): (range: Range) => Uint8Array {
  const byStart = new Map(parts.map((part, index) => [part.start, bytes[index] ?? NO_BYTES]))
  return ({ start }) => byStart.get(start) ?? NO_BYTES
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
  const [records, known] = [recordsIn(facts), recordsIn(entry)]
  if (records !== known || facts.sparse?.latestTo !== entry.sparse?.latestTo)
    throw mismatch(`it holds ${records} records, and the manifest says ${known}`, 'row-count')
  if (facts.schema.id !== entry.schemaId)
    throw mismatch(`its schema is ${facts.schema.id}, not ${entry.schemaId}`, 'swapped')
  if (facts.format !== entry.format)
    throw mismatch(`it is written as ${facts.format}, not as ${entry.format}`, 'swapped')
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
