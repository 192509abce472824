/**
 * Whether the WAL of a directory and the segments that only the archive has tell one history. Another machine that went
 * on with the archive gave the same offsets to other records, and those of the WAL were acknowledged as well. So they
 * are held against each other, record by record: neither times nor numbers of records tell two machines apart.
 */
import { isDeepStrictEqual } from 'node:util'
import { type StratalogError, isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { type ColumnReader, columnReader } from '../format/column-values.ts'
import type { LogState, ManifestState } from '../format/manifest.ts'
import { type RecordBatch, endOffset } from '../format/record-batch.ts'
import type { Schema } from '../format/schema.ts'
import type { WalFrame } from '../format/wal-frame.ts'
import {
  appendPayloadSchemaId,
  decodeAppendPayload,
  decodeSchemaPayload,
} from '../format/wal-payload.ts'
import { WAL_DIRECTORY } from '../format/paths.ts'
import { viewOfLog } from '../log/archive-view.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import type { LogView } from '../log/log-view.ts'
import { type ReadItem, readPartition } from '../log/view-reader.ts'
import { readWal } from '../log/wal-scan.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { divergedFromArchive } from './archive-diverged.ts'
import type { OpenedDirectory } from './open-directory.ts'

export interface WalPlace {
  readonly directory: Pick<OpenedDirectory, 'dataDir' | 'engineId' | 'manifest'>
  /** The directory's files, as the WAL is read. */
  readonly fileSystem: SyncFileSystem
  readonly logger: Logger
}

/**
 * To be asked before the archive is claimed: its writer goes on where this directory is refused. `state` is what the
 * directory would hold with what it pulled from the archive. @throws StratalogError `archive_diverged`, and what the
 * archive throws; of what is damaged recovery and readers say it.
 */
export async function assertSameHistory(
  place: WalPlace,
  state: ManifestState,
  store: ObjectStore,
): Promise<void> {
  const logs = new Map<number, ComparedLog>()
  try {
    await compareFrames(place, (logId) => {
      const known = state.logs.get(logId)
      if (known === undefined) return null
      const log = logs.get(logId) ?? new ComparedLog(known, store)
      logs.set(logId, log)
      return log
    })
  } catch (error) {
    if (!isStratalogError(error) || error.kind !== 'corrupt') throw error
    place.logger.warn('The WAL and the archive could not be compared: one of them is damaged.', {
      reason: error.message,
    })
  } finally {
    for (const log of logs.values()) await log.end()
  }
}

async function compareFrames(
  { directory: { dataDir, engineId, manifest }, fileSystem }: WalPlace,
  logOf: (logId: number) => ComparedLog | null,
): Promise<void> {
  const { walLsn: fromLsn, walReached: reachedLsn } = manifest.state
  const onDamaged = (): void => {}
  const options = { engineId, fromLsn, reachedLsn, onDamaged }
  for (const { frame, payload } of readWal(fileSystem, `${dataDir}/${WAL_DIRECTORY}`, options)) {
    const log = logOf(frame.logId)
    if (frame.kind === 'schema') log?.addSchema(decodeSchemaPayload(payload))
    else if (frame.kind === 'append') await log?.compare(frame, payload)
  }
}

class ComparedLog {
  readonly #log: LogState
  readonly #view: LogView
  readonly #schemas: Schema[]
  readonly #partitions = new Map<number, ArchivedRecords>()

  constructor(log: LogState, store: ObjectStore) {
    this.#log = log
    this.#schemas = [...log.schemas]
    this.#view = viewOfLog(log, undefined, (segment) =>
      segment.disk === null && segment.object !== null
        ? { tier: 'object', bytes: bytesInStore(store, segment.object) }
        : null,
    )
  }

  /** A segment says by number which schema it has, and so does a frame. */
  addSchema(schema: Schema): void {
    const known = this.#schemas[schema.id]
    if (known === undefined) this.#schemas.push(schema)
    else if (!isDeepStrictEqual(known.fields, schema.fields))
      throw this.#diverged(`different columns in schema ${schema.id}`, { schemaId: schema.id })
  }

  async compare(frame: WalFrame, payload: Uint8Array): Promise<void> {
    const { partition, baseOffset, recordCount } = frame
    if (!this.#isArchivedOnly(frame)) return
    const schema = this.#schemas[appendPayloadSchemaId(payload)]
    // Recovery says what is wrong with it.
    if (schema === undefined) return
    const rows = payload.subarray(0, payload.length - frame.producerBytes)
    const { columns } = decodeAppendPayload(rows, schema)
    const times = { appendTimeMin: frame.appendTime, appendTimeMax: frame.appendTime }
    const archived = this.#partitions.get(partition) ?? new ArchivedRecords(this.#view, partition)
    this.#partitions.set(partition, archived)
    const own = { schema, baseOffset, length: recordCount, columns, ...times }
    const from = await archived.firstUnlike(own)
    if (from === null) return
    throw this.#diverged(`different records in partition ${partition} from offset ${from} on`, {
      partition,
      from,
    })
  }

  async end(): Promise<void> {
    for (const archived of this.#partitions.values()) await archived.end()
  }

  #isArchivedOnly({ partition, baseOffset, recordCount }: WalFrame): boolean {
    const segments = this.#log.partitions[partition]?.segments
    const segment = segments?.at(segments.indexAt(baseOffset))
    return (
      segment !== undefined &&
      segment.disk === null &&
      segment.object !== null &&
      segment.baseOffset < baseOffset + recordCount
    )
  }

  #diverged(what: string, details: Readonly<Record<string, unknown>>): StratalogError {
    const { id, name } = this.#log.definition
    return divergedFromArchive(`The WAL and the archive have ${what} of log '${name}'.`, {
      logId: id,
      log: name,
      ...details,
    })
  }
}

