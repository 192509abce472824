/** `export`: records of a log as a file, which is there whole or not at all. */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import type { ExportFormat } from '../../engine/export-records.ts'
import { readFields } from '../../engine/read-fields.ts'
import type { Field } from '../../format/schema.ts'
import { openRecordEncoder } from '../../query/record-encoder.ts'
import type { FieldChunk, RecordFormat } from '../../query/record-format.ts'
import { withReaderAsOf } from '../engine-access.ts'
import { OutputFile } from '../output/output-file.ts'
import { encodedOutput } from '../output/record-output.ts'
import { Progress } from '../progress.ts'
import { remoteLog } from '../remote-logs.ts'
import { remoteRecords } from '../remote-records.ts'
import { Remote } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'
import { type RangeFlags, rangeOptions, rangeParameters, recordsPath } from './read.ts'

export interface ExportFlags extends RangeFlags {
  readonly output: string
  readonly format?: ExportFormat
  readonly force?: boolean
}

/** What is exported, wherever it comes from. */
interface Source {
  readonly chunks: AsyncIterable<FieldChunk>
  /** The columns of a file without records. */
  readonly fields: readonly Field[]
  /** Null where nobody knows before. */
  readonly recordsTotal: number | null
}

interface Exported {
  readonly records: number
  readonly bytes: number
}

export async function exportLog(session: Session, flags: ExportFlags): Promise<void> {
  const startedAt = session.clock.monotonic()
  const format = formatOf(flags)
  const exported = await withSource(session, flags, (source) =>
    writeSource(session, flags, format, source),
  )
  const elapsedMs = Math.round(session.clock.monotonic() - startedAt)
  const { records, bytes } = exported
  if (session.json) {
    await writeDocument(session, { file: flags.output, format, records, bytes, elapsedMs })
    return
  }
  const rate = `${formatCount((records / Math.max(1, elapsedMs)) * 1000)} records/s`
  const what = `${formatCount(records)} records, ${formatBytes(bytes)} to ${flags.output}`
  await session.terminal.write(`${what} in ${formatDuration(elapsedMs)} (${rate})\n`)
}

async function withSource<T>(
  session: Session,
  flags: ExportFlags,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const remote = Remote.of(session, flags)
  if (remote !== null) {
    const { ranges, ...description } = await remoteLog(remote, flags.log)
    const parameters = rangeParameters(flags)
    return await use({
      chunks: remoteRecords(remote, recordsPath(flags.log), { parameters }),
      fields: readFields(description, flags.columns),
      recordsTotal: recordsOf(ranges, flags),
    })
  }
  return await withReaderAsOf(session, flags, async (reading) => {
    const log = reading.log(flags.log)
    const status = reading.status().logs.find(({ name }) => name === log.name)
    return await use({
      chunks: log.read({ ...rangeOptions(flags), signal: session.signal }),
      fields: readFields(log.describe(), flags.columns),
      recordsTotal: recordsOf(status?.partitions ?? [], flags),
    })
  })
}

async function writeSource(
  session: Session,
  { output: path, force = false }: ExportFlags,
  format: ExportFormat,
  { chunks, fields, recordsTotal }: Source,
): Promise<Exported> {
  const file = await OutputFile.open({ path, isForced: force })
  const progress = new Progress(session, 'export')
  try {
    const output = encodedOutput(await openRecordEncoder(encodingOf(format, path)), file)
    let records = 0
    for await (const chunk of chunks) {
      session.signal.throwIfAborted()
      await output.write(chunk)
      records += chunk.length
      progress.update({ done: records, total: recordsTotal, unit: 'records' })
    }
    await output.end(fields)
    session.signal.throwIfAborted()
    await file.commit()
    return { records, bytes: file.bytesWritten }
  } catch (error) {
    await file.discard()
    throw error
  } finally {
    progress.end()
  }
}

const FORMAT_BY_ENDING: Readonly<Record<string, ExportFormat>> = {
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  csv: 'csv',
  parquet: 'parquet',
  arrow: 'arrow',
  arrows: 'arrow',
  feather: 'arrow',
}

/** @throws StratalogError `argument_invalid` where neither flag nor name says it. */
function formatOf({ format, output }: ExportFlags): ExportFormat {
  if (format !== undefined) return format
  const ending = endingOf(output)
  const found = Object.hasOwn(FORMAT_BY_ENDING, ending) ? FORMAT_BY_ENDING[ending] : undefined
  if (found !== undefined) return found
  const known = Object.keys(FORMAT_BY_ENDING).map((name) => `.${name}`)
  throw new StratalogError(
    'argument_invalid',
    `The name ${output} does not say the format: give --format, or a name that ends in ${known.join(', ')}.`,
    { details: { path: output } },
  )
}

function endingOf(path: string): string {
  const plain = path.replace(/\.(gz|zst)$/i, '')
  return /\.([a-z0-9]+)$/i.exec(plain)?.[1]?.toLowerCase() ?? ''
}

/** `.arrows` is how streams are called; other programs take an `.arrow` for a file with a footer. */
function encodingOf(format: ExportFormat, path: string): RecordFormat {
  if (format !== 'arrow') return format
  return endingOf(path) === 'arrows' ? 'arrow' : 'arrow-file'
}

interface PartitionRange {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
}

/** How many records these flags choose; null where that depends on times. */
function recordsOf(ranges: readonly PartitionRange[], flags: RangeFlags): number | null {
  const { partition, from = 0, to = Infinity, since, until, last = Infinity, asOf } = flags
  if (since !== undefined || until !== undefined || asOf !== undefined) return null
  const counts = ranges
    .filter((range) => partition === undefined || range.partition === partition)
    .map(({ startOffset, endOffset }) => {
      const start = Math.max(from, startOffset, endOffset - last)
      return Math.max(0, Math.min(to, endOffset) - start)
    })
  const sum = counts.reduce((total, count) => total + count, 0)
  return Math.min(sum, flags.limit ?? Infinity)
}
