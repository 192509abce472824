/**
 * Which pages a base consists of. Pages never change, so a base takes over every page of which all chunks are still
 * there, and writes the chunks that no such page has to new ones: a chunk of at least half a page by itself, smaller
 * ones together, of however many partitions and logs. Pages that are less than half full are written again when there
 * are many of them; so there are never many.
 */
import { MANIFEST_PAGE_ENTRIES_MAX } from './limits.ts'
import type { Fail } from './json-fields.ts'
import { LogMap } from './log-map.ts'
import type { PageRun, StoredRun } from './manifest-page.ts'
import type { LogState, ManifestState } from './manifest.ts'
import { type PageName, SegmentChunk } from './segment-chunk.ts'
import { SegmentEntries } from './segment-entries.ts'

export interface PagePlan {
  readonly kept: readonly PageName[]
  /** The runs of each page that is to be written. */
  readonly added: readonly (readonly PageRun[])[]
  /** About what the added pages weigh. */
  readonly addedBytes: number
}

const HALF_PAGE = MANIFEST_PAGE_ENTRIES_MAX / 2

const SMALL_PAGES_MAX = 8

/** A segment in a page, where there is none to tell by. */
const ENTRY_BYTES = 256

export function planPages(state: ManifestState): PagePlan {
  const runs = [...runsOf(state)]
  const found = new Map<PageName, number>()
  for (const { chunk } of runs)
    if (chunk.page !== null) found.set(chunk.page, (found.get(chunk.page) ?? 0) + 1)
  const whole = [...found.keys()].filter((page) => found.get(page) === page.chunks)
  const big = whole.filter(({ entries }) => entries >= HALF_PAGE)
  const kept = new Set(whole.length - big.length > SMALL_PAGES_MAX ? big : whole)
  const added = packed(runs.filter(({ chunk }) => chunk.page === null || !kept.has(chunk.page)))
  const [bytes, entries] = sums(found.keys())
  const ofEntry = entries === 0 ? ENTRY_BYTES : bytes / entries
  const addedEntries = added.flat().reduce((sum, { chunk }) => sum + chunk.length, 0)
  return { kept: [...kept], added, addedBytes: Math.ceil(ofEntry * addedEntries) }
}

/** SHA-256 of the pages that a state's segments were read from or written to: a later base may name each of them. */
export function pagesOf(state: ManifestState): ReadonlySet<string> {
  const pages = new Set<string>()
  for (const { chunk } of runsOf(state)) if (chunk.page !== null) pages.add(chunk.page.sha256)
  return pages
}

/** The state with the segments of its pages. */
export function withSegments(
  state: ManifestState,
  pages: readonly PageName[],
  runs: readonly (readonly StoredRun[])[],
  fail: Fail,
): ManifestState {
  const chunks = new Map<LogState, SegmentChunk[][]>()
  for (const [index, page] of pages.entries()) {
    const own = runs[index] ?? []
    const entries = own.reduce((sum, { source }) => sum + source.length, 0)
    if (own.length !== page.chunks || entries !== page.entries)
      fail(`page ${page.sha256} is not what it says`)
    for (const { logId, partition, source, schemaIdMax } of own) {
      const log = state.logs.get(logId)
      if (log === undefined || partition >= log.partitions.length)
        return fail(`page ${page.sha256} has segments of no partition`)
      if (schemaIdMax >= log.schemas.length) fail(`page ${page.sha256} has segments of no schema`)
      const chunk = new SegmentChunk(source)
      chunk.storedIn(page, source)
      const lists = chunks.get(log) ?? log.partitions.map(() => [])
      chunks.set(log, lists)
      lists[partition]?.push(chunk)
    }
  }
  const changed = new Map<number, LogState>()
  for (const [log, lists] of chunks) {
    const partitions = log.partitions.map((partition, number) => {
      const own = (lists[number] ?? []).sort((a, b) => a.baseOffset - b.baseOffset)
      if (!isInOrder(own, partition.startOffset)) fail('segments lie over each other')
      return { ...partition, segments: new SegmentEntries(own) }
    })
    changed.set(log.definition.id, { ...log, partitions })
  }
  return { ...state, logs: LogMap.empty.with(new Map(state.logs)).with(changed) }
}

function isInOrder(chunks: readonly SegmentChunk[], startOffset: number): boolean {
  let end = startOffset
  for (const chunk of chunks) {
    const next = chunk.endIfInOrder(end)
    if (next === null) return false
    end = next
  }
  return true
}

function* runsOf({ logs }: ManifestState): Generator<PageRun> {
  for (const { definition, partitions } of logs.values()) {
    for (const [partition, { segments }] of partitions.entries())
      for (const chunk of segments.chunks) yield { logId: definition.id, partition, chunk }
  }
}

function packed(runs: readonly PageRun[]): readonly (readonly PageRun[])[] {
  const pages = runs.filter(({ chunk }) => chunk.length >= HALF_PAGE).map((run) => [run])
  let page: PageRun[] = []
  let entries = 0
  for (const run of runs) {
    const { length } = run.chunk
    if (length >= HALF_PAGE) continue
    if (entries + length > MANIFEST_PAGE_ENTRIES_MAX) {
      pages.push(page)
      page = []
      entries = 0
    }
    page.push(run)
    entries += length
  }
  if (page.length > 0) pages.push(page)
  return pages
}

function sums(pages: Iterable<PageName>): readonly [bytes: number, entries: number] {
  let [bytes, entries] = [0, 0]
  for (const page of pages) {
    bytes += page.bytes
    entries += page.entries
  }
  return [bytes, entries]
}
