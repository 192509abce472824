/**
 * Manifest edits as JSON: one object per edit, fields always in the order written here and no others, so equal edits
 * are equal bytes. `docs/formats.md` lists the fields.
 *
 * Two values are spelled specially. Times of a segment without any time are infinite in memory and null in JSON. A
 * column statistic that JSON cannot hold as a number is text already (format/segment.ts).
 */
import { assert } from '../base/assert.ts'
import { isLogName } from '../base/log-name.ts'
import { isEngineId } from './identity.ts'
import { type Fail, JsonFields } from './json-fields.ts'
import { PARTITIONS_MAX, STORED_COLUMNS_MAX } from './limits.ts'
import type {
  Location,
  LogDefinition,
  ManifestEdit,
  SegmentEntry,
  Snapshot,
  SnapshotLog,
  Writer,
} from './manifest.ts'
import { logOriginJson, logOriginOf } from './log-origin.ts'
import { notedArchiveJson, notedArchiveOf } from './noted-archive.ts'
import { isSafePath } from './paths.ts'
import { producerJson, producerOf } from './producer.ts'
import { type Field, type Schema, isColumnType } from './schema.ts'
import { isSparseSound, sparseOf } from './segment-entry.ts'
import type { ColumnStatistics } from './segment.ts'
import { storagePolicyJson, storagePolicyOf } from './storage-policy-json.ts'

const KINDS: readonly ManifestEdit['kind'][] = [
  'engine-created',
  'begun-from-base',
  'archive-noted',
  'writer-claimed',
  'log-ids-reserved',
  'log-created',
  'schema-added',
  'policy-changed',
  'log-deleted',
  'segment-added',
  'segment-copied',
  'segment-copy-dropped',
  'start-moved',
  'segments-replaced',
  'segment-retired',
  'segments-collected',
  'objects-unnamed',
  'objects-doomed',
  'objects-forgotten',
  'producers-noted',
  'offsets-dense-from',
  'log-detached',
  'tiering-paused',
  'checkpoint',
  'wal-reached',
  'snapshot-created',
  'snapshot-deleted',
]

/** The edit as one line of JSON without the line's end. */
export function encodeEdit(edit: ManifestEdit): string {
  return JSON.stringify(editJson(edit))
}

/** The edit in a parsed line. Types and fields are checked; whether it fits a state is the builder's to say. */
export function decodeEdit(value: unknown, path: string, fail: Fail): ManifestEdit {
  const fields = new JsonFields(value, path, fail)
  const edit = editOf(fields)
  fields.end()
  return edit
}

function editJson(edit: ManifestEdit): unknown {
  switch (edit.kind) {
    case 'engine-created':
      return { kind: edit.kind, engineId: edit.engineId }
    case 'begun-from-base':
      return { kind: edit.kind }
    case 'archive-noted':
      return { kind: edit.kind, archive: notedArchiveJson(edit.archive) }
    case 'writer-claimed':
      return { kind: edit.kind, epoch: edit.epoch, writer: writerJson(edit.writer) }
    case 'log-ids-reserved':
      return { kind: edit.kind, nextLogId: edit.nextLogId }
    case 'log-created':
      return { kind: edit.kind, log: definitionJson(edit.log), startOffsets: edit.startOffsets }
    case 'schema-added':
      return { kind: edit.kind, logId: edit.logId, schema: schemaJson(edit.schema) }
    case 'policy-changed':
      return { kind: edit.kind, logId: edit.logId, policy: storagePolicyJson(edit.policy) }
    case 'log-deleted':
      return { kind: edit.kind, logId: edit.logId, deletedAt: edit.deletedAt }
    case 'segment-added': {
      const { kind, logId, partition, segment } = edit
      return { kind, logId, partition, segment: segmentJson(segment) }
    }
    case 'segment-copied': {
      const { kind, logId, partition, baseOffset, tier, location } = edit
      return { kind, logId, partition, baseOffset, tier, location: locationJson(location) }
    }
    case 'segment-copy-dropped': {
      const { kind, logId, partition, baseOffset, tier } = edit
      return { kind, logId, partition, baseOffset, tier }
    }
    case 'start-moved': {
      const { kind, logId, partition, startOffset, retiredAt } = edit
      return { kind, logId, partition, startOffset, retiredAt }
    }
    case 'segments-replaced':
    case 'segment-retired': {
      const { kind, logId, partition, segment, retiredAt } = edit
      return { kind, logId, partition, segment: segmentJson(segment), retiredAt }
    }
    case 'segments-collected': {
      const { kind, logId, partition, locations } = edit
      return { kind, logId, partition, locations: locations.map(locationJson) }
    }
    case 'objects-unnamed':
      return { kind: edit.kind, objects: edit.objects, since: edit.since }
    case 'objects-doomed':
    case 'objects-forgotten':
      return { kind: edit.kind, objects: edit.objects }
    case 'producers-noted': {
      const { kind, logId, partition, producers, forgotten } = edit
      return { kind, logId, partition, producers: producers.map(producerJson), forgotten }
    }
    case 'offsets-dense-from': {
      const { kind, logId, partition, offset } = edit
      return { kind, logId, partition, offset }
    }
    case 'log-detached':
      return { kind: edit.kind, logId: edit.logId, name: edit.name }
    case 'tiering-paused':
      return { kind: edit.kind, logId: edit.logId, since: edit.since }
    case 'checkpoint':
    case 'wal-reached':
      return { kind: edit.kind, walLsn: edit.walLsn }
    case 'snapshot-created':
      return { kind: edit.kind, snapshot: snapshotJson(edit.snapshot) }
    case 'snapshot-deleted':
      return { kind: edit.kind, id: edit.id }
  }
}

