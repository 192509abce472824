/**
 * Attach: a log that the archive has and the data directory has not becomes one of its logs, as after a restore: its
 * records are read from the archive, and what is appended goes on behind them. One commit to the local manifest does
 * it: a crash before leaves nothing, and after it all.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import {
  type LogState,
  type ManifestEdit,
  type ManifestState,
  isDeletedLog,
} from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ManifestStore } from '../log/manifest-store.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import { type LogRegistry, logExists } from './log-registry.ts'
import type { SnapshotPlace } from './snapshot-place.ts'
import { assertKeepsAll } from './snapshot-url.ts'

export interface AttachPlaces {
  readonly manifest: ManifestStore
  readonly archive: ArchiveWriter
  readonly registry: LogRegistry
  /** A `snapshotLocation` beside the archive; null without one. */
  readonly place: SnapshotPlace | null
}

/**
 * @throws StratalogError `log_exists`, `log_not_found` with the names that could be attached, `log_name_invalid`,
 * `config_invalid` for one that keeps the latest beside a `snapshotLocation`, and what disk and store throw.
 */
export async function attachLog(
  { manifest, archive, registry, place }: AttachPlaces,
  given: string,
): Promise<LiveLog> {
  const name = parseLogName(given)
  const remote = (await archive.manifest()).state
  if (!registry.reserve(name)) throw logExists(name)
  let isUnknown = false
  try {
    const log = attachable(remote, manifest.state, name)
    if (place !== null) assertKeepsAll([log], place.store.url)
    const { id } = log.definition
    try {
      await manifest.commit((state) => (state.logs.has(id) ? [] : [...attachEdits(log)]))
    } catch (error) {
      // It may have been done. As long as nobody knows, the name is not given to another log.
      isUnknown = true
      await manifest.settle()
      isUnknown = false
      if (!manifest.state.logs.has(id)) throw error
    }
    return registry.add(present(manifest.state.logs.get(id), 'an attached log is committed'))
  } catch (error) {
    if (!isUnknown) registry.release(name)
    throw error
  }
}

function attachable(remote: ManifestState, local: ManifestState, name: string): LogState {
  const names: string[] = []
  let found: LogState | null = null
  for (const [id, log] of remote.logs) {
    if (local.logs.has(id) || log.deletedAt !== undefined || isDeletedLog(local, id)) continue
    names.push(log.definition.name)
    if (log.definition.name === name) found = log
  }
  if (found !== null) return found
  throw new StratalogError(
    'log_not_found',
    `The archive has no log '${name}' that is not of this directory. ${names.length === 0 ? 'There is none to attach.' : `It has ${names.slice(0, 10).join(', ')}.`}`,
    { details: { log: name, attachable: names } },
  )
}

/** All that a data directory has of a log, with its records in the archive. */
export function* attachEdits({
  definition,
  schemas,
  partitions,
}: LogState): Generator<ManifestEdit> {
  const logId = definition.id
  const startOffsets = partitions.map(({ startOffset }) => startOffset)
  yield { kind: 'log-created', log: definition, startOffsets }
  for (const schema of schemas) yield { kind: 'schema-added', logId, schema }
  for (const [partition, { segments, denseFrom, producers }] of partitions.entries()) {
    for (const segment of segments) yield { kind: 'segment-added', logId, partition, segment }
    if (denseFrom !== undefined)
      yield { kind: 'offsets-dense-from', logId, partition, offset: denseFrom }
    if (producers !== undefined && producers.size > 0) {
      const noted = { producers: [...producers.values()], forgotten: [] }
      yield { kind: 'producers-noted', logId, partition, ...noted }
    }
  }
}
