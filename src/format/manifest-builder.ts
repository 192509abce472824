/**
 * The one place that changes a manifest state. An edit that does not fit the state it meets is refused: it means a
 * damaged manifest, two writers, or a bug, and in none of these cases may it be applied.
 *
 * Invariants of every state:
 * - the engine's id is set once, by the first edit; epochs grow; the WAL checkpoint never moves back;
 * - an id that a log had is never another's, though logs may come in any order of ids: an archive learns of a log
 *   when it gets its first segment; schema ids of a log are 0, 1, 2, …, and a new schema can hold every value of
 *   the one before;
 * - segments of a partition lie in offset order from its start offset on, never overlap, are never empty, and have at
 *   least one copy; every copy has the segment's length; dropping the last copy drops the segment.
 *
 * That names of logs are unique is the engine's to check: it needs an index of them anyway. A builder copies what it
 * changes once, so a commit costs what it touches; `build` is cheap and can be repeated.
 */
import { StratalogError } from '../base/errors.ts'
import { IdRanges } from './id-ranges.ts'
import { PRODUCERS_MAX } from './limits.ts'
import { LogMap } from './log-map.ts'
import type {
  Location,
  LogState,
  ManifestEdit,
  ManifestState,
  PartitionState,
  SegmentEntry,
  Snapshot,
} from './manifest.ts'
import { type UnnamedObjects, applyNaming, applyUnnamed } from './manifest-unnamed.ts'
import { evolutionProblem } from './schema-evolution.ts'
import { type FoundSegment, SegmentEntries, SegmentEntriesEditor } from './segment-entries.ts'
import { placeName, sameLocation } from './segment-entry.ts'

/** The state before the first commit. */
export function emptyManifestState(): ManifestState {
  return {
    engineId: '',
    epoch: 0,
    writer: null,
    nextLogId: 1,
    deletedLogIds: IdRanges.empty,
    detachedLogs: new Map(),
    paused: new Map(),
    walLsn: 0,
    walReached: null,
    logs: LogMap.empty,
    snapshots: new Map(),
  }
}

/** The state after one edit. @throws StratalogError `manifest_corrupt` when the edit does not fit. */
export function applyEdit(state: ManifestState, edit: ManifestEdit): ManifestState {
  return applyEdits(state, [edit])
}

/** The state after all edits, in order; `state` itself never changes. @throws StratalogError `manifest_corrupt`. */
export function applyEdits(state: ManifestState, edits: Iterable<ManifestEdit>): ManifestState {
  const builder = new ManifestBuilder(state)
  for (const edit of edits) builder.apply(edit)
  return builder.build()
}

/** A log that this builder owns and may change in place until the next `build`. */
interface OwnedLog {
  state: LogState
  readonly partitions: PartitionState[]
  /** Segments that change, by partition. */
  readonly segments: Map<number, SegmentEntriesEditor>
}

export class ManifestBuilder {
  #head: ManifestState
  #logs: LogMap
  #snapshots: Map<string, Snapshot> | null = null
  readonly #owned = new Map<number, OwnedLog>()
  readonly #changed = new Map<number, LogState | null>()

  constructor(state: ManifestState) {
    this.#head = state
    this.#logs = state.logs instanceof LogMap ? state.logs : LogMap.empty.with(state.logs)
  }

  get epoch(): number {
    return this.#head.epoch
  }
  get writerId(): string {
    return this.#head.writer?.id ?? ''
  }

  /** The present state. The builder goes on from it and never changes it. */
  build(): ManifestState {
    for (const [id, log] of this.#owned) {
      for (const [number, editor] of log.segments) {
        const partition = log.partitions[number]
        if (partition !== undefined)
          log.partitions[number] = { ...partition, segments: editor.build() }
      }
      this.#changed.set(id, { ...log.state, partitions: log.partitions })
    }
    this.#logs = this.#logs.with(this.#changed)
    const snapshots = this.#snapshots ?? this.#head.snapshots
    this.#head = { ...this.#head, logs: this.#logs, snapshots }
    this.#owned.clear()
    this.#changed.clear()
    this.#snapshots = null
    return this.#head
  }

