/**
 * The archive of a directory that is not its writer: of one that was restored without its bytes, or is read beside its
 * engine. The archive's engine goes on, so objects that the directory counts on may be merged with others, or retired,
 * and collected an hour later. Where one is gone, the archive's newest manifest says what holds its records.
 *
 * It is read with the first object that is gone; with each other one it is asked whether there are newer commits.
 */
import { StratalogError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { ManifestState, SegmentEntry } from '../format/manifest.ts'
import type { ArchiveBytes } from '../log/archive-view.ts'
import type { LiveLog } from '../log/live-log.ts'
import { manifestFilesInStore } from '../log/manifest-files.ts'
import { ManifestStore } from '../log/manifest-store.ts'
import type { SegmentPlace, SuccessorLookup } from '../log/pinned-segment.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { type Succession, successionOf } from '../log/segment-successor.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Closers } from './closers.ts'
import type { SourceArchive } from '../tiering/context.ts'

export interface ReadArchiveOptions {
  readonly store: ObjectStore
  /** Of the directory; an archive of another engine explains nothing. */
  readonly manifest: Pick<ManifestStore, 'state'>
  readonly clock: Clock
  readonly logger: Logger
  readonly logOf: (logId: number) => LiveLog | undefined
}

export function openReadArchive(options: ReadArchiveOptions, closers: Closers): ReadArchive {
  const archive = new ReadArchive({ ...options, logger: options.logger.child('archive') })
  closers.push(() => archive.close())
  return archive
}

class ReadArchive implements SourceArchive {
  readonly store: ObjectStore
  readonly #options: ReadArchiveOptions
  #manifest: Promise<ManifestStore> | null = null

  constructor(options: ReadArchiveOptions) {
    this.store = options.store
    this.#options = options
  }

  async succession(place: SegmentPlace, segment: SegmentEntry): Promise<Succession> {
    const isFirst = this.#manifest === null
    const manifest = await this.#open()
    return this.#look(isFirst ? manifest.state : await manifest.refresh(), place, segment)
  }

  /** For readers: where the records are, and why they are nowhere. */
  lookup(archiveBytes: ArchiveBytes): SuccessorLookup {
    return async (place, segment) => {
      const found = await this.succession(place, segment)
      if (found.kind === 'gone') return null
      if (found.kind !== 'moved') throw this.#lost(found.kind, segment)
      const { object } = found.segment
      if (object === null) return null
      return { segment: found.segment, bytes: archiveBytes(found.segment, object) }
    }
  }

  async close(): Promise<void> {
    const manifest = await this.#manifest?.catch(() => null)
    await manifest?.close()
  }

  async #open(): Promise<ManifestStore> {
    const { store, clock, logger } = this.#options
    this.#manifest ??= ManifestStore.open(manifestFilesInStore(store), { clock, logger })
    try {
      return await this.#manifest
    } catch (error) {
      this.#manifest = null
      throw error
    }
  }

  #look(
    state: ManifestState,
    { logId, partition }: SegmentPlace,
    segment: SegmentEntry,
  ): Succession {
    const log = this.#options.logOf(logId)
    const own = log?.partitions[partition]?.segments
    if (
      log === undefined ||
      own === undefined ||
      state.engineId !== this.#options.manifest.state.engineId
    )
      return { kind: 'gone' }
    // What a fork shares lies where its source has it, who may have merged it.
    const owner = ownerOf(log.definition, partition, segment).logId
    const held = state.logs.get(logId) ?? state.logs.get(owner)
    return successionOf(held?.partitions[partition], own, segment)
  }

  #lost(kind: 'retired' | 'superseded', segment: SegmentEntry): StratalogError {
    const { baseOffset, endOffset, object } = segment
    const why =
      kind === 'retired'
        ? 'its engine has retired them since'
        : 'its engine has let old versions go since, for newer versions of their keys that this directory does not have'
    return new StratalogError(
      'object_not_found',
      `${this.store.url} has offsets ${baseOffset} to ${endOffset} no more: ${why}. Restore the archive again, into a new directory; a named snapshot keeps what it holds, and an eager restore needs the archive no more.`,
      {
        details: {
          url: this.store.url,
          key: object?.object,
          from: baseOffset,
          to: endOffset,
          why: kind,
        },
      },
    )
  }
}
