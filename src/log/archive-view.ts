/**
 * An archive, read without the engine that wrote it: the bucket says by itself which logs and snapshots it holds, and a
 * LogView of any of them reads straight from the store.
 *
 * What is opened is one commit of the archive's manifest. Objects are never changed, so the view stays right while the
 * engine goes on writing.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import { type Logger, silentLogger } from '../base/logger.ts'
import { type Identity, decodeIdentity } from '../format/identity.ts'
import type {
  Location,
  LogState,
  ManifestState,
  PartitionState,
  SegmentEntry,
  Snapshot,
} from '../format/manifest.ts'
import { IDENTITY_FILE } from '../format/paths.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { ColdTerms } from './cold-terms.ts'
import { GapHistory } from './gap-history.ts'
import { segmentsHolding } from './held-segments.ts'
import type { LogView, PartitionView, SegmentBytes, SegmentSource, ViewSource } from './log-view.ts'
import { loadManifest } from './manifest-chain.ts'
import { manifestFilesInStore } from './manifest-files.ts'
import { isWhole, unreadableSource } from './pinned-segment.ts'
import { bytesInStore } from './segment-copies.ts'

/** Offsets of one partition that a view is cut to: `[startOffset, endOffset)`. */
export interface PartitionBounds {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
}

/** How the bytes of an archived segment are read. */
export type ArchiveBytes = (segment: SegmentEntry, location: Location) => SegmentBytes

/** When records expire. */
export interface Expiry {
  /** Engine clock, ms. */
  readonly now: () => number
  readonly of: (logId: number, partition: number) => ColdTerms | undefined
}

/** Names listed to say what is there instead of an archive. */
const FOUND_NAMES_MAX = 3

/**
 * Opens an archive for reading; writes nothing.
 * @throws StratalogError `archive_not_found` saying what is there instead, `manifest_corrupt`, `format_unsupported`,
 * and what the store throws.
 */
export async function openArchive(
  store: ObjectStore,
  options: { readonly logger?: Logger; readonly bytesOf?: ArchiveBytes } = {},
): Promise<Archive> {
  const { position } = await loadManifest(
    manifestFilesInStore(store),
    options.logger ?? silentLogger,
  )
  const identity = await identityOf(store)
  if (identity?.kind === 'directory') throw directoryFound(store, identity, position.state)
  if (position.number === 0) throw await notFound(store)
  checkIdentity(store, identity, position.state)
  return new Archive(store, position.number, position.state, options.bytesOf)
}

export class Archive {
  readonly store: ObjectStore
  /** The commit of the manifest that was opened. */
  readonly number: number
  readonly state: ManifestState
  readonly bytesOf: ArchiveBytes
  /** Null: views show what has expired too. */
  #expiry: Expiry | null = null

  constructor(
    store: ObjectStore,
    number: number,
    state: ManifestState,
    bytesOf: ArchiveBytes = (_, location) => bytesInStore(store, location),
  ) {
    this.bytesOf = bytesOf
    this.store = store
    this.number = number
    this.state = state
  }

  get url(): string {
    return this.store.url
  }

  /** By name; without those that were deleted and are there for snapshots. */
  get logs(): readonly LogState[] {
    return [...this.state.logs.values()]
      .filter(({ deletedAt }) => deletedAt === undefined)
      .sort((a, b) => (a.definition.name < b.definition.name ? -1 : 1))
  }

  /** Oldest first. */
  get snapshots(): readonly Snapshot[] {
    return [...this.state.snapshots.values()].sort((a, b) => a.time - b.time)
  }

  /** @throws StratalogError `log_not_found` naming the logs there are. */
  log(name: string): LogState {
    const { logs } = this
    const log = logs.find((candidate) => candidate.definition.name === name)
    if (log !== undefined) return log
    const names = logs.map((candidate) => candidate.definition.name)
    throw new StratalogError(
      'log_not_found',
      `${this.url} holds no log '${name}'; it holds ${listed(names)}.`,
      {
        details: { log: name, logs: names },
      },
    )
  }

  /** By id, or by name, of which the newest counts. @throws StratalogError `snapshot_not_found`. */
  snapshot(nameOrId: string): Snapshot {
    const snapshot = findSnapshot(this.state, nameOrId)
    if (snapshot === null) throw snapshotNotFound(this.state, nameOrId)
    return snapshot
  }

  /** A log as it lies in the archive: whole, or cut to the offsets that `bounds` names. */
  view(log: LogState, bounds?: readonly PartitionBounds[]): LogView {
    const view = viewOfLog(log, bounds, (segment) => {
      if (segment.object === null) return null
      return { tier: 'object', bytes: this.bytesOf(segment, segment.object) }
    })
    return this.#expiry === null ? view : withoutExpired(view, this.#expiry)
  }

  /** From here on views leave out what is over. */
  expire(expiry: Expiry): void {
    this.#expiry = expiry
  }

  /** Views of the named logs; of all, in the order of names, when none are named. @throws `log_not_found`. */
  views(names?: readonly string[]): readonly LogView[] {
    const logs = names === undefined ? this.logs : names.map((name) => this.log(name))
    return logs.map((log) => this.view(log))
  }
}