  /** @throws StratalogError `manifest_corrupt` when the edit does not fit; the builder is then of no further use. */
  apply(edit: ManifestEdit): void {
    switch (edit.kind) {
      case 'engine-created':
        return this.#createEngine(edit)
      case 'begun-from-base':
        return misfit(edit, 'base 1, which has the segments, is missing or damaged')
      case 'archive-noted':
        this.#head = { ...this.#head, archive: edit.archive }
        return
      case 'writer-claimed':
        return this.#claim(edit)
      case 'log-ids-reserved':
        this.#head = { ...this.#head, nextLogId: Math.max(this.#head.nextLogId, edit.nextLogId) }
        return
      case 'log-created':
        return this.#createLog(edit)
      case 'schema-added':
        return this.#addSchema(edit)
      case 'policy-changed': {
        const log = this.#log(edit, edit.logId)
        log.state = { ...log.state, definition: { ...log.state.definition, policy: edit.policy } }
        return
      }
      case 'log-deleted':
        return this.#deleteLog(edit)
      case 'segment-added':
        return this.#addSegment(edit)
      case 'segment-copied':
        return this.#copySegment(edit)
      case 'segment-copy-dropped':
        return this.#dropCopy(edit)
      case 'start-moved':
        return this.#moveStart(edit)
      case 'segments-replaced':
        return this.#replaceSegments(edit)
      case 'segment-retired':
        if (edit.segment.object === null) misfit(edit, 'it has no object copy')
        return this.#retire(edit, edit, [edit.segment], edit.retiredAt)
      case 'segments-collected':
        return this.#forgetRetired(edit)
      case 'objects-unnamed':
      case 'objects-doomed':
      case 'objects-forgotten':
        return this.#setUnnamed(edit, applyUnnamed(this.#head.unnamed ?? NONE_UNNAMED, edit))
      case 'producers-noted':
        return this.#noteProducers(edit)
      case 'offsets-dense-from':
        return this.#setDenseFrom(edit)
      case 'log-detached':
        return this.#detachLog(edit)
      case 'tiering-paused':
        return this.#pause(edit)
      case 'checkpoint':
        if (edit.walLsn < this.#head.walLsn)
          misfit(edit, `the checkpoint is at ${this.#head.walLsn} already`)
        this.#head = { ...this.#head, walLsn: edit.walLsn }
        return
      case 'wal-reached':
        if (edit.walLsn < (this.#head.walReached ?? 0))
          misfit(edit, `the WAL was at ${this.#head.walReached} before`)
        this.#head = { ...this.#head, walReached: edit.walLsn }
        return
      case 'snapshot-created':
        if (this.#ownSnapshots().has(edit.snapshot.id))
          misfit(edit, `snapshot ${edit.snapshot.id} exists`)
        this.#ownSnapshots().set(edit.snapshot.id, edit.snapshot)
        return
      case 'snapshot-deleted':
        if (!this.#ownSnapshots().delete(edit.id)) misfit(edit, `there is no snapshot ${edit.id}`)
        return
    }
  }

  #createEngine(edit: Edit<'engine-created'>): void {
    if (this.#head.engineId !== '') misfit(edit, `the engine is ${this.#head.engineId} already`)
    this.#head = { ...this.#head, engineId: edit.engineId }
  }

  #claim(edit: Edit<'writer-claimed'>): void {
    if (edit.epoch <= this.#head.epoch) misfit(edit, `epoch ${this.#head.epoch} is claimed already`)
    this.#head = { ...this.#head, epoch: edit.epoch, writer: edit.writer }
  }

  #createLog(edit: Edit<'log-created'>): void {
    const { log, startOffsets } = edit
    const { nextLogId, deletedLogIds } = this.#head
    const isGiven = this.#has(log.id) || deletedLogIds.has(log.id)
    if (isGiven) misfit(edit, `log id ${log.id} was given before`)
    if (startOffsets.length !== log.partitions)
      misfit(edit, `${log.partitions} partitions need as many start offsets`)
    const partitions = startOffsets.map((startOffset) => ({
      startOffset,
      segments: SegmentEntries.empty,
    }))
    const state = { definition: log, schemas: [], partitions }
    this.#owned.set(log.id, { state, partitions, segments: new Map() })
    const detachedLogs = without(this.#head.detachedLogs, log.id)
    this.#head = { ...this.#head, detachedLogs, nextLogId: Math.max(nextLogId, log.id + 1) }
  }

  #deleteLog(edit: Edit<'log-deleted'>): void {
    const { logId, deletedAt } = edit
    if (deletedAt === null) {
      this.#log(edit, logId)
      this.#remove(logId)
    } else {
      // An archive is told once more where nobody knows whether it was, and of logs that it has no segment of.
      if (this.#head.deletedLogIds.has(logId)) return
      if (this.#has(logId)) return this.#keepDeleted(edit, deletedAt)
    }
    this.#head = {
      ...this.#head,
      nextLogId: Math.max(this.#head.nextLogId, logId + 1),
      deletedLogIds: this.#head.deletedLogIds.with(logId),
    }
  }

  #keepDeleted(edit: Edit<'log-deleted'>, deletedAt: number): void {
    const log = this.#log(edit, edit.logId)
    if (log.state.deletedAt !== undefined) return
    for (const [partition, { startOffset }] of log.partitions.entries()) {
      const place = { logId: edit.logId, partition }
      const retired = takeUpTo(this.#segments(log, partition), 0, Infinity)
      this.#retire(edit, place, retired, deletedAt)
      const end = Math.max(startOffset, retired.at(-1)?.endOffset ?? 0)
      log.partitions[partition] = { ...this.#partition(edit, place).partition, startOffset: end }
    }
    log.state = { ...log.state, deletedAt }
  }

  /** In a base the log is not there any more. */
  #detachLog(edit: Edit<'log-detached'>): void {
    const { logId, name } = edit
    const { nextLogId, deletedLogIds, detachedLogs } = this.#head
    if (deletedLogIds.has(logId)) misfit(edit, `log id ${logId} was deleted`)
    if (this.#has(logId)) {
      const known = this.#log(edit, logId).state.definition.name
      if (known !== name) misfit(edit, `log ${logId} is '${known}'`)
      this.#remove(logId)
    }
    this.#head = {
      ...this.#head,
      nextLogId: Math.max(nextLogId, logId + 1),
      detachedLogs: new Map(detachedLogs).set(logId, name),
    }
  }

  #has(logId: number): boolean {
    return this.#owned.has(logId) || (this.#logs.has(logId) && !this.#changed.has(logId))
  }

  #remove(logId: number): void {
    this.#owned.delete(logId)
    this.#changed.set(logId, null)
    this.#head = { ...this.#head, paused: without(this.#head.paused, logId) }
  }

  #pause(edit: Edit<'tiering-paused'>): void {
    const { logId, since } = edit
    if (logId > 0) this.#log(edit, logId)
    const { paused } = this.#head
    const changed = since === null ? without(paused, logId) : new Map(paused).set(logId, since)
    this.#head = { ...this.#head, paused: changed }
  }

  #addSchema(edit: Edit<'schema-added'>): void {
    const log = this.#log(edit, edit.logId)
    const { schemas } = log.state
    if (edit.schema.id !== schemas.length) misfit(edit, `the next schema id is ${schemas.length}`)
    const refused = evolutionProblem(schemas.at(-1), edit.schema)
    if (refused !== null) misfit(edit, refused)
    log.state = { ...log.state, schemas: [...schemas, edit.schema] }
  }

  #addSegment(edit: Edit<'segment-added'>): void {
    const { segment } = edit
    const log = this.#log(edit, edit.logId)
    if (log.state.deletedAt !== undefined) misfit(edit, `log ${edit.logId} was deleted`)
    const partition = log.partitions[edit.partition]
    if (partition === undefined) return misfit(edit, `there is no partition ${edit.partition}`)
    if (segment.baseOffset >= segment.endOffset) misfit(edit, 'a segment holds at least one record')
    if (segment.baseOffset < partition.startOffset)
      misfit(edit, `the partition starts at ${partition.startOffset}`)
    const schema = log.state.schemas[segment.schemaId]
    if (schema === undefined) return misfit(edit, `there is no schema ${segment.schemaId}`)
    if (segment.statistics.length !== schema.fields.length)
      misfit(edit, 'there are statistics of every column')
    if (segment.disk === null && segment.object === null)
      misfit(edit, 'a segment has at least one copy')
    for (const copy of [segment.disk, segment.object]) {
      if (copy !== null && copy.length !== segment.length)
        misfit(edit, `a copy has the length ${segment.length}`)
    }
    const segments = this.#segments(log, edit.partition)
    const next = segments.at(segment.baseOffset)?.entry
    if (next !== undefined && next.baseOffset < segment.endOffset) {
      misfit(edit, `segment [${next.baseOffset}, ${next.endOffset}) has some of its offsets`)
    }
    if (segment.object !== null) this.#name(edit, segment.object)
    segments.insert(segment)
  }

