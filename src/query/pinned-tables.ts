/** The tables of one query: which logs they are, their views pinned at one instant, and what of them is read. */
import {
  type InformationTable,
  type SnapshotFacts,
  informationTables,
} from './information-tables.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import { blockEnd } from '../format/segment.ts'
import { batchKey } from './batch-key.ts'
import { NarrowBatches } from './narrow-batches.ts'
import type { Tier } from '../format/manifest.ts'
import type { BoundTable, ScanSource } from './protocol.ts'
import type { StratalogError } from '../base/errors.ts'
import { damageOf } from '../log/segment-damage.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { successorOf } from '../log/segment-successor.ts'
import type { SegmentOwner } from '../log/segment-reading.ts'
import type { LatestOffsets } from '../log/latest-views.ts'
import type { LogView, SegmentSource, ViewSource } from '../log/log-view.ts'
import type { OffsetBits } from '../log/offset-set.ts'
import { sourceRange } from '../log/view-reader.ts'
import { columnRange, isNeeded } from './prune.ts'
import type { QueryStats, SegmentCounts, TierStats } from './query-result.ts'
import type { LocalSegment, QueryPorts, WantedParts } from './query-ports.ts'
import { isBlockNeeded } from './scan-blocks.ts'
import type { PlannedScans, ScanBounds } from './scan-bounds.ts'
import {
  type TableColumn,
  type TableName,
  latestColumns,
  parseTableName,
  tableColumns,
} from './table-columns.ts'

interface PinnedTable {
  readonly name: string
  readonly view: LogView
  readonly columns: readonly TableColumn[]
  /** Of the table's tiers, in partition and offset order. */
  readonly sources: readonly PinnedSource[]
  readonly isLatest: boolean
}

interface PinnedSource {
  readonly partition: number
  readonly source: ViewSource
  /** Which of its records are read; absent where all are. */
  readonly live?: OffsetBits
}

type SegmentTier = SegmentSource['tier']

export interface PinnedStats extends Pick<
  QueryStats,
  'segments' | 'segmentsByTier' | 'cache' | 'requests'
> {
  readonly tiers: Readonly<Record<Tier, Omit<TierStats, 'records' | 'bytes'>>>
}

const NOT_FETCHED = { cache: { hits: 0, misses: 0 }, requests: 0 }

function countOf(
  segments: ReadonlyMap<string, SegmentTier>,
  tiers: readonly SegmentTier[],
): number {
  return [...segments.values()].filter((tier) => tiers.includes(tier)).length
}

/** Archived segments that are fetched at once. */
const FETCHES_MAX = 8

export class PinnedTables {
  readonly #tables: readonly PinnedTable[]
  /** Their numbers follow those of the tables. */
  readonly #information: readonly InformationTable[]
  readonly #views: readonly LogView[]
  /** By segment, so that two tables of one log share the file. */
  readonly #files = new Map<string, Promise<LocalSegment>>()
  /** Those of them that are there. */
  readonly #local = new Map<string, LocalSegment>()
  /** Where the records of segments lie whose objects are gone, by their id. */
  readonly #moved = new Map<string, SegmentSource>()
  /** Segments of which parts would not do, by their id. */
  readonly #wholes = new Set<string>()
  /** Paths of damaged files; known to every query of the engine. */
  readonly #damaged: Set<string>
  // Segments by their id, with their tier.
  readonly #scanned = new Map<string, SegmentTier>()
  readonly #segments = new Map<string, SegmentTier>()
  #cache = { hits: 0, misses: 0 }
  #requests = 0
  /** Paths of the files that are read, by the tier of the copy. */
  readonly #read = { disk: new Set<string>(), object: new Set<string>() }

