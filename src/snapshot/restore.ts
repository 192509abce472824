/**
 * Restores from an archive into a new data directory, with nothing but the archive: every segment is fetched, checked
 * against the manifest's length and SHA-256, and written durably before one manifest commit names it. The order, and
 * what a restore that was killed leaves behind, is in restore-directory.ts.
 *
 * What is missing or damaged is left out and in the result; it never stops the rest.
 *
 * Whose directory it becomes: a restore of the whole archive is the same engine again, may go on with that archive, and
 * keeps its object copies. Anything less is the beginning of another engine, `newEngineId`: the records it leaves out
 * are still in the archive, under offsets that it will give to others.
 */
import type { Clock } from '../base/clock.ts'
import { throwIfAborted } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { SpentTime } from '../base/spent-time.ts'
import type { ManifestEdit, SegmentEntry, Writer } from '../format/manifest.ts'
import { producersAsOf } from '../format/producer.ts'
import { segmentPath } from '../format/paths.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import type { CorruptObject, MissingObject, SegmentDamage } from '../log/segment-damage.ts'
import { DamageList, checkSegment, damageOf } from '../log/segment-damage.ts'
import { manifestFilesInDirectory } from '../log/manifest-files.ts'
import { fetchWhole } from '../log/segment-copies.ts'
import { ManifestStore } from '../log/manifest-store.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { PlannedLog, PlannedSegment, RestorePlan, RestoreSummary } from './plan-restore.ts'
import { RestoreDirectory } from './restore-directory.ts'
import { cutSegment } from '../log/segment-cut.ts'
import { ownerOf } from '../log/segment-origin.ts'

export interface RestoreTarget {
  readonly fileSystem: FileSystem
  readonly dataDir: string
  readonly clock: Clock
  readonly logger: Logger
  /** Who restores: the first writer of the directory's manifest. */
  readonly writer: Writer
  /** The id of the engine that begins here, unless it is the archive's again. */
  readonly newEngineId: string
  /** Begin another engine in any case: one that must not touch the archive, as in a drill. */
  readonly isDetached?: boolean
}

export interface RestoreProgress {
  readonly segments: number
  readonly segmentsTotal: number
  readonly bytes: number
  readonly bytesTotal: number
  readonly records: number
}

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined
}

/** What a restore spends time on: `codec` is checking bytes, and cutting a segment. */
export type RestoreLimit = 'store' | 'codec' | 'disk'

/** Field by field what `restore --json` prints, and the engine's id. */
export interface RestoreResult {
  readonly plan: RestoreSummary
  readonly engineId: string
  /** Whether the bytes are still in the archive only: then nothing of them was verified. */
  readonly isLazy: boolean
  readonly records: number
  readonly elapsedMs: number
  /** Whether every planned segment was there with the length, checksum and row count that the manifest says. */
  readonly verified: boolean
  /** What most time was spent on; null where there was nothing to do. */
  readonly limitedBy: RestoreLimit | null
  readonly missing: readonly MissingObject[]
  readonly corrupt: readonly CorruptObject[]
  /** Offsets that the plan names and no segment of the archive holds. */
  readonly gaps: readonly {
    readonly log: string
    readonly partition: number
    readonly from: number
    readonly to: number
  }[]
}

/** Segments fetched at the same time; each is in memory whole. */
export const PARALLEL_SEGMENTS = 4

/** @throws StratalogError `directory_not_empty`, `aborted`, and what the store and the file system throw. */
export async function restore(
  plan: RestorePlan,
  target: RestoreTarget,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const startedMs = target.clock.monotonic()
  const run = new RestoreRun(plan, target, options)
  const engineId = await run.run()
  return {
    plan: plan.summary,
    engineId,
    isLazy: false,
    records: run.records,
    elapsedMs: Math.round(target.clock.monotonic() - startedMs),
    verified: run.damages.isEmpty,
    limitedBy: run.spent.most,
    missing: run.damages.missing,
    corrupt: run.damages.corrupt,
    gaps: plan.logs.flatMap(gapsOf),
  }
}

interface RestoredSegment extends PlannedSegment {
  readonly log: PlannedLog
  readonly index: number
}

