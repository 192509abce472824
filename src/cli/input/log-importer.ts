/**
 * Appends what an import reads, in order, while the next is being parsed: rows one append at a time, columns a few at a
 * time, so that they share a sync. An append is applied
 * whole or not at all: a record that the log refuses is taken out and rejected, and the rest of its append goes on.
 */
import type { Clock } from '../../base/clock.ts'
import { isStratalogError } from '../../base/errors.ts'
import { sliceColumn } from '../../format/column.ts'
import { APPEND_ROWS_MAX } from '../../format/limits.ts'
import type { AckLevel } from '../../format/manifest.ts'
import type { JsonRecord } from '../../engine/json-record.ts'
import type { AppendTarget, ColumnRecords, TargetOptions } from '../append-target.ts'
import type { ImportNotes } from './import-notes.ts'
import { columnsByPartition, groupByPartition } from './partition-groups.ts'
import type { Rejects } from './rejects.ts'

export interface SourceRecord {
  readonly file: string
  readonly line: number
  readonly record: JsonRecord
  /** The line as it was, for a reject. */
  readonly text: string
}

export interface AppendedRange {
  readonly partition: number
  readonly from: number
  readonly to: number
}

export interface ImporterOptions {
  readonly batchRecords: number
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly ack?: AckLevel
  /** Where it is noted how far the import is, where it is. */
  readonly notes?: ImportNotes
}

/** Appends of columns that are under way at once. */
const BESIDE_MAX = 4

/** Codes of errors that are the fault of a record, not of the log or the machine. */
const RECORD_FAULTS: ReadonlySet<string> = new Set([
  'schema_mismatch',
  'schema_invalid',
  'record_invalid',
  'record_too_large',
  'append_too_large',
])

export class LogImporter {
  readonly #target: AppendTarget
  readonly #rejects: Rejects
  readonly #options: ImporterOptions
  readonly #ranges = new Map<number, { from: number; to: number }>()
  #records = 0
  /** Settles with all that was begun. */
  #pending: Promise<void> = Promise.resolve()
  readonly #beside = new Set<Promise<void>>()
  #hasFailed = false

  constructor(target: AppendTarget, rejects: Rejects, options: ImporterOptions) {
    this.#target = target
    this.#rejects = rejects
    this.#options = options
  }

  /** Records acknowledged so far. */
  get records(): number {
    return this.#records
  }

