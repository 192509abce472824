/**
 * Segments of logs without a WAL that lie on disk and in no manifest: a crash came between their rename and their
 * commit, or the commit is gone. Nothing else has their records, and a segment says of itself all that a manifest would
 * say of it, so those that follow what is known are taken over. Of logs with a WAL the WAL has the records.
 */
import { isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { sha256Hex } from '../format/checksum.ts'
import type { LogState, ManifestEdit, ManifestState, SegmentEntry } from '../format/manifest.ts'
import { type ParsedPath, parsePath, segmentDirectory } from '../format/paths.ts'
import type { ProducerState } from '../format/producer.ts'
import type { Schema } from '../format/schema.ts'
import { parseSegmentTail } from '../format/segment-reader.ts'
import type { SegmentFacts } from '../format/segment.ts'
import { wholePartition } from '../log/archive-view.ts'
import { producerEdits } from '../log/producer-table.ts'
import type { FileSystem } from '../storage/file-system.ts'
import { segmentEntry } from '../tiering/encode.ts'

/** The edits that name them; changes nothing. */
export async function adoptSegments(
  fileSystem: FileSystem,
  dataDir: string,
  state: ManifestState,
  logger: Logger,
): Promise<readonly ManifestEdit[]> {
  const edits: ManifestEdit[] = []
  for (const log of state.logs.values()) {
    const { policy } = log.definition
    if (policy.wal || policy.mode === 'memory') continue
    const schemas = [...log.schemas]
    for (const partition of log.partitions.keys()) {
      const found = await adoptPartition({ fileSystem, dataDir, log, partition, schemas })
      for (const edit of found) {
        if (edit.kind !== 'segment-added') continue
        const path = edit.segment.disk?.object
        logger.warn('A segment that no manifest named is taken over.', { path })
      }
      edits.push(...found)
    }
  }
  return edits
}

/** Makes the names of what is taken over durable: who made a file may have died before it had synced its directory. */
export async function syncAdopted(
  fileSystem: FileSystem,
  dataDir: string,
  edits: readonly ManifestEdit[],
): Promise<void> {
  const directories = edits.flatMap((edit) =>
    edit.kind === 'segment-added' ? [segmentDirectory(edit.logId, edit.partition)] : [],
  )
  for (const directory of new Set(directories)) {
    await fileSystem.makeDirectory(`${dataDir}/${directory}`)
    await fileSystem.syncDirectory(`${dataDir}/${directory}`)
  }
}

interface Adopting {
  readonly fileSystem: FileSystem
  readonly dataDir: string
  readonly log: LogState
  readonly partition: number
  /** Of the log, and those that were met on the way. */
  readonly schemas: Schema[]
}

async function adoptPartition(adopting: Adopting): Promise<readonly ManifestEdit[]> {
  const { fileSystem, dataDir, log, partition, schemas } = adopting
  const logId = log.definition.id
  const state = log.partitions[partition]
  const directory = segmentDirectory(logId, partition)
  if (state === undefined || (await fileSystem.stat(`${dataDir}/${directory}`)) === null) return []
  const edits: ManifestEdit[] = []
  let next = wholePartition(state, partition).endOffset
  let producers: readonly ProducerState[] = [...(state.producers?.values() ?? [])]
  // Fixed widths: the order of names is that of offsets.
  for (const name of await fileSystem.list(`${dataDir}/${directory}`)) {
    const path = `${directory}/${name}`
    const parsed = parsePath(path)
    if (parsed?.kind !== 'segment' || parsed.baseOffset !== next) continue
    const found = await readSegment(fileSystem, dataDir, path, parsed)
    if (found === null) continue
    const { facts, entry } = found
    // It was written while the log had a WAL, which has the records and their producers.
    if (facts.producers === undefined) continue
    const isNewSchema = facts.schema.id === schemas.length
    const known = schemas[facts.schema.id]
    if (!isNewSchema && JSON.stringify(known) !== JSON.stringify(facts.schema)) continue
    if (isNewSchema) {
      schemas.push(facts.schema)
      edits.push({ kind: 'schema-added', logId, schema: facts.schema })
    }
    edits.push({ kind: 'segment-added', logId, partition, segment: entry })
    next = entry.endOffset
    producers = facts.producers
  }
  return [...edits, ...producerEdits(logId, partition, state, producers)]
}

/** Null when it is not, to the byte, the segment that its name says, or is gone by now. */
async function readSegment(
  fileSystem: FileSystem,
  dataDir: string,
  path: string,
  parsed: Extract<ParsedPath, { readonly kind: 'segment' }>,
): Promise<{ readonly facts: SegmentFacts; readonly entry: SegmentEntry } | null> {
  try {
    const bytes = await fileSystem.read(`${dataDir}/${path}`)
    const sha256 = sha256Hex(bytes)
    if (!sha256.startsWith(parsed.hash)) return null
    const tail = parseSegmentTail(bytes, bytes.length)
    if (tail.kind !== 'facts') return null
    const { facts } = tail
    const isOfPlace =
      facts.logId === parsed.logId &&
      facts.partition === parsed.partition &&
      facts.baseOffset === parsed.baseOffset
    if (!isOfPlace) return null
    const { length } = bytes
    const location = { object: path, position: 0, length }
    const entry = segmentEntry({ facts, length, sha256 }, 'disk', location)
    return { facts, entry }
  } catch (error) {
    // What the disk does not give now it may give the next time: its offsets are not others' meanwhile.
    if (isStratalogError(error) && (error.kind === 'corrupt' || error.code === 'file_not_found'))
      return null
    throw error
  }
}