class RestoreRun {
  readonly damages = new DamageList()
  readonly spent: SpentTime<RestoreLimit>
  records = 0
  #segments = 0
  #bytes = 0
  #hasFailed = false
  readonly #plan: RestorePlan
  readonly #target: RestoreTarget
  readonly #options: RestoreOptions
  readonly #directory: RestoreDirectory
  /** Whether the directory becomes the archive's own engine again. */
  readonly #isSame: boolean
  readonly #engineId: string
  /** By the place in the plan; null for what is not there. */
  readonly #entries: (SegmentEntry | null)[] = []

  constructor(plan: RestorePlan, target: RestoreTarget, options: RestoreOptions) {
    this.#plan = plan
    this.#target = target
    this.#options = options
    this.spent = new SpentTime(target.clock)
    this.#directory = new RestoreDirectory(target.fileSystem, target.dataDir)
    this.#isSame = plan.isWhole && target.isDetached !== true
    this.#engineId = this.#isSame ? plan.archive.state.engineId : target.newEngineId
  }

  async run(): Promise<string> {
    await this.#directory.begin(this.#plan)
    const all: RestoredSegment[] = []
    for (const log of this.#plan.logs) {
      for (const segment of log.segments) all.push({ ...segment, log, index: all.length })
    }
    const queue = all.values()
    const workers = Array.from({ length: PARALLEL_SEGMENTS }, () => this.#work(queue))
    await allOrFirstFailure(workers)
    await this.#directory.sync()
    const engineId = await this.#commit(all)
    await this.#directory.finish(engineId)
    return engineId
  }

  /** Restores segments until there are none, or one failed. */
  async #work(queue: Iterator<RestoredSegment>): Promise<void> {
    for (let next = queue.next(); next.done !== true && !this.#hasFailed; next = queue.next()) {
      try {
        await this.#restoreSegment(next.value)
      } catch (error) {
        this.#hasFailed = true
        throw error
      }
    }
  }

