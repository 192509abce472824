/** A log that takes records: of an engine in this process, or of a server. */
import { StratalogError } from '../base/errors.ts'
import { columnBytes } from '../format/column.ts'
import { flattenColumn } from '../format/column-concat.ts'
import type { ColumnData } from '../format/column.ts'
import { APPEND_BYTES_MAX, VALUE_BYTES_MAX } from '../format/limits.ts'
import type { AckLevel } from '../format/manifest.ts'
import type { Producer } from '../format/producer.ts'
import type { Field } from '../format/schema.ts'
import { type JsonRecord, withFloats } from '../engine/json-record.ts'
import type { LogDescription } from '../engine/log-description.ts'
import type { Log } from '../engine/log.ts'
import type { AppendResult } from '../log/live-log.ts'
import { recordText } from './record-text.ts'
import { type RemoteLog, descriptionOf, logPath, remoteLog } from './remote-logs.ts'
import type { Remote } from './remote.ts'

export interface ColumnRecords {
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

export interface TargetOptions {
  readonly partition?: number
  readonly ack?: AckLevel
  readonly producer?: Producer
}

export interface AppendTarget {
  readonly partitions: number
  readonly keyColumn: string | null
  readonly timeColumn: string | null
  /** Appends that may be under way at once and still come in order. */
  readonly inFlightMax: number
  readonly appendBytesMax: number
  /** What of `appendBytesMax` a column takes. */
  sizeOf(column: ColumnData): number
  append(
    records: readonly JsonRecord[] | ColumnRecords,
    options: TargetOptions,
  ): Promise<AppendResult>
  /** The log as it is now: its schema grows. */
  describe(): Promise<LogDescription>
}

/** Enough appends to share fsyncs, few enough to bound memory. */
const IN_FLIGHT_MAX = 256

export function localTarget(log: Log): AppendTarget {
  const { partitions, keyColumn, timeColumn } = log.describe()
  return {
    partitions,
    keyColumn,
    timeColumn,
    inFlightMax: IN_FLIGHT_MAX,
    appendBytesMax: APPEND_BYTES_MAX,
    sizeOf: columnBytes,
    append: (records, options) =>
      log.append(
        'fields' in records ? records : withFloats(records, () => log.describe().schema),
        options,
      ),
    describe: async () => log.describe(),
  }
}

/** Records go as NDJSON, columns as an Arrow stream. Requests may pass one another, so there is one at a time. */
export function remoteTarget(
  remote: Remote,
  { name, partitions, keyColumn, timeColumn }: RemoteLog,
): AppendTarget {
  return {
    partitions,
    keyColumn,
    timeColumn,
    inFlightMax: 1,
    appendBytesMax: VALUE_BYTES_MAX,
    sizeOf: (column) => columnBytes(flattenColumn(column)),
    append: async (records, { partition, ack, producer }) =>
      await remote.json<AppendResult>(`${logPath(name)}/records`, {
        method: 'POST',
        parameters: { partition, ack },
        ...(producer === undefined ? {} : { headers: producerHeaders(producer) }),
        records: 'fields' in records ? await columnBody(records) : rowBody(records),
      }),
    describe: async () => descriptionOf(await remoteLog(remote, name)),
  }
}

function producerHeaders({ producerId, epoch, sequence }: Producer): Record<string, string> {
  return {
    'producer-id': producerId,
    'producer-epoch': String(epoch),
    'producer-seq': String(sequence),
  }
}

interface Body {
  readonly contentType: string
  readonly bytes: string | Uint8Array
}

function rowBody(records: readonly JsonRecord[]): Body {
  const bytes = Buffer.from(records.map((record) => `${recordText(record)}\n`).join(''))
  if (bytes.length <= VALUE_BYTES_MAX) return { contentType: 'application/x-ndjson', bytes }
  const few = records.length === 1
  throw new StratalogError(
    few ? 'record_too_large' : 'append_too_large',
    `A server takes ${VALUE_BYTES_MAX} bytes at once, and ${few ? 'the record has' : 'these records have'} ${bytes.length}.`,
    { details: { bytes: bytes.length, bytesMax: VALUE_BYTES_MAX } },
  )
}

async function columnBody({ fields, columns, length }: ColumnRecords): Promise<Body> {
  const { encodeIpcStream } = await import('../format/arrow-output.ts')
  const bytes = Buffer.concat([...encodeIpcStream(fields, [{ columns, length }])])
  return { contentType: 'application/vnd.apache.arrow.stream', bytes }
}
