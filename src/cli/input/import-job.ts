/** One import of several files into one log, which is made when the first records are known. */
import { stat } from 'node:fs/promises'
import { StratalogError, toStratalogError } from '../../base/errors.ts'
import { formatCount } from '../../base/units.ts'
import type { AckLevel } from '../../format/manifest.ts'
import type { Field } from '../../format/schema.ts'
import { AheadParser } from './ahead-parser.ts'
import type { LogDescription } from '../../engine/log-description.ts'
import type { AppendTarget, ColumnRecords } from '../append-target.ts'
import type { FlagValues } from '../config-flags.ts'
import type { CreateFlags, LogHints, OpenTarget } from '../create-log.ts'
import { Progress } from '../progress.ts'
import { type Session, note } from '../session.ts'
import {
  COMBINED_FIELDS,
  COMBINED_TIME_COLUMN,
  parseAccessTime,
  parseCombinedLine,
} from './combined.ts'
import { type InputFile, openInput } from './input-file.ts'
import { type InputFormat, assertNotJson, detectFormat } from './input-format.ts'
import { type ParsedRecord, parseJsonRecord } from '../../engine/json-record.ts'
import { type LineBlock, splitLines } from './lines.ts'
import type { ImportNotes, Unfinished } from './import-notes.ts'
import { LogImporter, type SourceRecord } from './log-importer.ts'
import { joined, restOfColumns, restOfRows } from './unfinished.ts'
import type { Rejects } from './rejects.ts'

export interface ImportFlags extends FlagValues, CreateFlags {
  readonly log: string
  readonly format: InputFormat | 'auto'
  readonly rejects?: string
  readonly batchRecords?: number
  readonly resume?: string
}

const FROM_THE_BEGINNING: Unfinished = { from: 0, to: null }

/** Records in one append: enough to make an fsync cheap, few enough to undo quickly. */
const BATCH_RECORDS = 20_000

export interface ImportReport {
  readonly records: number
  readonly inputBytes: number
  readonly schema: LogDescription['schema']
  readonly offsets: LogImporter['ranges']
}

export interface CheckedInput {
  readonly name: string
  /** Null for what can be read once only. */
  readonly bytes: number | null
}

/**
 * Opens each file and looks into it, so that nothing of any is taken when one cannot be.
 * @throws StratalogError `file_not_found`, `input_invalid`.
 */