  async #restoreSegment(segment: RestoredSegment): Promise<void> {
    throwIfAborted(this.#options.signal)
    const entry = await this.#copy(segment)
    this.#entries[segment.index] = entry
    this.#segments++
    this.#bytes += segment.entry.length
    if (entry !== null && entry.disk !== null)
      this.records += recordsWithin(entry, segment.from, segment.to)
    this.#options.onProgress?.({
      segments: this.#segments,
      segmentsTotal: this.#plan.summary.segments,
      bytes: this.#bytes,
      bytesTotal: this.#plan.summary.bytes,
      records: this.records,
    })
  }

  /** The entry for the local manifest, once its bytes are on disk; null when they cannot be had. */
  async #copy(segment: RestoredSegment): Promise<SegmentEntry | null> {
    const { entry, partition, log, from, to } = segment
    const { definition } = log.source
    const owner = { logId: definition.id, partition }
    const isAll = from === entry.baseOffset && to === entry.endOffset
    const object = this.#isSame ? entry.object : null
    const path = segmentPath({ ...owner, ...entry })
    const whole = { ...entry, disk: { object: path, position: 0, length: entry.length }, object }
    if (isAll && (await this.#directory.holds(path, entry.length, entry.sha256))) return whole
    const fetched = await this.#fetch(segment)
    if (fetched instanceof Uint8Array) {
      if (isAll) {
        await this.#write(path, fetched)
        return whole
      }
      // It goes on saying whose it was, and lies with those of its log.
      const writer = ownerOf(definition, partition, entry)
      const cutOwner = { ...writer, engineId: this.#engineId, logName: log.name }
      const { clock } = this.#target
      const cut = await this.spent.during('codec', () =>
        cutSegment(fetched, entry, cutOwner, { from, to, clock }, owner.logId),
      )
      if (cut === null) return null
      await this.#write(cut.entry.disk?.object ?? '', cut.bytes)
      return cut.entry
    }
    // All of it is left out, however small the damage: what is left out is what is reported.
    this.damages.add(entry.object?.object ?? '', log.source.definition.name, partition, {
      ...fetched,
      from,
      to,
    })
    return object === null ? null : { ...entry, disk: null, object }
  }

  /** The segment's checked bytes, or what is wrong with them. */
  async #fetch({ entry, partition, log }: RestoredSegment): Promise<Uint8Array | SegmentDamage> {
    const { baseOffset, endOffset, object } = entry
    if (object === null) {
      return {
        kind: 'missing',
        from: baseOffset,
        to: endOffset,
        position: null,
        reason: 'It has no object copy.',
      }
    }
    try {
      const bytes = await this.spent.during('store', () =>
        fetchWhole(this.#plan.archive.store, object, this.#options.signal),
      )
      const owner = ownerOf(log.source.definition, partition, entry)
      return (await this.spent.during('codec', () => checkSegment(bytes, entry, owner))) ?? bytes
    } catch (error) {
      const damage = damageOf(error, baseOffset, endOffset)
      if (damage === null) throw error
      return damage
    }
  }

  #write(path: string, bytes: Uint8Array): Promise<void> {
    return this.spent.during('disk', () => this.#directory.write(path, bytes))
  }

  /** Commits everything at once, unless an earlier run of the same restore did. */
  async #commit(all: readonly RestoredSegment[]): Promise<string> {
    const { fileSystem, dataDir, clock, logger, writer } = this.#target
    const files = manifestFilesInDirectory(fileSystem, dataDir)
    const manifest = await ManifestStore.open(files, { clock, logger })
    if (manifest.number === 0) await manifest.claim(writer, this.#engineId, this.#edits(all))
    const { engineId } = manifest.state
    await manifest.close()
    return engineId
  }

  #edits(all: readonly RestoredSegment[]): readonly ManifestEdit[] {
    const { nextLogId } = this.#plan.archive.state
    const edits: ManifestEdit[] = [{ kind: 'log-ids-reserved', nextLogId }]
    for (const { source, name, bounds } of this.#plan.logs) {
      const definition = { ...source.definition, name }
      edits.push({
        kind: 'log-created',
        log: definition,
        startOffsets: bounds.map((cut) => cut.startOffset),
      })
      for (const schema of source.schemas)
        edits.push({ kind: 'schema-added', logId: definition.id, schema })
    }
    const ends = new Map<PlannedLog, Map<number, number>>()
    for (const { log, partition, index } of all) {
      const segment = this.#entries[index]
      if (segment === null || segment === undefined) continue
      edits.push({ kind: 'segment-added', logId: log.source.definition.id, partition, segment })
      ends.set(log, (ends.get(log) ?? new Map()).set(partition, segment.endOffset))
    }
    for (const log of this.#plan.logs) {
      const { source, bounds } = log
      for (const { partition, startOffset, endOffset } of bounds) {
        const { denseFrom } = source.partitions[partition] ?? {}
        // Where new records come next: before `endOffset` where nothing is left of what was there.
        let nextOffset = ends.get(log)?.get(partition) ?? startOffset
        if (denseFrom !== undefined && denseFrom > startOffset) {
          const offset = Math.min(denseFrom, Math.max(startOffset, endOffset))
          nextOffset = Math.max(nextOffset, offset)
          edits.push({
            kind: 'offsets-dense-from',
            logId: source.definition.id,
            partition,
            offset,
          })
        }
        const states = source.partitions[partition]?.producers?.values() ?? []
        const producers = producersAsOf(states, nextOffset)
        const noted = { kind: 'producers-noted', partition, producers, forgotten: [] } as const
        if (producers.length > 0) edits.push({ ...noted, logId: source.definition.id })
      }
    }
    return edits
  }
}

/** Waits for all, so that nothing goes on behind the caller's back, then throws the first failure. */
async function allOrFirstFailure(running: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(running)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

export function gapsOf({ name, bounds, segments }: PlannedLog): RestoreResult['gaps'] {
  return bounds.flatMap(({ partition, startOffset, endOffset }) => {
    const gaps: { log: string; partition: number; from: number; to: number }[] = []
    let next = startOffset
    for (const segment of segments) {
      if (segment.partition !== partition) continue
      if (segment.from > next) gaps.push({ log: name, partition, from: next, to: segment.from })
      next = segment.to
    }
    if (next < endOffset) gaps.push({ log: name, partition, from: next, to: endOffset })
    return gaps
  })
}
