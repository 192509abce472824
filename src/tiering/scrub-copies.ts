/**
 * The copies that manifests name, as a scrubber meets them: one after the other, over days. Each step looks at the
 * newest state, so that what was dropped meanwhile is passed over and no old state is kept in memory for it.
 */
import type { Location, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { pinnedObjects } from '../log/held-segments.ts'
import type { CopyTier } from './scrub-report.ts'
import { ownerOf } from '../log/segment-origin.ts'
import type { SegmentOwner } from '../log/segment-reading.ts'
import type { TieringContext } from './context.ts'

/** One copy of one segment. */
export interface SegmentCopy {
  readonly tier: CopyTier
  readonly logId: number
  readonly log: string
  readonly partition: number
  /** As the manifest that names the copy has it. */
  readonly segment: SegmentEntry
  readonly location: Location
  /** Whose segment it says it is. */
  readonly owner: SegmentOwner
}

/** Of the tier's own manifest; null without one, or while the archive was not reached. */
export function stateOf({ disk, archive }: TieringContext, tier: CopyTier): ManifestState | null {
  return (tier === 'disk' ? disk?.manifest.state : archive?.state) ?? null
}

/** Every copy, disk copies first; those of `logIds` only where it is given. */
export function* copiesOf(
  context: TieringContext,
  logIds: ReadonlySet<number> | null,
): Generator<SegmentCopy, undefined> {
  for (const tier of ['disk', 'object'] as const) {
    const state = stateOf(context, tier)
    if (state === null) continue
    for (const logId of [...state.logs.keys()])
      if (logIds === null || logIds.has(logId)) yield* copiesOfLog(context, tier, logId)
    if (tier === 'object') yield* retiredCopies(state, logIds)
  }
}

function* copiesOfLog(
  context: TieringContext,
  tier: CopyTier,
  logId: number,
): Generator<SegmentCopy, undefined> {
  const newest = () => stateOf(context, tier)?.logs.get(logId)
  for (let partition = 0; partition < (newest()?.partitions.length ?? 0); partition++) {
    for (let next = 0; ;) {
      const log = newest()
      const segments = log?.partitions[partition]?.segments
      const segment = segments?.at(segments.indexAt(next))
      if (log === undefined || segment === undefined) break
      next = segment.endOffset
      const location = segment[tier]
      if (location === null) continue
      const { definition } = log
      const owner = ownerOf(definition, partition, segment)
      yield { tier, logId, log: definition.name, partition, segment, location, owner }
    }
  }
}

/** Objects that are part of no log any more, and that a snapshot needs. */
function* retiredCopies(
  state: ManifestState,
  logIds: ReadonlySet<number> | null,
): Generator<SegmentCopy, undefined> {
  const pinned = pinnedObjects(state)
  if (pinned.size === 0) return
  for (const [logId, { definition, partitions }] of state.logs) {
    if (logIds !== null && !logIds.has(logId)) continue
    for (const [partition, { retired = [] }] of partitions.entries()) {
      for (const { segment } of retired) {
        const { object: location } = segment
        if (location === null || !pinned.has(location.object)) continue
        const { name: log } = definition
        const owner = ownerOf(definition, partition, segment)
        yield { tier: 'object', logId, log, partition, segment, location, owner }
      }
    }
  }
}

/** About how many there are. */
export function countCopies(context: TieringContext): number {
  let count = 0
  for (const tier of ['disk', 'object'] as const) {
    for (const { partitions } of stateOf(context, tier)?.logs.values() ?? [])
      for (const { segments } of partitions) count += segments.countHaving(tier)
  }
  return count
}

/** Whether its manifest still names this very copy. */
export function isNamed(context: TieringContext, copy: SegmentCopy): boolean {
  const { tier, logId, partition, segment, location } = copy
  const state = stateOf(context, tier)?.logs.get(logId)?.partitions[partition]
  const known = state?.segments.startingAt(segment.baseOffset)
  if (known?.sha256 === segment.sha256 && known[tier]?.object === location.object) return true
  if (tier === 'disk') return false
  const retired = state?.retired ?? []
  return retired.some((entry) => entry.segment.object?.object === location.object)
}

/** The same bytes on the other tier, as the data directory's manifest knows them; null where it knows of none. */
export function otherCopy(context: TieringContext, copy: SegmentCopy): SegmentCopy | null {
  const { logId, log, partition, segment, owner } = copy
  const state = stateOf(context, 'disk')?.logs.get(logId)?.partitions[partition]
  const known = state?.segments.startingAt(segment.baseOffset)
  if (known?.sha256 !== segment.sha256) return null
  const tier = copy.tier === 'disk' ? 'object' : 'disk'
  const location = known[tier]
  if (location === null) return null
  return { tier, logId, log, partition, segment: known, location, owner }
}
