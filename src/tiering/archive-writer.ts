/**
 * The engine's side of its archive: one object store, one manifest in it, one writer at a time.
 *
 * Invariants: a segment's object is in the store, which has said its checksum, right before the archive's manifest
 * names it; it was read back before any other copy of its records goes; the manifest in the archive knows a log and its
 * schemas before it knows a segment of them. So whatever the manifest says can be restored from the bucket alone.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import { sha256Hex } from '../storage/checksum.ts'
import {
  type Location,
  type ManifestEdit,
  type ManifestState,
  type SegmentEntry,
  isDeletedLog,
} from '../format/manifest.ts'
import { IdRanges } from '../format/id-ranges.ts'
import { packPath } from '../format/paths.ts'
import { type ProducerState, producersAsOf } from '../format/producer.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import type { LiveLog } from '../log/live-log.ts'
import { logDeleted } from '../log/log-deleted.ts'
import type { EditsOrMaker, ManifestStore } from '../log/manifest-store.ts'
import { sharedEnd } from '../log/segment-origin.ts'
import { producerEdits } from '../log/producer-table.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { commitAll } from './commit-all.ts'
import { hasSegment, notedIn } from './committed.ts'
import { type Round, meetIn } from './round.ts'

export interface ArchiveWriterOptions {
  readonly store: ObjectStore
  /** Opens the archive's manifest as its writer: creates it, or claims it for the next epoch. */
  readonly openManifest: () => Promise<ManifestStore>
  readonly clock: Clock
  /** Ids of the logs that were deleted where the archive is written from; left out where none ever was before it. */
  readonly deletedLogIds?: () => IdRanges
}

/** A segment that the archive gets, of a log. */
export interface AddedSegment {
  readonly partition: number
  readonly segment: SegmentEntry
}

export interface ArchivedSegment extends AddedSegment {
  readonly log: LiveLog
  /** Of the partition, as of the end of the segment or later. */
  readonly producers: readonly ProducerState[]
}

export class ArchiveWriter {
  readonly store: ObjectStore
  /** Keys of objects that were found to be damaged or missing: a segment that is put there again replaces them. */
  readonly damaged: Set<string> = new Set<string>()
  readonly #openManifest: () => Promise<ManifestStore>
  readonly #clock: Clock
  readonly #deletedLogIds: () => IdRanges
  /** Of those that may be deleted without the archive's knowing; null before somebody asked. */
  #untold: Set<number> | null = null
  readonly #opening = new Mutex()
  #manifest: ManifestStore | null = null

  constructor(options: ArchiveWriterOptions) {
    this.store = options.store
    this.#openManifest = options.openManifest
    this.#clock = options.clock
    this.#deletedLogIds = options.deletedLogIds ?? (() => IdRanges.empty)
  }

  /** The archive's manifest, opened at the first use; a store that was away is tried again at the next. */
  manifest(): Promise<ManifestStore> {
    return this.#opening.run(async () => (this.#manifest ??= await this.#openManifest()))
  }

  /** What the archive is known to hold; null while it was not reached yet. */
  get state(): ManifestState | null {
    return this.#manifest?.state ?? null
  }

  /** Whether there may be logs that were deleted and that the archive does not know to be. */
  get isUntold(): boolean {
    const state = this.#manifest?.state
    return state === undefined ? this.#deletedLogIds().size > 0 : this.#deletions(state).length > 0
  }

  /** Commits that logs were deleted: this one, and those that it was not told of. @throws what the store throws. */
  async tellDeleted(logId?: number): Promise<void> {
    const untold = this.#untoldIn((await this.manifest()).state)
    if (logId !== undefined) untold.add(logId)
    await this.commitEdits((state) => this.#deletions(state))
    const { state, isSure } = this
    if (state === null || !isSure) return
    for (const id of untold) if (isDeletedLog(state, id)) untold.delete(id)
  }

  #deletions(state: ManifestState): readonly ManifestEdit[] {
    const deletedAt = this.#clock.now()
    return [...this.#untoldIn(state)]
      .filter((logId) => !isDeletedLog(state, logId))
      .map((logId) => ({ kind: 'log-deleted', logId, deletedAt }))
  }

  #untoldIn(state: ManifestState): Set<number> {
    this.#untold ??= new Set(
      [...this.#deletedLogIds()].filter((logId) => !isDeletedLog(state, logId)),
    )
    return this.#untold
  }