export async function checkInputs(
  names: readonly string[],
  format: ImportFlags['format'],
): Promise<readonly CheckedInput[]> {
  const checked: CheckedInput[] = []
  for (const name of names) {
    // What can be read once, such as a pipe, is not looked into before its turn.
    if (name === '-' || (await isPipe(name))) {
      checked.push({ name, bytes: null })
      continue
    }
    const input = await openInput(name)
    try {
      formatOf(name, input, format)
      checked.push({ name, bytes: input.length })
    } finally {
      input.close()
    }
  }
  return checked
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
  readonly #notes: ImportNotes | null
  readonly #ahead = new AheadParser()
  #opened: Opened | null = null
  #inputs = 0
  #inputBytes = 0

  constructor(
    session: Session,
    openTarget: OpenTarget,
    flags: ImportFlags,
    { rejects, notes }: { readonly rejects: Rejects; readonly notes: ImportNotes | null },
  ) {
    this.#session = session
    this.#openTarget = openTarget
    this.#flags = flags
    this.#rejects = rejects
    this.#notes = notes
  }

  async add(name: string): Promise<void> {
    const number = this.#inputs++
    if (this.#notes?.isDone(number) === true) return
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
      await this.#notes?.finished()
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

  async close(): Promise<void> {
    await this.#ahead.close()
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
        return this.#canParseAhead()
          ? await this.#readAhead(input, tell)
          : await this.#readLines(input, {}, parseNdjsonLine, tell)
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
      case 'parquet': {
        const { scanFile } = await import('../../query/file-scan.ts')
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
  }

  /** Columns are noted, and cut into appends, otherwise than lines are. */
  #canParseAhead(): boolean {
    return this.#notes === null && this.#flags.batchRecords === undefined
  }

  /** Lines of JSON, most of them parsed on another thread while those before are appended. */
  async #readAhead(input: InputFile, tell: () => void): Promise<void> {
    let fields: readonly Field[] = []
    let isKnown = false
    const fieldsOf = async (): Promise<readonly Field[]> => {
      const { target } = await this.#open({})
      if (!isKnown && target.partitions === 1) fields = (await target.describe()).schema
      isKnown = fields.length > 0
      return fields
    }
    const blocks = splitLines(input.passingBytes())
    for await (const { block, columns } of this.#ahead.parse(blocks, fieldsOf)) {
      const { importer, target } = await this.#open({})
      if (columns === null) {
        const rows = await this.#parseBlock(input.name, 0, block, (text) =>
          parseNdjsonLine(text, target.timeColumn),
        )
        await importer.addRows(rows)
        // They may have brought columns.
        isKnown = false
      } else {
        block.pass(columns.lineCount)
        await importer.addColumns(columns.records)
        void importer.flush().then(columns.release, columns.release)
      }
      tell()
    }
  }

  async #readLines(
    input: InputFile,
    hints: LogHints,
    parse: ParseLine,
    tell: () => void,
  ): Promise<void> {
    const left = this.#notes?.unfinished ?? FROM_THE_BEGINNING
    let again: readonly SourceRecord[] = []
    for await (const block of splitLines(input.bytes())) {
      const { importer, target } = await this.#open(hints)
      const rows = await this.#parseBlock(input.name, left.from, block, (text) =>
        parse(text, target.timeColumn),
      )
      const rest = restOfRows(rows, left)
      again = [...again, ...rest.again]
      if (rest.next.length > 0 && again.length > 0) {
        await importer.addAgain(again)
        again = []
      }
      await importer.addRows(rest.next)
      tell()
    }
    if (again.length > 0) await (await this.#open(hints)).importer.addAgain(again)
  }

  /** The records of a block, and rejects; what lies before `from` was seen to. */
  async #parseBlock(
    file: string,
    from: number,
    block: LineBlock,
    parse: typeof parseJsonRecord,
  ): Promise<readonly SourceRecord[]> {
    for (const { number, reason, text } of block.bad) {
      if (number >= from) await this.#rejects.add({ file, line: number, reason, text })
    }
    const rows: SourceRecord[] = []
    for (const { number, text } of block.lines) {
      if (number < from) continue
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
    const left = this.#notes?.unfinished ?? FROM_THE_BEGINNING
    let again: readonly ColumnRecords[] = []
    let start = 0
    for await (const chunk of chunks) {
      this.#session.signal.throwIfAborted()
      const { importer } = await this.#open(this.#opened === null ? { fields: chunk.fields } : {})
      const rest = restOfColumns(chunk, start, left)
      start += chunk.length
      again = [...again, ...rest.again]
      if (rest.next.length > 0 && again.length > 0) {
        await importer.addColumnsAgain(joined(again))
        again = []
      }
      for (const part of rest.next) await importer.addColumns(part)
      tell()
    }
    if (again.length > 0) await (await this.#open({})).importer.addColumnsAgain(joined(again))
  }

  async #open(hints: LogHints): Promise<Opened> {
    if (this.#opened !== null) return this.#opened
    const target = await this.#openTarget(this.#flags.log, hints)
    const importer = new LogImporter(target, this.#rejects, {
      batchRecords: this.#flags.batchRecords ?? BATCH_RECORDS,
      signal: this.#session.signal,
      clock: this.#session.clock,
      ...(this.#notes === null ? {} : await noted(this.#notes, target)),
    })
    this.#opened = { target, importer }
    return this.#opened
  }
}

/** What is noted as appended must still be there after a crash. @throws StratalogError `argument_invalid`. */
async function noted(
  notes: ImportNotes,
  target: AppendTarget,
): Promise<{ readonly notes: ImportNotes; readonly ack?: AckLevel }> {
  if (target.partitions > 1)
    throw new StratalogError('argument_invalid', '--resume is for logs of one partition.')
  const { policy } = await target.describe()
  return policy.mode !== 'memory' && policy.wal ? { notes, ack: 'disk' } : { notes }
}

interface Opened {
  readonly target: AppendTarget
  readonly importer: LogImporter
}

type ParseLine = (text: string, timeColumn: string | null) => ParsedRecord

/** The time of a JSON access log may be written as in other access logs. */
function parseNdjsonLine(text: string, timeColumn: string | null): ParsedRecord {
  const parsed = parseJsonRecord(text)
  if (timeColumn === null || !('record' in parsed)) return parsed
  const time = parsed.record[timeColumn]
  const date = typeof time === 'string' ? parseAccessTime(time) : null
  return date === null ? parsed : { record: { ...parsed.record, [timeColumn]: date } }
}

function parseAccessLine(text: string): ParsedRecord {
  const record = parseCombinedLine(text)
  return record === null
    ? { reason: 'not a line of the combined or common log format' }
    : { record: { ...record } }
}

async function parseArrow(input: InputFile): Promise<readonly ColumnRecords[]> {
  const bytes = await wholeInput(input)
  const { parseArrowIpc } = await import('../../format/arrow-ipc.ts')
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
