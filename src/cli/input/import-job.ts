/** One import of several files into one log, which is made when the first records are known. */
import { formatCount } from '../../base/units.ts'
import { parseArrowIpc } from '../../format/arrow-input.ts'
import { scanFile } from '../../query/file-scan.ts'
import type { StratalogOptions } from '../../engine/config.ts'
import type { Log, LogDescription } from '../../engine/log.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import type { FlagValues } from '../config-flags.ts'
import { type CreateFlags, type LogHints, openOrCreateLog } from '../create-log.ts'
import { Progress } from '../progress.ts'
import { type Session, note } from '../session.ts'
import { COMBINED_FIELDS, COMBINED_TIME_COLUMN, parseCombinedLine } from './combined.ts'
import { type InputFile, openInput } from './input-file.ts'
import { type InputFormat, detectFormat } from './input-format.ts'
import { parseJsonRecord } from './json-record.ts'
import { type LineBlock, splitLines } from './lines.ts'
import { type ColumnRecords, LogImporter, type SourceRecord } from './log-importer.ts'
import type { Rejects } from './rejects.ts'

export interface ImportFlags extends FlagValues, CreateFlags {
  readonly log: string
  readonly format: InputFormat | 'auto'
  readonly rejects?: string
  readonly batchRecords?: number
}

/** Records in one append: enough to make an fsync cheap, few enough to undo quickly. */
const BATCH_RECORDS = 20_000

export interface ImportReport {
  readonly records: number
  readonly inputBytes: number
  readonly schema: LogDescription['schema']
  readonly offsets: LogImporter['ranges']
}

export class ImportJob {
  readonly #session: Session
  readonly #db: Stratalog
  readonly #config: StratalogOptions
  readonly #flags: ImportFlags
  readonly #rejects: Rejects
  #target: { readonly log: Log; readonly importer: LogImporter } | null = null
  #inputBytes = 0

  constructor(
    session: Session,
    db: Stratalog,
    config: StratalogOptions,
    flags: ImportFlags,
    rejects: Rejects,
  ) {
    this.#session = session
    this.#db = db
    this.#config = config
    this.#flags = flags
    this.#rejects = rejects
  }

  async add(name: string): Promise<void> {
    const input = await openInput(name)
    const progress = new Progress(this.#session, name === '-' ? 'standard input' : name)
    const onAbort = (): void => input.close()
    this.#session.signal.addEventListener('abort', onAbort, { once: true })
    try {
      const format =
        this.#flags.format === 'auto' ? detectFormat(name, input.head) : this.#flags.format
      // DuckDB reads these by itself, and does not say how far it is.
      const total = format === 'csv' || format === 'parquet' ? null : input.length
      const tell = (): void => {
        const records = this.#target?.importer.records ?? 0
        progress.update({ done: input.bytesRead(), total, records, unit: 'bytes' })
      }
      await this.#read(format, input, tell)
      await this.#target?.importer.flush()
      this.#inputBytes += input.length ?? input.bytesRead()
    } catch (error) {
      this.#session.signal.throwIfAborted()
      const records = this.#target?.importer.records ?? 0
      if (records > 0) note(this.#session, `${formatCount(records)} records were imported before.`)
      throw error
    } finally {
      this.#session.signal.removeEventListener('abort', onAbort)
      progress.end()
      input.close()
    }
  }

  /** The log is made even when no input had a record: the command says that it will be there. */
  async report(): Promise<ImportReport> {
    const { log, importer } = await this.#open({})
    return {
      records: importer.records,
      inputBytes: this.#inputBytes,
      schema: log.describe().schema,
      offsets: importer.ranges,
    }
  }

  async #read(format: InputFormat, input: InputFile, tell: () => void): Promise<void> {
    switch (format) {
      case 'ndjson':
        return await this.#readLines(input, {}, parseNdjsonLine, tell)
      case 'combined':
        return await this.#readLines(
          input,
          { fields: COMBINED_FIELDS, timeColumn: COMBINED_TIME_COLUMN },
          parseAccessLine,
          tell,
        )
      case 'arrow':
        return await this.#readColumns(await parseArrowIpc(await wholeInput(input)), tell)
      case 'csv':
      case 'parquet':
        return await input.withPath((path) =>
          this.#readColumns(scanFile(path, { format, signal: this.#session.signal }), tell),
        )
    }
  }

  async #readLines(
    input: InputFile,
    hints: LogHints,
    parse: ParseLine,
    tell: () => void,
  ): Promise<void> {
    for await (const block of splitLines(input.bytes())) {
      const { importer } = await this.#open(hints)
      for (const bad of block.bad) {
        await this.#rejects.add({
          file: input.name,
          line: bad.number,
          reason: bad.reason,
          text: bad.text,
        })
      }
      await importer.addRows(await this.#parseBlock(input.name, block, parse))
      tell()
    }
  }

  async #parseBlock(
    file: string,
    block: LineBlock,
    parse: ParseLine,
  ): Promise<readonly SourceRecord[]> {
    const rows: SourceRecord[] = []
    for (const { number, text } of block.lines) {
      const parsed = parse(text)
      if ('record' in parsed) rows.push({ file, line: number, record: parsed.record, text })
      else await this.#rejects.add({ file, line: number, reason: parsed.reason, text })
    }
    return rows
  }

  async #readColumns(
    chunks: AsyncIterable<ColumnRecords> | Iterable<ColumnRecords>,
    tell: () => void,
  ): Promise<void> {
    for await (const chunk of chunks) {
      this.#session.signal.throwIfAborted()
      const { importer } = await this.#open(this.#target === null ? { fields: chunk.fields } : {})
      await importer.addColumns(chunk)
      tell()
    }
  }

  async #open(hints: LogHints): Promise<{ readonly log: Log; readonly importer: LogImporter }> {
    if (this.#target !== null) return this.#target
    const log = await openOrCreateLog(
      this.#db,
      this.#flags.log,
      this.#flags,
      this.#config.defaults ?? {},
      hints,
    )
    const importer = new LogImporter(log, this.#rejects, {
      batchRecords: this.#flags.batchRecords ?? BATCH_RECORDS,
      signal: this.#session.signal,
    })
    this.#target = { log, importer }
    return this.#target
  }
}

type ParseLine = typeof parseJsonRecord

function parseNdjsonLine(text: string): ReturnType<ParseLine> {
  return parseJsonRecord(text)
}

function parseAccessLine(text: string): ReturnType<ParseLine> {
  const record = parseCombinedLine(text)
  return record === null
    ? { reason: 'not a line of the combined or common log format' }
    : { record: { ...record } }
}

async function wholeInput(input: InputFile): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of input.bytes()) chunks.push(chunk)
  return Buffer.concat(chunks)
}