  /** What was appended, by partition. */
  get ranges(): readonly AppendedRange[] {
    const ranges = [...this.#ranges].map(([partition, { from, to }]) => ({ partition, from, to }))
    return ranges.toSorted((a, b) => a.partition - b.partition)
  }

  async addRows(rows: readonly SourceRecord[]): Promise<void> {
    for (let start = 0; start < rows.length; start += this.#options.batchRecords) {
      const batch = rows.slice(start, start + this.#options.batchRecords)
      for (const group of groupByPartition(this.#target, batch, ({ record }) => record))
        await this.#enqueue(() => this.#appendRows(group))
    }
  }

  async addColumns(input: ColumnRecords): Promise<void> {
    for (const { partition, records } of columnsByPartition(this.#target, input)) {
      const options = partition === null ? {} : { partition }
      const rowsMax = this.#columnRowsMax(records)
      for (let start = 0; start < records.length; start += rowsMax) {
        const end = Math.min(records.length, start + rowsMax)
        const columns = records.columns.map((column) => sliceColumn(column, start, end))
        const part = { fields: records.fields, columns, length: end - start }
        await this.#enqueueBeside(() => this.#appendColumns(part, options))
      }
    }
  }

  /** Sends as one append what an import sent so that broke off. */
  async addAgain(rows: readonly SourceRecord[]): Promise<void> {
    await this.#enqueue(() => this.#appendRows(rows))
  }

  async addColumnsAgain(records: ColumnRecords): Promise<void> {
    await this.#enqueue(() => this.#appendColumns(records, {}))
  }

  /** Resolves when all that was added is acknowledged. */
  async flush(): Promise<void> {
    await this.#pending
  }

  /** Starts the next append once the one before is done; the caller goes on parsing meanwhile. */
  async #enqueue(append: () => Promise<void>): Promise<void> {
    await this.#pending
    this.#options.signal.throwIfAborted()
    this.#pending = append()
    // It is awaited before the next one, where its failure counts.
    this.#pending.catch(() => {})
  }

  /** Starts the next append beside those before it, none of which was refused. */
  async #enqueueBeside(append: () => Promise<void>): Promise<void> {
    const { notes, signal, clock } = this.#options
    const besideMax = notes === undefined ? Math.min(BESIDE_MAX, this.#target.inFlightMax) : 1
    if (besideMax === 1) return await this.#enqueue(append)
    while (this.#beside.size >= besideMax) await Promise.race(this.#beside)
    if (this.#hasFailed) return await this.#pending
    signal.throwIfAborted()
    const appended = append()
    const ended = appended
      .catch(() => {
        this.#hasFailed = true
      })
      .then(() => {
        this.#beside.delete(ended)
      })
    this.#beside.add(ended)
    this.#pending = settled([this.#pending, appended])
    this.#pending.catch(() => {})
    // The log refuses an append before it waits for anything, so one turn tells.
    await clock.yield()
  }

  async #appendRows(rows: readonly SourceRecord[]): Promise<void> {
    const last = rows.at(-1)
    if (last === undefined) return
    try {
      await this.#append(
        rows.map(({ record }) => record),
        {},
        last.line + 1,
      )
    } catch (error) {
      if (!isStratalogError(error) || !RECORD_FAULTS.has(error.code)) throw error
      const only = rows[0]
      if (rows.length === 1 && only !== undefined) {
        const { file, line, text } = only
        await this.#rejects.add({ file, line, text, reason: reasonOf(error.message) })
        this.#options.notes?.passed(line + 1)
        return
      }
      const named = error.details['row']
      const at = typeof named === 'number' && named < rows.length ? named : rows.length >> 1
      await this.#appendRows(rows.slice(0, at))
      // A named row stands alone: its reason is then that of a single record.
      const next = typeof named === 'number' ? at + 1 : at
      await this.#appendRows(rows.slice(at, next))
      await this.#appendRows(rows.slice(next))
    }
  }

  /** Half of an append's limit, so that what the log adds to the columns has room. */
  #columnRowsMax({ columns, length }: ColumnRecords): number {
    const bytes = columns.reduce((sum, column) => sum + this.#target.sizeOf(column), 0)
    const perRow = Math.max(1, bytes / Math.max(1, length))
    const rows = Math.floor(this.#target.appendBytesMax / 2 / perRow)
    return Math.max(1, Math.min(APPEND_ROWS_MAX, rows))
  }

  async #appendColumns(records: ColumnRecords, options: TargetOptions): Promise<void> {
    const start = this.#options.notes?.unfinished.from ?? 0
    await this.#append(records, options, start + records.length)
  }

  /** @param to the place behind the records in their input. */
  async #append(
    records: readonly JsonRecord[] | ColumnRecords,
    options: TargetOptions,
    to: number,
  ): Promise<void> {
    const { notes, ack } = this.#options
    const producer = await notes?.intend(to)
    const done = await this.#target.append(records, {
      ...options,
      ...(ack === undefined ? {} : { ack }),
      ...(producer === undefined ? {} : { producer }),
    })
    notes?.appended()
    this.#records += done.count
    const range = this.#ranges.get(done.partition)
    const end = done.offset + done.count
    if (range === undefined) this.#ranges.set(done.partition, { from: done.offset, to: end })
    else range.to = end
  }
}

/** Rejects as the first of them does, but no sooner than all have settled. */
async function settled(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(promises)
  await Promise.all(promises)
}

/** `Record 0, column "a": expected …. Nothing of this append was applied.` without what a reject knows by itself. */
function reasonOf(message: string): string {
  return message
    .replace(/^Record \d+,? ?/, '')
    .replace(/ Nothing of this append was applied\.$/, '')
}
