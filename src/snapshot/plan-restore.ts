/**
 * What a restore will do, from the archive alone: which logs, up to which offsets, out of which segments. Nothing is
 * written, and only a moment in time needs a look into the segments at its edge.
 */
import { StratalogError } from '../base/errors.ts'
import { isLogName } from '../base/log-name.ts'
import type { LogState, PartitionState, SegmentEntry } from '../format/manifest.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import { type Archive, type PartitionBounds, wholePartition } from '../log/archive-view.ts'
import { lackingAt, momentCompacted } from '../log/compacted-moment.ts'
import { segmentsHolding } from '../log/held-segments.ts'
import { offsetAtMoment } from './moment.ts'

/** What to restore: at most one of `snapshot`, `at` and `toOffsets`; the whole archive without any. */
export interface RestoreSelection {
  /** Name or id. */
  readonly snapshot?: string | undefined
  /** A moment of the engine's clock, ms: what had been appended by then. */
  readonly at?: number | undefined
  /** Offsets to stop before; partitions that are not named are restored whole. */
  readonly toOffsets?:
    | readonly { readonly log: string; readonly partition: number; readonly offset: number }[]
    | undefined
  /** Names; all when absent. */
  readonly logs?: readonly string[] | undefined
  /** New names by old ones. */
  readonly rename?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

/** Offsets `[from, to)` of a segment; all of it, or what lies within the bounds. */
export interface PlannedSegment {
  readonly partition: number
  readonly entry: SegmentEntry
  readonly from: number
  readonly to: number
}

export interface PlannedLog {
  readonly source: LogState
  /** The name it gets. */
  readonly name: string
  readonly bounds: readonly PartitionBounds[]
  readonly segments: readonly PlannedSegment[]
}

/** Counts, as `restore --plan` prints them. */
export interface RestoreSummary {
  readonly logs: number
  readonly segments: number
  readonly bytes: number
  readonly requests: number
}

export interface RestorePlan {
  readonly archive: Archive
  /** Whether it is everything that the archive holds, under the same names. */
  readonly isWhole: boolean
  /** What was asked for, as JSON takes it: a snapshot by its id. */
  readonly selected: unknown
  readonly logs: readonly PlannedLog[]
  readonly summary: RestoreSummary
}

/**
 * @throws StratalogError `snapshot_not_found`, `log_not_found`, `partition_not_found`, `argument_invalid` for a
 * selection that contradicts itself, `moment_compacted`, and what reading the archive throws.
 */
export async function planRestore(
  archive: Archive,
  selection: RestoreSelection = {},
): Promise<RestorePlan> {
  const { snapshot, at, toOffsets } = selection
  if ([snapshot, at, toOffsets].filter((given) => given !== undefined).length > 1) {
    throw new StratalogError(
      'argument_invalid',
      'Give one of snapshot, at and toOffsets: each says where to stop.',
    )
  }
  const sources = selectedLogs(archive, selection)
  checkOffsets(sources, selection)
  const logs: PlannedLog[] = []
  for (const source of sources) {
    const bounds = await boundsOf(archive, source, selection)
    const name = newName(source.definition.name, selection.rename)
    logs.push({
      source,
      name,
      bounds,
      segments: bounds.flatMap((cut) => plannedSegments(source, cut)),
    })
  }
  checkNames(logs, selection)
  if (at !== undefined) for (const log of logs) assertTold(archive, log)
  const segments = logs.flatMap((log) => log.segments)
  const bytes = segments.reduce((sum, segment) => sum + segment.entry.length, 0)
  const summary = { logs: logs.length, segments: segments.length, bytes, requests: segments.length }
  const selected = selectedOf(archive, selection)
  return { archive, isWhole: isWhole(archive, logs), selected, logs, summary }
}

/** @throws StratalogError `moment_compacted`, but where the log is wanted whole or up to the end of a snapshot. */
function assertTold(archive: Archive, { source, bounds, segments }: PlannedLog): void {
  const { id, name } = source.definition
  for (const { partition, endOffset } of bounds) {
    const held = source.partitions[partition]
    if (held === undefined || endOffset >= wholePartition(held, partition).endOffset) continue
    const own = segments.filter((segment) => segment.partition === partition)
    const lacking = lackingAt(
      own.map(({ entry }) => entry),
      endOffset,
    )
    const isSnapshotEnd = archive.snapshots.some(({ logs }) =>
      logs
        .find(({ logId }) => logId === id)
        ?.partitions.some((pin) => pin.partition === partition && pin.endOffset === endOffset),
    )
    if (lacking !== null && !isSnapshotEnd)
      throw momentCompacted({ log: name, partition, endOffset }, lacking)
  }
}

function selectedOf(
  archive: Archive,
  { snapshot, at, toOffsets, logs, rename }: RestoreSelection,
): unknown {
  const id = snapshot === undefined ? undefined : archive.snapshot(snapshot).id
  return { snapshot: id, at, toOffsets, logs, rename }
}

/** Records that a plan brings back, by the archive's name of their log. */
export function plannedRecords(plan: RestorePlan): ReadonlyMap<string, number> {
  return new Map(
    plan.logs.map(({ source, segments }) => [
      source.definition.name,
      segments.reduce((sum, { entry, from, to }) => sum + recordsWithin(entry, from, to), 0),
    ]),
  )
}

function selectedLogs(archive: Archive, { snapshot, logs }: RestoreSelection): readonly LogState[] {
  if (snapshot === undefined)
    return logs === undefined ? archive.logs : logs.map((name) => archive.log(name))
  const held = archive.snapshot(snapshot).logs
  for (const name of logs ?? []) {
    if (held.some((log) => log.name === name)) continue
    throw new StratalogError('log_not_found', `Snapshot '${snapshot}' holds no log '${name}'.`, {
      details: { snapshot, log: name, logs: held.map((log) => log.name) },
    })
  }
  const wanted = logs === undefined ? held : held.filter((log) => logs.includes(log.name))
  return wanted.map(({ logId, name }) => {
    const log = archive.state.logs.get(logId)
    if (log !== undefined) return log
    throw new StratalogError(
      'snapshot_corrupt',
      `Snapshot '${snapshot}' names log '${name}', which the archive no longer holds.`,
      {
        details: { snapshot, log: name },
      },
    )
  })
}

async function boundsOf(
  archive: Archive,
  log: LogState,
  selection: RestoreSelection,
): Promise<readonly PartitionBounds[]> {
  const { snapshot, at, toOffsets, signal } = selection
  const whole = log.partitions.map(wholePartition)
  if (snapshot !== undefined) {
    const pinned =
      archive.snapshot(snapshot).logs.find((held) => held.logId === log.definition.id)
        ?.partitions ?? []
    return whole.map(
      (part) =>
        pinned.find(({ partition }) => partition === part.partition) ?? {
          ...part,
          endOffset: part.startOffset,
        },
    )
  }
  if (at !== undefined) {
    const ends = whole.map((part) => offsetAtMoment(archive, log, part.partition, at, signal))
    const resolved = await Promise.all(ends)
    return whole.map((part, index) => ({ ...part, endOffset: resolved[index] ?? part.startOffset }))
  }
  return whole.map((part) => {
    const cut = toOffsets?.find(
      ({ log: name, partition }) => name === log.definition.name && partition === part.partition,
    )
    const endOffset = Math.max(
      part.startOffset,
      Math.min(part.endOffset, cut?.offset ?? part.endOffset),
    )
    return { ...part, endOffset }
  })
}

function plannedSegments(log: LogState, cut: PartitionBounds): readonly PlannedSegment[] {
  const state: PartitionState | undefined = log.partitions[cut.partition]
  const held = state === undefined ? [] : segmentsHolding(state, cut.startOffset, cut.endOffset)
  return held.map((entry) => ({
    partition: cut.partition,
    entry,
    from: Math.max(entry.baseOffset, cut.startOffset),
    to: Math.min(entry.endOffset, cut.endOffset),
  }))
}

function newName(name: string, rename: Readonly<Record<string, string>> | undefined): string {
  return rename !== undefined && Object.hasOwn(rename, name) ? (rename[name] ?? name) : name
}

function checkOffsets(sources: readonly LogState[], { toOffsets = [] }: RestoreSelection): void {
  const named = new Set<string>()
  for (const { log, partition, offset } of toOffsets) {
    const details = { log, partition, offset }
    const source = sources.find(({ definition }) => definition.name === log)
    if (source === undefined)
      throw new StratalogError('log_not_found', `toOffsets: no log '${log}' is restored.`, {
        details: { ...details, logs: sources.map(({ definition }) => definition.name) },
      })
    const state = source.partitions[partition]
    if (state === undefined)
      throw new StratalogError(
        'partition_not_found',
        `Log '${log}' has no partition ${partition}.`,
        { details },
      )
    const place = `${log}/${partition}`
    if (named.has(place))
      throw new StratalogError(
        'argument_invalid',
        `toOffsets names partition ${partition} of log '${log}' twice.`,
        { details },
      )
    named.add(place)
    const { startOffset, endOffset } = wholePartition(state, partition)
    if (!Number.isSafeInteger(offset) || offset < startOffset || offset > endOffset)
      throw new StratalogError(
        'argument_invalid',
        `Log '${log}' has offsets ${startOffset} to ${endOffset} in partition ${partition}; ${offset} is none.`,
        { details: { ...details, startOffset, endOffset } },
      )
  }
}

function checkNames(logs: readonly PlannedLog[], { rename }: RestoreSelection): void {
  const names = new Set<string>()
  for (const { name } of logs) {
    if (!isLogName(name))
      throw new StratalogError('log_name_invalid', `${JSON.stringify(name)} is not a log name.`, {
        details: { given: name },
      })
    if (names.has(name))
      throw new StratalogError('argument_invalid', `Two logs would be named '${name}'.`, {
        details: { log: name },
      })
    names.add(name)
  }
  for (const old of Object.keys(rename ?? {})) {
    if (logs.some((log) => log.source.definition.name === old)) continue
    throw new StratalogError('log_not_found', `rename: no log '${old}' is restored.`, {
      details: { log: old },
    })
  }
}

function isWhole(archive: Archive, logs: readonly PlannedLog[]): boolean {
  return (
    logs.length === archive.logs.length &&
    logs.every(
      ({ source, name, bounds }) =>
        name === source.definition.name &&
        source.deletedAt === undefined &&
        bounds.every((cut) => {
          const state = source.partitions[cut.partition]
          const whole = state === undefined ? cut : wholePartition(state, cut.partition)
          return cut.startOffset === whole.startOffset && cut.endOffset >= whole.endOffset
        }),
    )
  )
}