function editOf(fields: JsonFields): ManifestEdit {
  const kind = fields.oneOf('kind', KINDS)
  switch (kind) {
    case 'engine-created': {
      const engineId = fields.text('engineId')
      if (!isEngineId(engineId)) fields.fail('engineId', 'is not an engine id')
      return { kind, engineId }
    }
    case 'begun-from-base':
      return { kind }
    case 'archive-noted':
      return { kind, archive: notedArchiveOf(fields.object('archive')) }
    case 'writer-claimed':
      return { kind, epoch: fields.integer('epoch', 1), writer: writerOf(fields.object('writer')) }
    case 'log-ids-reserved':
      return { kind, nextLogId: fields.integer('nextLogId', 1) }
    case 'log-created':
      return {
        kind,
        log: definitionOf(fields.object('log')),
        startOffsets: fields.integers('startOffsets'),
      }
    case 'schema-added':
      return { kind, logId: fields.integer('logId', 1), schema: schemaOf(fields.object('schema')) }
    case 'policy-changed':
      return {
        kind,
        logId: fields.integer('logId', 1),
        policy: storagePolicyOf(fields.object('policy')),
      }
    case 'log-deleted': {
      const logId = fields.integer('logId', 1)
      return { kind, logId, deletedAt: fields.integerOrNull('deletedAt', Number.MIN_SAFE_INTEGER) }
    }
    case 'segment-added':
      return { kind, ...placeOf(fields), segment: segmentOf(fields.object('segment')) }
    case 'segment-copied': {
      const place = {
        ...placeOf(fields),
        baseOffset: fields.integer('baseOffset'),
        tier: lowerTierOf(fields),
      }
      return { kind, ...place, location: locationOf(fields.object('location')) }
    }
    case 'segment-copy-dropped':
      return {
        kind,
        ...placeOf(fields),
        baseOffset: fields.integer('baseOffset'),
        tier: lowerTierOf(fields),
      }
    case 'start-moved': {
      const place = { ...placeOf(fields), startOffset: fields.integer('startOffset', 1) }
      return { kind, ...place, retiredAt: retiredAtOrNull(fields) }
    }
    case 'segments-replaced': {
      const place = { ...placeOf(fields), segment: segmentOf(fields.object('segment')) }
      return { kind, ...place, retiredAt: retiredAtOrNull(fields) }
    }
    case 'segment-retired': {
      const place = { ...placeOf(fields), segment: segmentOf(fields.object('segment')) }
      return { kind, ...place, retiredAt: fields.integer('retiredAt', Number.MIN_SAFE_INTEGER) }
    }
    case 'segments-collected':
      return { kind, ...placeOf(fields), locations: fields.objects('locations').map(locationOf) }
    case 'objects-unnamed': {
      const objects = fields.texts('objects')
      return { kind, objects, since: fields.integer('since', Number.MIN_SAFE_INTEGER) }
    }
    case 'objects-doomed':
    case 'objects-forgotten':
      return { kind, objects: fields.texts('objects') }
    case 'producers-noted':
      return {
        kind,
        ...placeOf(fields),
        producers: fields.objects('producers').map(producerOf),
        forgotten: fields.texts('forgotten'),
      }
    case 'offsets-dense-from':
      return { kind, ...placeOf(fields), offset: fields.integer('offset') }
    case 'log-detached':
      return { kind, logId: fields.integer('logId', 1), name: logNameOf(fields) }
    case 'tiering-paused': {
      const since = fields.integerOrNull('since', Number.MIN_SAFE_INTEGER)
      return { kind, logId: fields.integer('logId'), since }
    }
    case 'checkpoint':
    case 'wal-reached':
      return { kind, walLsn: fields.integer('walLsn') }
    case 'snapshot-created':
      return { kind, snapshot: snapshotOf(fields.object('snapshot')) }
    case 'snapshot-deleted':
      return { kind, id: fields.text('id') }
  }
}