  #name(edit: ManifestEdit, { object }: Location): void {
    const { unnamed } = this.#head
    if (unnamed?.has(object) === true) this.#setUnnamed(edit, applyNaming(unnamed, object))
  }

  #setUnnamed(edit: ManifestEdit, unnamed: UnnamedObjects | string): void {
    if (typeof unnamed === 'string') return misfit(edit, unnamed)
    const { unnamed: _before, ...head } = this.#head
    this.#head = unnamed.size === 0 ? head : { ...head, unnamed }
  }

  #copySegment(edit: Edit<'segment-copied'>): void {
    const { segments, found } = this.#segment(edit)
    const present = found.entry[edit.tier]
    if (edit.location.length !== found.entry.length)
      misfit(edit, `a copy has the length ${found.entry.length}`)
    if (present !== null && !sameLocation(present, edit.location))
      misfit(edit, `it has a copy in ${present.object}`)
    if (edit.tier === 'object') this.#name(edit, edit.location)
    segments.replace(found, { ...found.entry, [edit.tier]: edit.location })
  }

  #dropCopy(edit: Edit<'segment-copy-dropped'>): void {
    const { segments, found } = this.#segment(edit)
    if (found.entry[edit.tier] === null) misfit(edit, `it has no copy on tier ${edit.tier}`)
    const left = { ...found.entry, [edit.tier]: null }
    if (left.disk === null && left.object === null) segments.remove(found)
    else segments.replace(found, left)
  }

  #moveStart(edit: Edit<'start-moved'>): void {
    const { startOffset } = edit
    const { log, partition } = this.#partition(edit, edit)
    if (startOffset <= partition.startOffset)
      misfit(edit, `the partition starts at ${partition.startOffset}`)
    const retired = takeUpTo(this.#segments(log, edit.partition), 0, startOffset)
    const end = retired.at(-1)?.endOffset ?? 0
    if (end > startOffset) misfit(edit, `the segment that ends at ${end} would be cut`)
    this.#retire(edit, edit, retired, edit.retiredAt)
    const moved = this.#partition(edit, edit).partition
    log.partitions[edit.partition] = { ...moved, startOffset }
  }

  #replaceSegments(edit: Edit<'segments-replaced'>): void {
    const { segment, retiredAt } = edit
    const { log } = this.#partition(edit, edit)
    const segments = this.#segments(log, edit.partition)
    const replaced = takeUpTo(segments, segment.baseOffset, segment.endOffset)
    let next = segment.baseOffset
    for (const { baseOffset, endOffset } of replaced) {
      if (baseOffset !== next) misfit(edit, `no segment holds ${next}`)
      next = endOffset
    }
    if (next !== segment.endOffset || replaced.length === 0)
      misfit(edit, `segments end at ${next}, not at ${segment.endOffset}`)
    this.#retire(edit, edit, replaced, retiredAt)
    this.#addSegment({ ...edit, kind: 'segment-added' })
  }

  /** Keeps the object copies of `segments` in mind; where `retiredAt` is null nothing. */
  #retire(
    edit: ManifestEdit,
    place: { readonly logId: number; readonly partition: number },
    segments: readonly SegmentEntry[],
    retiredAt: number | null,
  ): void {
    const { log, partition } = this.#partition(edit, place)
    if (retiredAt === null) return
    const kept = segments.flatMap((segment) =>
      segment.object === null ? [] : [{ segment: { ...segment, disk: null }, retiredAt }],
    )
    if (kept.length === 0) return
    log.partitions[place.partition] = {
      ...partition,
      retired: [...(partition.retired ?? []), ...kept],
    }
  }

  #forgetRetired(edit: Edit<'segments-collected'>): void {
    const { log, partition } = this.#partition(edit, edit)
    const places = new Set(edit.locations.map(placeName))
    const { retired = [], ...rest } = partition
    const left = retired.filter(
      ({ segment }) => segment.object === null || !places.delete(placeName(segment.object)),
    )
    const [unknown] = places
    if (unknown !== undefined) misfit(edit, `${unknown} is of no retired segment`)
    log.partitions[edit.partition] = left.length === 0 ? rest : { ...rest, retired: left }
  }

  #partition(
    edit: ManifestEdit,
    place: { readonly logId: number; readonly partition: number },
  ): { readonly log: OwnedLog; readonly partition: PartitionState } {
    const log = this.#log(edit, place.logId)
    const partition = log.partitions[place.partition]
    if (partition === undefined) return misfit(edit, `there is no partition ${place.partition}`)
    return { log, partition }
  }

  #noteProducers(edit: Edit<'producers-noted'>): void {
    const log = this.#log(edit, edit.logId)
    const partition = log.partitions[edit.partition]
    if (partition === undefined) return misfit(edit, `there is no partition ${edit.partition}`)
    const producers = new Map(partition.producers)
    for (const id of edit.forgotten) producers.delete(id)
    for (const producer of edit.producers) producers.set(producer.producerId, producer)
    if (producers.size > PRODUCERS_MAX) misfit(edit, `a partition has ${PRODUCERS_MAX} producers`)
    log.partitions[edit.partition] = { ...partition, producers }
  }

  #setDenseFrom(edit: Edit<'offsets-dense-from'>): void {
    const log = this.#log(edit, edit.logId)
    const partition = log.partitions[edit.partition]
    if (partition === undefined) return misfit(edit, `there is no partition ${edit.partition}`)
    // The start may have moved past it.
    if (edit.offset < (partition.denseFrom ?? 0)) misfit(edit, 'it moves forward only')
    log.partitions[edit.partition] = { ...partition, denseFrom: edit.offset }
  }

  /** The segment that an edit names by its base offset. */
  #segment(edit: Edit<'segment-copied'> | Edit<'segment-copy-dropped'>): {
    readonly segments: SegmentEntriesEditor
    readonly found: FoundSegment
  } {
    const log = this.#log(edit, edit.logId)
    if (log.partitions[edit.partition] === undefined)
      misfit(edit, `there is no partition ${edit.partition}`)
    const segments = this.#segments(log, edit.partition)
    const found = segments.at(edit.baseOffset)
    if (found?.entry.baseOffset !== edit.baseOffset)
      return misfit(edit, `no segment begins at ${edit.baseOffset}`)
    return { segments, found }
  }

  #log(edit: ManifestEdit, id: number): OwnedLog {
    const owned = this.#owned.get(id)
    if (owned !== undefined) return owned
    const state = this.#changed.has(id) ? undefined : this.#logs.get(id)
    if (state === undefined) return misfit(edit, `there is no log ${id}`)
    const log: OwnedLog = { state, partitions: [...state.partitions], segments: new Map() }
    this.#owned.set(id, log)
    return log
  }

  #segments(log: OwnedLog, number: number): SegmentEntriesEditor {
    let editor = log.segments.get(number)
    if (editor === undefined) {
      editor = new SegmentEntriesEditor(log.partitions[number]?.segments ?? SegmentEntries.empty)
      log.segments.set(number, editor)
    }
    return editor
  }

  #ownSnapshots(): Map<string, Snapshot> {
    this.#snapshots ??= new Map(this.#head.snapshots)
    return this.#snapshots
  }
}

const NONE_UNNAMED: UnnamedObjects = new Map()

type Edit<K extends ManifestEdit['kind']> = Extract<ManifestEdit, { readonly kind: K }>

/** Takes out the segments that hold some offset of `[from, to)`, in order. */
function takeUpTo(segments: SegmentEntriesEditor, from: number, to: number): SegmentEntry[] {
  const taken: SegmentEntry[] = []
  for (let found = segments.at(from); found !== null; found = segments.at(from)) {
    if (found.entry.baseOffset >= to) break
    taken.push(found.entry)
    segments.remove(found)
  }
  return taken
}

function without<Value>(map: ReadonlyMap<number, Value>, key: number): ReadonlyMap<number, Value> {
  if (!map.has(key)) return map
  const copy = new Map(map)
  copy.delete(key)
  return copy
}

function misfit(edit: ManifestEdit, reason: string): never {
  throw new StratalogError(
    'manifest_corrupt',
    `The manifest edit '${edit.kind}' does not fit: ${reason}.`,
    { details: { edit, reason } },
  )
}
