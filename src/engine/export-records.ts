import { StratalogError } from '../base/errors.ts'
import { openRecordEncoder } from '../query/record-encoder.ts'
import type { RecordFormat } from '../query/record-format.ts'
import type { LogDescription } from './log-description.ts'
import { readFields } from './read-fields.ts'
import { assertObject } from './check-arguments.ts'
import type { ReadOptions } from './read-options.ts'
import type { RecordStream } from './record-stream.ts'

export type ExportFormat = 'ndjson' | 'csv' | 'arrow' | 'parquet'

export interface ExportProgress {
  readonly records: number
  readonly bytes: number
}

export interface ExportOptions extends Omit<ReadOptions, 'live'> {
  /** `arrow` is the IPC file format. */
  readonly format: ExportFormat
  /** Told after each batch, and at the end. */
  readonly onProgress?: (progress: ExportProgress) => void
}

/** A log of an engine or of an archive. */
export interface ExportedLog {
  describe(): LogDescription
  read(options: ReadOptions): RecordStream
}

const FORMATS: Readonly<Record<ExportFormat, RecordFormat>> = {
  ndjson: 'ndjson',
  csv: 'csv',
  arrow: 'arrow-file',
  parquet: 'parquet',
}

/**
 * The records of a log as the bytes of a file, made as they are taken: no more is held than a batch, of Parquet a row
 * group. With their offset, partition and time, unless `columns` says otherwise.
 * @throws StratalogError `argument_invalid`, and as `read` does.
 * @example
 * await writeFile('clicks.parquet', exportRecords(db.log('clicks'), { format: 'parquet', since: '2026-01-01' }))
 */
export async function* exportRecords(
  log: ExportedLog,
  asked: ExportOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  assertObject(asked, 'The options of exportRecords are an object')
  const { format, onProgress, ...options } = asked
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw new StratalogError('argument_invalid', 'onProgress is a function.')
  if (!Object.hasOwn(FORMATS, format)) {
    throw new StratalogError(
      'argument_invalid',
      `format is one of ${Object.keys(FORMATS).join(', ')}; got ${format as string}.`,
    )
  }
  const encoder = await openRecordEncoder(FORMATS[format])
  let records = 0
  let bytes = 0
  const counted = (piece: string | Uint8Array): Uint8Array => {
    const encoded = typeof piece === 'string' ? Buffer.from(piece) : piece
    bytes += encoded.length
    return encoded
  }
  let isBegun = false
  for await (const batch of log.read(options)) {
    if (!isBegun) yield counted(encoder.begin(batch.fields))
    isBegun = true
    yield counted(await encoder.chunk(batch))
    records += batch.length
    onProgress?.({ records, bytes })
  }
  if (!isBegun) yield counted(encoder.begin(readFields(log.describe(), options.columns)))
  const end = counted(await encoder.end())
  onProgress?.({ records, bytes })
  yield end
}