  /** Whether the key is one of an object that is removed, as far as the archive is known: no segment may have it. */
  isDoomed(key: string): boolean {
    return this.state?.unnamed?.get(key)?.isDoomed === true
  }

  /**
   * Puts a segment under its content-derived key and reads length and checksum back from the store. Where that is done
   * later, before any other copy goes, and the answer to the put says the checksum of what the store holds, that is
   * enough for now. What was there already is read back always.
   */
  async putSegment(
    key: string,
    bytes: Uint8Array,
    sha256: string,
    { isProvenLater = false }: { readonly isProvenLater?: boolean } = {},
  ): Promise<void> {
    if (this.isDoomed(key))
      throw new StratalogError(
        'object_exists',
        `${key} was left over from a crash and is removed; nothing is put there again.`,
        { details: { key } },
      )
    let stored: string | null = null
    try {
      const ifAbsent = !this.damaged.has(key)
      stored = (await this.store.put(key, bytes, { ifAbsent, checksum: isProvenLater })).sha256
    } catch (error) {
      const isThere = error instanceof StratalogError && error.code === 'object_exists'
      if (!isThere) throw error
    }
    if (isProvenLater && stored === sha256) return
    await this.verify(key, bytes.length, sha256)
    this.damaged.delete(key)
  }

  /**
   * Commits segments with the logs and schemas they need, and the producers as of the last of them, as far as they are
   * known. The disk copy of this machine is not the archive's business.
   */
  commitSegments(added: readonly ArchivedSegment[], round?: Round): Promise<ManifestState> {
    return this.#commit(round, (state) => {
      const edits: ManifestEdit[] = []
      for (const log of new Set(added.map((entry) => entry.log))) {
        const own = added.filter((entry) => entry.log === log)
        edits.push(...this.describe(state, log, own))
      }
      for (const { log, partition, segment, producers } of added) {
        // It was retired while it was on its way.
        if (segment.endOffset <= (log.partitions[partition]?.firstOffset ?? 0)) continue
        // An upload that was committed and then not heard of is tried again.
        if (hasSegment(state, log, partition, segment)) continue
        edits.push({
          kind: 'segment-added',
          logId: log.id,
          partition,
          segment: { ...segment, disk: null },
        })
        const last = added.findLast((entry) => entry.log === log && entry.partition === partition)
        if (last?.segment !== segment) continue
        const known = producersAsOf(producers, segment.endOffset)
        edits.push(...producerEdits(log.id, partition, notedIn(state, log, partition), known))
      }
      return edits
    })
  }

  /**
   * Commits a snapshot of `logs`, or those of them that are there still; `make` gives its edits for the state and the
   * edits that come before them.
   * `added` says which segments of a log are among them.
   */
  async commitSnapshot(
    logs: readonly LiveLog[],
    make: (state: ManifestState, described: readonly ManifestEdit[]) => readonly ManifestEdit[],
    added: (log: LiveLog) => readonly AddedSegment[] = () => [],
  ): Promise<void> {
    const manifest = await this.manifest()
    await manifest.commit((state) => {
      const there = logs.filter((log) => isThere(state, log))
      const described = [
        ...this.#deletions(state),
        ...there.flatMap((log) => this.describe(state, log, added(log))),
      ]
      return [...described, ...make(state, described)]
    })
  }

  /**
   * Edits that bring the archive's idea of a log up to date: its definition, policy, schemas and where it begins to
   * have no holes. Of the schemas those that its segments use: a newer one may be lost with the machine, and its number
   * given to another.
   * @param added segments that the edits behind these add: RAM may have let go of their records meanwhile.
   * @throws StratalogError `log_deleted`.
   */
  describe(
    state: ManifestState,
    log: LiveLog,
    added: readonly AddedSegment[] = [],
  ): readonly ManifestEdit[] {
    const known = state.logs.get(log.id)
    if (isDeletedLog(state, log.id)) throw logDeleted(log.name)
    const edits: ManifestEdit[] = []
    const startOffsets = log.partitions.map(({ partition, segments, startOffset }) => {
      const own = added.filter((entry) => entry.partition === partition)
      const start = segments.at(0)?.baseOffset ?? startOffset
      return Math.min(start, ...own.map(({ segment }) => segment.baseOffset))
    })
    if (known === undefined) {
      // One that was deleted may have had its name.
      edits.push(...this.#deletions(state))
      edits.push({ kind: 'log-created', log: log.definition, startOffsets })
    } else if (JSON.stringify(known.definition.policy) !== JSON.stringify(log.policy)) {
      edits.push({ kind: 'policy-changed', logId: log.id, policy: log.policy })
    }
    edits.push(...this.#startEdits(state, log))
    for (const { partition, denseFrom, firstOffset } of log.partitions) {
      const there = known?.partitions[partition]
      if (denseFrom === undefined || denseFrom === there?.denseFrom) continue
      // Of what lies before its start a partition says nothing.
      const startOffset = there?.startOffset ?? startOffsets[partition] ?? 0
      if (denseFrom < Math.max(startOffset, firstOffset)) continue
      edits.push({ kind: 'offsets-dense-from', logId: log.id, partition, offset: denseFrom })
    }
    const end = Math.max(log.givenSchemas, ...added.map(({ segment }) => segment.schemaId + 1))
    for (const schema of log.schemas.slice(known?.schemas.length ?? 0, end)) {
      edits.push({ kind: 'schema-added', logId: log.id, schema })
    }
    return edits
  }

  /**
   * Commits that `segment` stands in the place of several.
   * @param check is called right before the commit with the state that it meets. @throws what it throws.
   * @throws StratalogError `archive_diverged` of others.
   */
  commitReplaced(
    log: LiveLog,
    partition: number,
    segments: readonly SegmentEntry[],
    segment: SegmentEntry,
    round?: Round,
    check: (state: ManifestState) => void = () => {},
  ): Promise<ManifestState> {
    return this.#commit(round, (state) => {
      // A commit that was answered with an error may have been done.
      if (hasSegment(state, log, partition, segment)) return []
      check(state)
      const place = { logId: log.id, partition }
      const retiredAt = this.#clock.now()
      const copy = { ...segment, disk: null }
      if (segments.every((entry) => hasSegment(state, log, partition, entry)))
        return [{ kind: 'segments-replaced', ...place, segment: copy, retiredAt }]
      throw new StratalogError(
        'archive_diverged',
        `The archive has other segments of log '${log.name}', partition ${partition} than were compacted. Close the engine and open it again: then both are compared.`,
        { details: { ...place, from: segment.baseOffset, to: segment.endOffset } },
      )
    })
  }

  /**
   * Commits where the partitions of a log begin, as far as the archive knows of the log, and of a fork the segments
   * that it shares and the archive has objects of.
   */
  async commitStarts(log: LiveLog, round?: Round): Promise<void> {
    await this.#commit(round, (state) => {
      const shared = sharedEdits(state, log)
      if (shared.length === 0) return this.#startEdits(state, log)
      return [...this.describe(state, log, shared), ...shared]
    })
  }

  #commit(round: Round | undefined, edits: EditsOrMaker): Promise<ManifestState> {
    return meetIn(round, 'archive', edits, (all) => commitAll(this.manifest(), all))
  }

  /** Commits what `make` gives for the state that it will meet; nothing where it gives nothing. */
  async commitEdits(make: (state: ManifestState) => readonly ManifestEdit[]): Promise<void> {
    const manifest = await this.manifest()
    await manifest.commit(make)
  }

  /** Whether what is known of the archive is all there is. */
  get isSure(): boolean {
    return this.#manifest?.isSure ?? false
  }

  /** When this was surely its writer, on the monotonic clock; null while it was not reached yet. */
  get provenAt(): number | null {
    return this.#manifest?.provenAt ?? null
  }

  /** Asks it, once it was reached, whether this still is its writer. @throws StratalogError `writer_fenced`. */
  async prove(): Promise<void> {
    await this.#manifest?.refresh()
  }

  /** Makes sure of it. @throws StratalogError what the store throws. */
  async settle(): Promise<void> {
    await (await this.manifest()).settle()
  }

  /** Whether the archive surely has none of the records of `segments`: nobody sees what becomes of them on disk. */
  lacks(log: LiveLog, partition: number, segments: readonly SegmentEntry[]): boolean {
    const manifest = this.#manifest
    const known = manifest === null ? null : notedIn(manifest.state, log, partition)?.segments
    return (
      this.isSure &&
      segments.every(({ baseOffset, endOffset }) => {
        const next = known?.at(known.indexAt(baseOffset))
        return next === undefined || next.baseOffset >= endOffset
      })
    )
  }

  /** Whether the archive, as far as it is known, has segments before the partition's start. */
  isBehind(log: LiveLog, partition: number): boolean {
    const { state } = this
    if (state === null) return false
    return startOf(state, log, partition) !== null || sharedEdits(state, log).length > 0
  }

  #startEdits(state: ManifestState, log: LiveLog): readonly ManifestEdit[] {
    return log.partitions.flatMap(({ partition }) => {
      const startOffset = startOf(state, log, partition)
      if (startOffset === null) return []
      const place = { logId: log.id, partition, startOffset }
      return [{ kind: 'start-moved' as const, ...place, retiredAt: this.#clock.now() }]
    })
  }

  async close(): Promise<void> {
    await this.store.close()
  }

  /** Whether a pack is in the store as it was put, which its name says, and has room for what lies there. */
  async hasPack({ object, position, length }: Location): Promise<boolean> {
    if (this.isDoomed(object)) return false
    const head = await this.store.head(object)
    if (head === null || head.length < position + length) return false
    return packPath(head.sha256 ?? (await sha256Hex(await this.store.get(object)))) === object
  }

  /**
   * Existence is not evidence: the length and checksum come from the store, or the bytes are fetched and hashed.
   * @throws StratalogError `object_corrupt`.
   */
  async verify(key: string, length: number, sha256: string): Promise<void> {
    const head = await this.store.head(key)
    const stored =
      head?.sha256 ?? (head === null ? null : await sha256Hex(await this.store.get(key)))
    if (head !== null && head.length === length && stored === sha256) return
    throw new StratalogError('object_corrupt', `${key} does not hold what was put there.`, {
      details: {
        key,
        expected: { length, sha256 },
        found: { length: head?.length ?? null, sha256: stored },
      },
    })
  }
}