/** The archived records of a partition, read once from front to back. */
export class ArchivedRecords {
  readonly #view: LogView
  readonly #partition: number
  #items: AsyncGenerator<ReadItem, void, undefined> | null = null
  #batch: RecordBatch | null = null
  /** All before was compared. */
  #end = 0

  constructor(view: LogView, partition: number) {
    this.#view = view
    this.#partition = partition
  }

  /** The first offset under which both have a record, and not the same; null where there is none. */
  async firstUnlike(own: RecordBatch): Promise<number | null> {
    // A WAL that went on after a failure may have records twice.
    let offset = Math.max(own.baseOffset, this.#end)
    while (offset < endOffset(own)) {
      const batch = await this.#batchOf(offset)
      if (batch === null) return null
      offset = Math.max(offset, batch.baseOffset)
      const isSame = comparison(own, batch)
      for (const end = Math.min(endOffset(own), endOffset(batch)); offset < end; offset++)
        if (!isSame(offset - own.baseOffset, offset - batch.baseOffset)) return offset
    }
    this.#end = Math.max(this.#end, endOffset(own))
    return null
  }

  async end(): Promise<void> {
    await this.#items?.return()
  }

  /** The batch that has the offset, or begins behind it. */
  async #batchOf(from: number): Promise<RecordBatch | null> {
    this.#items ??= readPartition(this.#view, this.#partition, { from, onGap: 'skip' })
    while (this.#batch === null || endOffset(this.#batch) <= from) {
      const next = await this.#items.next()
      if (next.done === true) return null
      this.#batch = next.value.batch
    }
    return this.#batch
  }
}

/** Whether a row of one has the values of a row of the other; a column that one has not is null there. */
function comparison(
  one: RecordBatch,
  other: RecordBatch,
): (row: number, otherRow: number) => boolean {
  const readers = readersOf(one)
  const others = readersOf(other)
  const names = [...new Set([...readers.keys(), ...others.keys()])]
  const pairs = names.map((name) => [readers.get(name), others.get(name)] as const)
  return (row, otherRow) =>
    pairs.every(([read, readOther]) =>
      isDeepStrictEqual(read?.(row) ?? null, readOther?.(otherRow) ?? null),
    )
}

function readersOf({ schema, columns }: RecordBatch): ReadonlyMap<string, ColumnReader> {
  return new Map(
    columns.flatMap((column, index) => {
      const field = schema.fields[index]
      return field === undefined ? [] : [[field.name, columnReader(column)] as const]
    }),
  )
}