function placeOf(fields: JsonFields): { readonly logId: number; readonly partition: number } {
  return { logId: fields.integer('logId', 1), partition: fields.integer('partition') }
}

function logNameOf(fields: JsonFields): string {
  const name = fields.text('name')
  if (!isLogName(name)) fields.fail('name', 'is not a log name')
  return name
}

function lowerTierOf(fields: JsonFields): 'disk' | 'object' {
  return fields.oneOf('tier', ['disk', 'object'])
}

function retiredAtOrNull(fields: JsonFields): number | null {
  return fields.integerOrNull('retiredAt', Number.MIN_SAFE_INTEGER)
}

export function writerJson({ id, pid, host, since }: Writer): unknown {
  return { id, pid, host, since }
}

export function writerOf(fields: JsonFields): Writer {
  const writer = {
    id: fields.text('id'),
    pid: fields.integer('pid'),
    host: fields.text('host'),
    since: fields.integer('since', Number.MIN_SAFE_INTEGER),
  }
  fields.end()
  return writer
}

function definitionJson(log: LogDefinition): unknown {
  const { id, name, partitions, timeColumn, keyColumn, policy, createdAt, origins } = log
  const definition = { id, name, partitions, timeColumn, keyColumn }
  return {
    ...definition,
    policy: storagePolicyJson(policy),
    createdAt,
    ...(origins === undefined ? {} : { origins: origins.map(logOriginJson) }),
  }
}

function definitionOf(fields: JsonFields): LogDefinition {
  const log = {
    id: fields.integer('id', 1),
    name: logNameOf(fields),
    partitions: fields.integer('partitions', 1),
    timeColumn: fields.textOrNull('timeColumn'),
    keyColumn: fields.textOrNull('keyColumn'),
    policy: storagePolicyOf(fields.object('policy')),
    createdAt: fields.integer('createdAt', Number.MIN_SAFE_INTEGER),
    ...(fields.has('origins') ? { origins: fields.objects('origins').map(logOriginOf) } : {}),
  }
  if (log.origins?.some(({ endOffsets }) => endOffsets.length !== log.partitions) === true)
    fields.fail('origins', 'is not of every partition')
  if (log.partitions > PARTITIONS_MAX) fields.fail('partitions', `is above ${PARTITIONS_MAX}`)
  fields.end()
  return log
}

function schemaJson(schema: Schema): unknown {
  return {
    id: schema.id,
    fields: schema.fields.map(({ name, type, nullable }) => ({ name, type, nullable })),
  }
}

function schemaOf(fields: JsonFields): Schema {
  const schema = { id: fields.integer('id'), fields: fields.objects('fields').map(fieldOf) }
  if (schema.fields.length > STORED_COLUMNS_MAX)
    fields.fail('fields', `has more than ${STORED_COLUMNS_MAX} columns`)
  fields.end()
  return schema
}

function fieldOf(fields: JsonFields): Field {
  const name = fields.text('name')
  const type = fields.text('type')
  const nullable = fields.boolean('nullable')
  if (!isColumnType(type)) return fields.fail('type', 'is not a column type')
  fields.end()
  return { name, type, nullable }
}

function segmentJson(segment: SegmentEntry): unknown {
  return {
    baseOffset: segment.baseOffset,
    endOffset: segment.endOffset,
    schemaId: segment.schemaId,
    timeMin: timeJson(segment.timeMin, Infinity),
    timeMax: timeJson(segment.timeMax, -Infinity),
    appendTimeMin: segment.appendTimeMin,
    appendTimeMax: segment.appendTimeMax,
    rawBytes: segment.rawBytes,
    length: segment.length,
    sha256: segment.sha256,
    format: segment.format,
    statistics: segment.statistics.map(statisticsJson),
    disk: segment.disk === null ? null : locationJson(segment.disk),
    object: segment.object === null ? null : locationJson(segment.object),
    ...(segment.sparse === undefined ? {} : { sparse: segment.sparse }),
  }
}