/** Whether a log was neither detached nor deleted, here or in the archive. */
export function isThere(state: ManifestState, log: LiveLog): boolean {
  return log.closed === null && !isDeletedLog(state, log.id)
}

type AddedEdit = Extract<ManifestEdit, { readonly kind: 'segment-added' }>

/** What was found to be missing of a list, beside which list of the archive: lists do not change. */
const missing = new WeakMap<
  SegmentEntries,
  { readonly there: SegmentEntries; readonly edits: readonly AddedEdit[] }
>()

/** Segments that a fork shares and has object copies of, and that the archive does not know to be its. */
function sharedEdits(state: ManifestState, log: LiveLog): readonly AddedEdit[] {
  if (log.definition.origins === undefined) return []
  return log.partitions.flatMap(({ partition, segments }) => {
    const there = notedIn(state, log, partition)?.segments ?? SegmentEntries.empty
    const found = missing.get(segments)
    if (found?.there === there) return found.edits
    const edits: AddedEdit[] = []
    const end = sharedEnd(log.definition, partition)
    for (const segment of segments) {
      if (segment.baseOffset >= end) break
      if (segment.object === null || there.startingAt(segment.baseOffset) !== undefined) continue
      const copy = { ...segment, disk: null }
      edits.push({ kind: 'segment-added', logId: log.id, partition, segment: copy })
    }
    missing.set(segments, { there, edits })
    return edits
  })
}

/** Where the archive's part of a partition is to begin, which is where a segment does; null: where it does now. */
function startOf(state: ManifestState, log: LiveLog, partition: number): number | null {
  const known = notedIn(state, log, partition)
  const wanted = log.partitions[partition]?.firstOffset ?? 0
  if (known === undefined || known.startOffset >= wanted) return null
  const cut = known.segments.at(known.segments.indexAt(wanted))
  const startOffset = Math.min(wanted, cut?.baseOffset ?? wanted)
  return startOffset > known.startOffset ? startOffset : null
}
