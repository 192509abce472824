/** One import of several files into one log, which is made when the first records are known. */
import { stat } from 'node:fs/promises'
import { StratalogError, toStratalogError } from '../../base/errors.ts'
import { formatCount } from '../../base/units.ts'
import { parseArrowIpc } from '../../format/arrow-input.ts'
import { scanFile } from '../../query/file-scan.ts'
import type { LogDescription } from '../../engine/log-description.ts'
import type { AppendTarget, ColumnRecords } from '../append-target.ts'
import type { FlagValues } from '../config-flags.ts'
import type { CreateFlags, LogHints, OpenTarget } from '../create-log.ts'
import { Progress } from '../progress.ts'
import { type Session, note } from '../session.ts'
import { COMBINED_FIELDS, COMBINED_TIME_COLUMN, parseCombinedLine } from './combined.ts'
import { type InputFile, openInput } from './input-file.ts'
import { type InputFormat, assertNotJson, detectFormat } from './input-format.ts'
import { parseJsonRecord } from '../../engine/json-record.ts'
import { type LineBlock, splitLines } from './lines.ts'
import { LogImporter, type SourceRecord } from './log-importer.ts'
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

/**
 * Opens each file and looks into it, so that nothing of any is taken when one cannot be.
 * @throws StratalogError `file_not_found`, `input_invalid`.
 */
export async function checkInputs(
  names: readonly string[],
  format: ImportFlags['format'],
): Promise<void> {
  for (const name of names) {
    // What can be read once, such as a pipe, is not looked into before its turn.
    if (name === '-' || (await isPipe(name))) continue
    const input = await openInput(name)
    try {
      formatOf(name, input, format)
    } finally {
      input.close()
    }
  }
}

/** False also for what is not there: opening it says so. */
async function isPipe(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null)
  return found !== null && !found.isFile() && !found.isDirectory()
}

function formatOf(name: string, { head }: InputFile, asked: ImportFlags['format']): InputFormat {
  const format = asked === 'auto' ? detectFormat(name, head) : asked
  if (format === 'csv') assertNotJson(name, head)
  return format
}

export class ImportJob {
  readonly #session: Session
  readonly #openTarget: OpenTarget
  readonly #flags: ImportFlags
  readonly #rejects: Rejects
  #opened: Opened | null = null
  #inputBytes = 0

  constructor(session: Session, openTarget: OpenTarget, flags: ImportFlags, rejects: Rejects) {
    this.#session = session
    this.#openTarget = openTarget
    this.#flags = flags
    this.#rejects = rejects
  }

  async add(name: string): Promise<void> {
    const input = await openInput(name)
    const progress = new Progress(this.#session, name === '-' ? 'standard input' : name)
    const onAbort = (): void => input.close()
    this.#session.signal.addEventListener('abort', onAbort, { once: true })
    try {
      const format = formatOf(name, input, this.#flags.format)
      // DuckDB reads these by itself, and does not say how far it is.
      const total = format === 'csv' || format === 'parquet' ? null : input.length
      const tell = (): void => {
        const records = this.#opened?.importer.records ?? 0
        progress.update({ done: input.bytesRead(), total, records, unit: 'bytes' })
      }
      await this.#read(format, input, tell)
      await this.#opened?.importer.flush()
      this.#inputBytes += input.length ?? input.bytesRead()
    } catch (error) {
      this.#session.signal.throwIfAborted()
      throw await this.#withTaken(error, name)
    } finally {
      this.#session.signal.removeEventListener('abort', onAbort)
      progress.end()
      input.close()
    }
  }

  /** The error, with what was acknowledged before it: those records stay. */
  async #withTaken(thrown: unknown, path: string): Promise<StratalogError> {
    const importer = this.#opened?.importer
    await importer?.flush().catch(() => {})
    const records = importer?.records ?? 0
    if (records > 0) note(this.#session, `${formatCount(records)} records were imported before.`)
    const error = toStratalogError(thrown)
    return new StratalogError(error.code, error.message, {
      cause: error.cause ?? error,
      details: { path, ...error.details, records, offsets: importer?.ranges ?? [] },
    })
  }

  /** The log is made even when no input had a record: the command says that it will be there. */
  async report(): Promise<ImportReport> {
    const { target, importer } = await this.#open({})
    return {
      records: importer.records,
      inputBytes: this.#inputBytes,
      schema: (await target.describe()).schema,
      offsets: importer.ranges,
    }
  }

  async #read(format: InputFormat, input: InputFile, tell: () => void): Promise<void> {
    // DuckDB would make up a column for it.
    if (format === 'csv' && input.head.length === 0) return
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
        return await this.#readColumns(await parseArrow(input), tell)
      case 'csv':
      case 'parquet':
        return await input.withPath((path) =>
          this.#readColumns(
            scanFile(path, {
              format,
              signal: this.#session.signal,
              onRejected: (line) => this.#rejects.add({ file: input.name, ...line }),
            }),
            tell,
          ),
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
      const { importer } = await this.#open(this.#opened === null ? { fields: chunk.fields } : {})
      await importer.addColumns(chunk)
      tell()
    }
  }

  async #open(hints: LogHints): Promise<Opened> {
    if (this.#opened !== null) return this.#opened
    const target = await this.#openTarget(this.#flags.log, hints)
    const importer = new LogImporter(target, this.#rejects, {
      batchRecords: this.#flags.batchRecords ?? BATCH_RECORDS,
      signal: this.#session.signal,
    })
    this.#opened = { target, importer }
    return this.#opened
  }
}

interface Opened {
  readonly target: AppendTarget
  readonly importer: LogImporter
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

async function parseArrow(input: InputFile): ReturnType<typeof parseArrowIpc> {
  const bytes = await wholeInput(input)
  try {
    return await parseArrowIpc(bytes)
  } catch (error) {
    const { code, message, details } = toStratalogError(error)
    throw new StratalogError(
      code === 'internal' ? 'input_invalid' : code,
      `${input.name === '-' ? 'Standard input' : input.name} cannot be read as arrow: ${message}`,
      { cause: error, details: { ...details, path: input.name } },
    )
  }
}

async function wholeInput(input: InputFile): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of input.bytes()) chunks.push(chunk)
  return Buffer.concat(chunks)
}