function segmentOf(fields: JsonFields): SegmentEntry {
  const disk = fields.objectOrNull('disk')
  const object = fields.objectOrNull('object')
  const segment: SegmentEntry = {
    baseOffset: fields.integer('baseOffset'),
    endOffset: fields.integer('endOffset', 1),
    schemaId: fields.integer('schemaId'),
    timeMin: fields.integerOrNull('timeMin', Number.MIN_SAFE_INTEGER) ?? Infinity,
    timeMax: fields.integerOrNull('timeMax', Number.MIN_SAFE_INTEGER) ?? -Infinity,
    appendTimeMin: fields.integer('appendTimeMin', Number.MIN_SAFE_INTEGER),
    appendTimeMax: fields.integer('appendTimeMax', Number.MIN_SAFE_INTEGER),
    rawBytes: fields.integer('rawBytes'),
    length: fields.integer('length', 1),
    sha256: fields.text('sha256'),
    format: fields.oneOf('format', ['arrow', 'parquet']),
    statistics: fields.objects('statistics').map(statisticsOf),
    disk: disk === null ? null : locationOf(disk),
    object: object === null ? null : locationOf(object),
    ...(fields.has('sparse') ? { sparse: sparseOf(fields.object('sparse')) } : {}),
  }
  if (!isSparseSound(segment)) fields.fail('sparse', 'is not of such a segment')
  if (!/^[0-9a-f]{64}$/.test(segment.sha256)) fields.fail('sha256', 'is not a SHA-256 in hex')
  fields.end()
  return segment
}

/** A time in ms, or null for the infinity that stands for "no record has a time". */
function timeJson(time: number, none: number): number | null {
  assert(
    time === none || Number.isSafeInteger(time),
    'a segment time is a whole number of ms, or says that there is none',
  )
  return time === none ? null : time
}

export function statisticsJson({ nullCount, min, max }: ColumnStatistics): unknown {
  assert(
    min === undefined || typeof min === 'string' || Number.isFinite(min),
    'a statistic is text or a finite number',
  )
  assert(
    max === undefined || typeof max === 'string' || Number.isFinite(max),
    'a statistic is text or a finite number',
  )
  return { nullCount, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
}

export function statisticsOf(fields: JsonFields): ColumnStatistics {
  const statistics = {
    nullCount: fields.integer('nullCount'),
    ...(fields.has('min') ? { min: fields.numberOrText('min') } : {}),
    ...(fields.has('max') ? { max: fields.numberOrText('max') } : {}),
  }
  fields.end()
  return statistics
}

function locationJson({ object, position, length }: Location): unknown {
  return { object, position, length }
}

function locationOf(fields: JsonFields): Location {
  const location = {
    object: fields.text('object'),
    position: fields.integer('position'),
    length: fields.integer('length', 1),
  }
  if (!isSafePath(location.object)) fields.fail('object', 'is not a safe name')
  fields.end()
  return location
}

function snapshotJson({ id, name, time, logs, bytes, newBytes }: Snapshot): unknown {
  const logsJson = logs.map((log) => ({
    logId: log.logId,
    name: log.name,
    partitions: log.partitions.map(({ partition, startOffset, endOffset }) => ({
      partition,
      startOffset,
      endOffset,
    })),
  }))
  return { id, name, time, logs: logsJson, bytes, newBytes }
}

function snapshotOf(fields: JsonFields): Snapshot {
  const snapshot = {
    id: fields.text('id'),
    name: fields.text('name'),
    time: fields.integer('time', Number.MIN_SAFE_INTEGER),
    logs: fields.objects('logs').map(snapshotLogOf),
    bytes: fields.integer('bytes'),
    newBytes: fields.integer('newBytes'),
  }
  fields.end()
  return snapshot
}

function snapshotLogOf(fields: JsonFields): SnapshotLog {
  const log = {
    logId: fields.integer('logId', 1),
    name: fields.text('name'),
    partitions: fields.objects('partitions').map((part) => {
      const partition = {
        partition: part.integer('partition'),
        startOffset: part.integer('startOffset'),
        endOffset: part.integer('endOffset'),
      }
      if (partition.endOffset < partition.startOffset)
        part.fail('endOffset', 'is before startOffset')
      part.end()
      return partition
    }),
  }
  fields.end()
  return log
}