  /**
   * Pins every log that a statement may name, in one synchronous stretch. Which words name tables only a parser
   * knows, so each word that is a log's name counts; the plan then tells which tables are scanned, and of the others
   * nothing is read.
   */
  static pin(
    sql: string,
    { viewOf, hasLog, logFacts }: Pick<QueryPorts, 'viewOf' | 'hasLog' | 'logFacts'>,
    snapshots: readonly SnapshotFacts[],
    damaged: Set<string>,
  ): PinnedTables {
    const words = sqlWords(sql)
    const views = new Map<string, LogView>()
    try {
      const tables: PinnedTable[] = []
      for (const name of words) {
        const table = parseTableName(name)
        if (table === null || !hasLog(table.log)) continue
        const view = views.get(table.log) ?? viewOf(table.log)
        views.set(table.log, view)
        const { isLatest } = table
        // Whoever names it without a key is told so when DuckDB does not find the table.
        if (isLatest && view.definition.keyColumn === null) continue
        const columnsOf = isLatest ? latestColumns : tableColumns
        const columns = columnsOf(view, (column) => words.has(column))
        tables.push({ name, view, columns, sources: sourcesOf(view, table), isLatest })
      }
      const information = informationTables(words, logFacts, snapshots)
      return new PinnedTables(tables, information, [...views.values()], damaged)
    } catch (error) {
      for (const view of views.values()) view.release()
      throw error
    }
  }

  private constructor(
    tables: readonly PinnedTable[],
    information: readonly InformationTable[],
    views: readonly LogView[],
    damaged: Set<string>,
  ) {
    this.#damaged = damaged
    this.#tables = tables
    this.#information = information
    this.#views = views
  }

