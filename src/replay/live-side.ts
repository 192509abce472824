/** The live engine of a drill, as far as an archive is held against it: pinned before the drill begins. */
import { LogHasher } from '../format/content-hash.ts'
import type { Schema } from '../format/schema.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import { latestHashOf } from '../log/latest-hash.ts'
import type { LogView, ViewSource } from '../log/log-view.ts'
import { readPartition } from '../log/view-reader.ts'

/** Offsets of one partition. */
export interface OffsetRange {
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** Offsets that hold so many records: older versions of keys are gone. */
export interface CompactedRange {
  readonly from: number
  readonly to: number
  readonly records: number
  /** Newer versions of their keys lie below this offset: where less is there, those keys are missing. */
  readonly latestTo: number
}

/** A segment of a live engine with a copy in the archive. */
export interface LiveObject {
  readonly baseOffset: number
  readonly endOffset: number
  readonly sha256: string
  readonly object: string
}

export interface LivePartition {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
  /** Of what is held; null where nothing is. */
  readonly appendTimeMin: number | null
  readonly appendTimeMax: number | null
  readonly objects: readonly LiveObject[]
  /** Segments that hold fewer records than offsets; left out where there is none. */
  readonly compacted?: readonly CompactedRange[]
}

/** What a log is at one point; as JSON it comes from a server. */
export interface LiveLogFacts {
  readonly id: number
  readonly name: string
  /** Whether its policy has it archived. */
  readonly isArchived: boolean
  readonly schema: Schema
  readonly partitions: readonly LivePartition[]
}

/** An engine at one point; as JSON it comes from a server. */
export interface LiveEngineFacts {
  /** The archive that it writes says the same; null for an engine in RAM that has none. */
  readonly engineId: string | null
  readonly logs: readonly LiveLogFacts[]
}

export interface LiveEngine extends LiveEngineFacts {
  readonly logs: readonly LiveSide[]
}

export interface LiveSide extends LiveLogFacts {
  /** The hash of these offsets in the schema of the side. */
  hash(ranges: readonly OffsetRange[], signal?: AbortSignal): Promise<string>
  /** Of the latest view of these offsets, in the same schema; null where there is none. */
  latestHash(ranges: readonly OffsetRange[], signal?: AbortSignal): Promise<string | null>
}

export function liveSide(view: LogView): LiveSide {
  return {
    ...liveFacts(view),
    hash: (ranges, signal) => hashView(view, view.schema, ranges, signal),
    latestHash: (ranges, signal) => latestHashIn(view, view.schema, ranges, signal),
  }
}

export function liveFacts({ definition, schema, partitions }: LogView): LiveLogFacts {
  return {
    id: definition.id,
    name: definition.name,
    isArchived: definition.policy.archiveAfter !== null,
    schema,
    partitions: partitions.map(({ partition, startOffset, endOffset, sources }) => {
      const held = sources.map((source) =>
        source.tier === 'memory' ? source.batch : source.segment,
      )
      const compacted = compactedIn(sources)
      return {
        partition,
        startOffset,
        endOffset,
        ...(compacted.length === 0 ? {} : { compacted }),
        appendTimeMin: extreme(held, ({ appendTimeMin }) => appendTimeMin, Math.min),
        appendTimeMax: extreme(held, ({ appendTimeMax }) => appendTimeMax, Math.max),
        objects: sources.flatMap((source) => {
          if (source.tier === 'memory' || source.segment.object === null) return []
          const { baseOffset: start, endOffset: end, sha256, object } = source.segment
          return { baseOffset: start, endOffset: end, sha256, object: object.object }
        }),
      }
    }),
  }
}

/** What of the sources holds fewer records than offsets; of a part of a segment the most that they may be. */
export function compactedIn(sources: readonly ViewSource[]): readonly CompactedRange[] {
  return sources.flatMap((source) => {
    if (source.tier === 'memory') return []
    const { from, to, segment } = source
    if (segment.sparse === undefined) return []
    const { latestTo } = segment.sparse
    return { from, to, records: recordsWithin(segment, from, to), latestTo }
  })
}

function extreme<T>(
  items: readonly T[],
  of: (item: T) => number,
  choose: (a: number, b: number) => number,
): number | null {
  return items.reduce<number | null>(
    (found, item) => (found === null ? of(item) : choose(found, of(item))),
    null,
  )
}

/** The hash of the latest view of offsets, in a schema; null where there is none. */
export function latestHashIn(
  view: LogView,
  schema: Schema,
  ranges: readonly OffsetRange[],
  signal?: AbortSignal,
): Promise<string | null> {
  const named = ranges.map(
    ({ partition, from, to }) => [partition, { start: from, end: to }] as const,
  )
  return latestHashOf(view, { schema, ranges: new Map(named), signal })
}

/** Gaps and damage are left out: the hash then differs from one over all that there was. */
export async function hashView(
  view: LogView,
  schema: Schema,
  ranges: readonly OffsetRange[],
  signal?: AbortSignal,
): Promise<string> {
  const hasher = new LogHasher(schema)
  for (const { partition, from, to } of ranges) {
    const options = { from, to, schema, signal, onGap: 'skip', onDamage: () => {} } as const
    for await (const { batch } of readPartition(view, partition, options))
      hasher.add(partition, batch)
  }
  return hasher.digestHex()
}