/** By id, or by name, of which the newest counts. */
export function findSnapshot({ snapshots }: ManifestState, nameOrId: string): Snapshot | null {
  const named = [...snapshots.values()].findLast(({ name }) => name === nameOrId)
  return snapshots.get(nameOrId) ?? named ?? null
}

export function snapshotNotFound({ snapshots }: ManifestState, nameOrId: string): StratalogError {
  const names = [...snapshots.values()].map(({ name }) => name)
  return new StratalogError(
    'snapshot_not_found',
    `There is no snapshot '${nameOrId}' in the archive; it holds ${listed(names)}.`,
    { details: { snapshot: nameOrId, snapshots: names } },
  )
}

/**
 * A view of a log that lies in segments only. `copyOf` names the copy to read; a segment without one is a gap.
 * Bounds may reach beyond what there is: then the rest is a gap too, and not silently missing.
 */
export function viewOfLog(
  log: LogState,
  bounds: readonly PartitionBounds[] | undefined,
  copyOf: (segment: SegmentSource['segment']) => Pick<SegmentSource, 'tier' | 'bytes'> | null,
): LogView {
  const cuts = bounds ?? log.partitions.map(wholePartition)
  const schema = log.schemas.at(-1) ?? { id: 0, fields: [] }
  return {
    definition: log.definition,
    schema,
    schemas: log.schemas,
    partitions: cuts.map((cut) => viewOfPartition(log.partitions[cut.partition], cut, copyOf)),
    release: () => {},
  }
}

function viewOfPartition(
  state: PartitionState | undefined,
  cut: PartitionBounds,
  copyOf: (segment: SegmentSource['segment']) => Pick<SegmentSource, 'tier' | 'bytes'> | null,
): PartitionView {
  const sources: SegmentSource[] = []
  const held = state === undefined ? [] : segmentsHolding(state, cut.startOffset, cut.endOffset)
  for (const segment of held) {
    const from = Math.max(segment.baseOffset, cut.startOffset)
    const to = Math.min(segment.endOffset, cut.endOffset)
    const copy = from < to ? copyOf(segment) : null
    if (copy !== null) sources.push({ ...copy, segment, from, to })
  }
  return { ...cut, sources }
}

function withoutExpired(view: LogView, { now, of }: Expiry): LogView {
  const partitions = view.partitions.map((part): PartitionView => {
    const terms = of(view.definition.id, part.partition)
    if (terms === undefined) return part
    const gaps = new GapHistory()
    const sources = part.sources.flatMap((source): readonly ViewSource[] => {
      if (source.tier === 'memory') return [source]
      const held = { start: source.from, end: source.to }
      const liveNow = (): readonly Range[] => terms.liveRanges(held, now(), gaps)
      const unknown = terms.unknown(source.segment)
      if (unknown !== null)
        return [unreadableSource(source, unknown, terms, () => isWhole(liveNow(), held))]
      return liveNow().map(({ start: from, end: to }) => ({ ...source, from, to }))
    })
    return { ...part, sources, gaps }
  })
  return { ...view, partitions }
}

/** All that a partition holds: from its start to the end of its last segment. */
export function wholePartition(state: PartitionState, partition: number): PartitionBounds {
  const { startOffset, segments } = state
  return { partition, startOffset, endOffset: segments.at(-1)?.endOffset ?? startOffset }
}

/** Null where there is none: a lost identity is no loss of data. */
async function identityOf(store: ObjectStore): Promise<Identity | null> {
  try {
    return decodeIdentity(await store.get(IDENTITY_FILE), store.url)
  } catch (error) {
    if (isStratalogError(error) && error.code === 'object_not_found') return null
    throw error
  }
}

function directoryFound(
  { url }: ObjectStore,
  { engineId }: Identity,
  { archive }: ManifestState,
): StratalogError {
  const noted = archive === undefined ? 'the URL of its archive' : archive.url
  return new StratalogError(
    'archive_not_found',
    `${url} is the data directory of engine ${engineId}, and no archive. Name it as dataDir (--data-dir), or name ${noted} here.`,
    { details: { url, engineId, found: 'directory' } },
  )
}

/** One of something else means that two things lie in one place. */
function checkIdentity(
  { url }: ObjectStore,
  identity: Identity | null,
  { engineId }: ManifestState,
): void {
  if (identity === null || identity.engineId === engineId) return
  throw new StratalogError(
    'archive_not_found',
    `${url} is an archive of engine ${identity.engineId} by its ${IDENTITY_FILE}, and of engine ${engineId} by its manifest: files of two archives lie in one place. Bring back those that belong together, or name another place.`,
    { details: { url, identity, engineId } },
  )
}

async function notFound(store: ObjectStore): Promise<StratalogError> {
  const found: string[] = []
  let isMore = false
  for await (const { key } of store.list('')) {
    isMore = found.length === FOUND_NAMES_MAX
    if (isMore) break
    found.push(key)
  }
  const things = found.length === 0 ? 'nothing' : `${found.join(', ')}${isMore ? ' and more' : ''}`
  return new StratalogError(
    'archive_not_found',
    `${store.url} is not an archive: there is no manifest; found ${things}.`,
    { details: { url: store.url, found } },
  )
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}