  get bound(): readonly BoundTable[] {
    const tables = this.#tables.map(({ name, columns, sources }): BoundTable => ({
      name,
      columns,
      form: 'table',
      recordCount: sources.reduce((sum, { source }) => sum + recordCount(source), 0),
    }))
    const information = this.#information.map(({ name, columns, rowCount }): BoundTable => ({
      name,
      columns,
      form: 'function',
      recordCount: rowCount,
    }))
    return [...tables, ...information]
  }

  /** By table, what a statement with these bounds reads; archived segments are made local first. */
  async openSources(
    { bounds, columns }: PlannedScans,
    ports: Pick<QueryPorts, 'localSegment' | 'latestOf'>,
    signal: AbortSignal,
  ): Promise<readonly (readonly ScanSource[])[]> {
    const needed: (readonly PinnedSource[])[] = []
    for (const [number, table] of this.#tables.entries()) {
      const pruned = this.#prune(table, bounds[number] ?? null)
      const isScanned = table.isLatest && pruned.length > 0
      const latest = isScanned ? await ports.latestOf(table.view, signal) : null
      const kept = latest === null ? pruned : withLatest(pruned, latest)
      for (const { partition, source } of kept) {
        if (source.tier !== 'memory')
          this.#scanned.set(sourceId(table.view.definition.id, partition, source), source.tier)
      }
      needed.push(kept)
    }
    const wanted = this.#tables.map((table, number): WantedOfTable | null => {
      const given = columns[number]
      if (given === null || given === undefined) return null
      const own = given.flatMap((column) => table.columns[column] ?? [])
      const fields = own.flatMap(({ origin }) =>
        'field' in origin && origin.field !== null ? [origin.field.name] : [],
      )
      return { fields, bounds: bounds[number] ?? null, columns: table.columns }
    })
    await this.#fetch(needed, wanted, ports, signal)
    const sources = needed.map((pinned, table) => {
      const logId = this.#tables[table]?.view.definition.id ?? 0
      const fields = wanted[table]?.fields
      const narrow = fields === undefined ? null : new NarrowBatches(fields)
      return pinned.map((source) => this.#describe(logId, source, narrow))
    })
    return [...sources, ...this.#information.map(informationSources)]
  }

  get stats(): PinnedStats {
    const counts = (tiers: readonly SegmentTier[]): SegmentCounts => {
      const scanned = countOf(this.#scanned, tiers)
      return { scanned, pruned: countOf(this.#segments, tiers) - scanned }
    }
    const [disk, object] = [counts(['disk']), counts(['object'])]
    const [cache, requests] = [this.#cache, this.#requests]
    return {
      segments: counts(['disk', 'object']),
      segmentsByTier: { disk, object },
      cache,
      requests,
      tiers: {
        memory: { ...NOT_FETCHED, segments: { scanned: 0, pruned: 0 }, files: 0 },
        disk: { ...NOT_FETCHED, segments: disk, files: this.#read.disk.size },
        object: { segments: object, files: this.#read.object.size, cache, requests },
      },
    }
  }

  /**
   * Whether the error is of a damaged file whose segment has another copy, which is what `openSources` takes from then
   * on. Of parts of a segment that is the whole of it.
   */
  turnToFallback(error: StratalogError): boolean {
    const { path } = error.details
    for (const [id, { files, path: own, release, discard }] of this.#local) {
      if (files === undefined || own !== path || damageOf(error, 0, 0) === null) continue
      this.#wholes.add(id)
      this.#files.delete(id)
      this.#local.delete(id)
      discard?.()
      release()
      return true
    }
    if (typeof path !== 'string' || damageOf(error, 0, 0) === null || this.#damaged.has(path))
      return false
    for (const { sources } of this.#tables) {
      for (const { source } of sources) {
        if (source.tier === 'memory' || source.bytes.path !== path) continue
        // Other segments of a pack may have no other copy.
        if (source.fallback === undefined) continue
        this.#damaged.add(path)
        source.fallback.onUse(error)
        return true
      }
    }
    return false
  }

  /** Lets go of every view and file. */
  release(): void {
    for (const file of this.#files.values())
      void file.then((segment) => segment.release()).catch(() => {})
    for (const view of this.#views) view.release()
  }

  #prune(table: PinnedTable, bounds: readonly ScanBounds[] | null): readonly PinnedSource[] {
    const logId = table.view.definition.id
    // No scan at all: the word was not this table, or the statement needs no row of it.
    if (bounds?.length === 0) return []
    return table.sources.filter(({ partition, source }) => {
      const isKept = isNeeded(bounds, table.columns, (column) =>
        columnRange(table.view, partition, source, column),
      )
      if (source.tier !== 'memory')
        this.#segments.set(sourceId(logId, partition, source), source.tier)
      return isKept
    })
  }

  /** Fetches what is needed of segments that are not local files, some at a time. */
  async #fetch(
    tables: readonly (readonly PinnedSource[])[],
    wanted: readonly (WantedOfTable | null)[],
    { localSegment }: Pick<QueryPorts, 'localSegment'>,
    signal: AbortSignal,
  ): Promise<void> {
    const missing = new Map<string, MissingSegment>()
    for (const [table, sources] of tables.entries()) {
      const definition = this.#tables[table]?.view.definition
      if (definition === undefined) continue
      for (const { partition, source } of sources) {
        const id = sourceId(definition.id, partition, source)
        if (source.tier === 'memory') continue
        if (source.lost !== undefined) throw source.lost.error()
        if (this.#path(source) !== null || this.#files.has(id)) continue
        const owner = ownerOf(definition, partition, source.segment)
        const before = missing.get(id)?.wanted ?? []
        missing.set(id, { source, owner, wanted: [...before, wanted[table] ?? null] })
      }
    }
    const queue = missing.entries()
    const fetchNext = async (): Promise<void> => {
      for (const [id, segment] of queue) {
        signal.throwIfAborted()
        const file = this.#localSegment(id, segment, localSegment, signal)
        this.#files.set(id, file)
        const local = await file
        this.#local.set(id, local)
        const { isCached, requests } = local
        this.#cache = {
          hits: this.#cache.hits + (isCached ? 1 : 0),
          misses: this.#cache.misses + (isCached ? 0 : 1),
        }
        this.#requests += requests
      }
    }
    await Promise.all(Array.from({ length: Math.min(FETCHES_MAX, missing.size) }, fetchNext))
  }

  /** From where its records lie by now, when its object is gone. */
  async #localSegment(
    id: string,
    segment: MissingSegment,
    localSegment: QueryPorts['localSegment'],
    signal: AbortSignal,
  ): Promise<LocalSegment> {
    const open = (source: SegmentSource): Promise<LocalSegment> => {
      const parts = this.#wholes.has(id) ? null : wantedParts({ ...segment, source })
      return localSegment(source, parts, signal)
    }
    try {
      return await open(this.#moved.get(id) ?? segment.source)
    } catch (error) {
      const moved = await successorOf(segment.source, error)
      if (moved === null) throw error
      this.#moved.set(id, moved)
      return open(moved)
    }
  }

  /** The file that the worker reads as it is; null where a copy has to be fetched. */
  #path({ bytes, fallback }: SegmentSource): string | null {
    const isDamaged = fallback !== undefined && this.#damaged.has(bytes.path ?? '')
    return isDamaged ? null : bytes.path
  }

  #describe(logId: number, pinned: PinnedSource, narrow: NarrowBatches | null): ScanSource {
    const { partition, source } = pinned
    const id = sourceId(logId, partition, source)
    const live = pinned.live === undefined ? {} : { live: pinned.live }
    if (source.tier === 'memory') {
      const key = source.isSealed === true ? { key: batchKey(source.batch) } : {}
      const batch = narrow?.of(source.batch) ?? source.batch
      return { kind: 'batch', id, partition, batch, ...key, ...live }
    }
    const own = this.#path(source)
    const { from, to, bytes, segment } = this.#moved.get(id) ?? source
    const tier = own === null ? (source.fallback?.tier ?? source.tier) : source.tier
    const local = own === null ? this.#local.get(id) : undefined
    const files = local?.files === undefined ? {} : { files: local.files }
    const path = own ?? local?.path ?? ''
    for (const file of local?.files ?? [{ path }]) this.#read[tier].add(file.path)
    const position = own === null ? 0 : bytes.position
    const place = { path, position, length: bytes.length, ...files }
    const content = segment.sha256
    return { kind: 'segment', id, tier, partition, content, ...place, from, to, ...live }
  }
}

/** What the scans of a table can need; of a table that nothing is known of, all. */
interface WantedOfTable {
  readonly fields: readonly string[]
  readonly bounds: readonly ScanBounds[] | null
  readonly columns: readonly TableColumn[]
}

interface MissingSegment {
  readonly source: SegmentSource
  readonly owner: SegmentOwner
  /** By table that reads it. */
  readonly wanted: readonly (WantedOfTable | null)[]
}

function wantedParts({ source, owner, wanted }: MissingSegment): WantedParts | null {
  const known = wanted.filter((table) => table !== null)
  if (known.length < wanted.length) return null
  return {
    owner,
    fields: new Set(known.flatMap(({ fields }) => fields)),
    isNeeded: (block, timeColumn) =>
      block.baseOffset < source.to &&
      blockEnd(block) > source.from &&
      known.some((table) => isBlockNeeded(block, timeColumn, table)),
  }
}

/** The identifiers and texts in a statement, in lower case: a table may be named in either way of quoting. */
export function sqlWords(sql: string): ReadonlySet<string> {
  const words = new Set<string>()
  for (const [, word, identifier, text] of sql.matchAll(
    /([\p{L}_][\p{L}\p{N}_$]*)|"((?:[^"]|"")*)"|'((?:[^']|'')*)'/gu,
  )) {
    const name = word ?? identifier?.replaceAll('""', '"') ?? text?.replaceAll("''", "'") ?? ''
    words.add(name.normalize('NFC').toLowerCase())
  }
  return words
}

/** The logs that words of a statement name. */
export function tableLogs(sql: string, hasLog: (name: string) => boolean): ReadonlySet<string> {
  const logs = [...sqlWords(sql)].flatMap((word) => parseTableName(word)?.log ?? [])
  return new Set(logs.filter(hasLog))
}

function sourcesOf(view: LogView, table: TableName): readonly PinnedSource[] {
  return view.partitions.flatMap(({ partition, sources }) =>
    sources
      .filter((source) => table.tiers.includes(source.tier))
      .map((source) => ({ partition, source })),
  )
}

function informationSources({ name, rows }: InformationTable): readonly ScanSource[] {
  return [{ kind: 'batch', id: name, partition: 0, batch: rows() }]
}

/** Those that hold a newest record, and which of theirs are. */
function withLatest(
  sources: readonly PinnedSource[],
  latest: LatestOffsets,
): readonly PinnedSource[] {
  return sources.flatMap(({ partition, source }) => {
    const { start, end } = sourceRange(source)
    const offsets = latest.get(partition)
    if (offsets === undefined || offsets.count(start, end) === 0) return []
    return [{ partition, source, live: offsets.bits(start, end) }]
  })
}

function sourceId(logId: number, partition: number, source: ViewSource): string {
  const start = source.tier === 'memory' ? source.batch.baseOffset : source.segment.baseOffset
  return `${logId}/${partition}/${source.tier}/${start}`
}

function recordCount(source: ViewSource): number {
  if (source.tier === 'memory') return source.batch.length
  return recordsWithin(source.segment, source.from, source.to)
}
