/**
 * Records as the client of this package takes them: JSON Lines whose values are those that the engine gives, tagged
 * where JSON has no word for them (base/wire-value.ts). Each line is an object with one of
 *
 *     fields      what the values of the rows after it are: [{name, type, nullable}]; of a read also `partitions`, how
 *                 many the log has, of a query `columns`, their SQL types. Again where they change
 *     rows        [[value, …], …]; of a read also `partition`, `base` (the first offset), `tier`, `next` (where a read
 *                 goes on after them) and `offsets`, where they do not follow one another
 *     gap         {partition, from, to, cause}: offsets that no tier holds
 *     error       what broke it off, as the body of a problem
 *     end         all is there; of a query also `stats`. A live read has none
 */
import { fromWire, toWire } from '../../base/wire-value.ts'
import type { Batch } from '../../engine/batch.ts'
import type { BatchStream } from '../../engine/batch-stream.ts'
import { columnReader } from '../../format/column-values.ts'
import type { ColumnData } from '../../format/column.ts'
import type { Field } from '../../format/schema.ts'
import type { OffsetGap } from '../../log/view-reader.ts'
import type { QueryResult } from '../../query/query-result.ts'
import { valueReader } from '../../query/result-values.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import { MEDIA_TYPES } from './record-answer.ts'

type ValueReader = (row: number) => unknown

export interface RecordLinesOptions {
  readonly fieldsOfNone: readonly Field[]
  readonly partitions: number
  readonly isLive: boolean
}

/** Gaps that a read tells of, from before the read began until it is sent. */
export class GapLines {
  readonly #waiting: OffsetGap[] = []
  #send: ((gap: OffsetGap) => void) | null = null

  readonly tell = (gap: OffsetGap): void => {
    if (this.#send === null) this.#waiting.push(gap)
    else this.#send(gap)
  }

  sendTo(send: (gap: OffsetGap) => void): void {
    for (const gap of this.#waiting.splice(0)) send(gap)
    this.#send = send
  }
}

/** Resolves once all is sent, or the client is gone. What fails before the first line is thrown. */
export async function sendRecordLines(
  exchange: Exchange,
  records: BatchStream,
  gaps: GapLines,
  { fieldsOfNone, partitions, isLive }: RecordLinesOptions,
): Promise<void> {
  const lines = new Lines(exchange)
  let fields: readonly Field[] | null = null
  const begin = (now: readonly Field[]): Promise<boolean> => {
    fields = now
    const begun = lines.write({ fields: now, partitions })
    gaps.sendTo((gap) => void lines.write({ gap }))
    return begun
  }
  if (isLive && !(await begin(fieldsOfNone))) return
  await lines.telling(async () => {
    for await (const batch of records) {
      if (!isSame(fields, batch.fields) && !(await begin(batch.fields))) return
      if (!(await lines.write(lineOf(batch)))) return
    }
    if (fields === null) await begin(fieldsOfNone)
    if (!isLive) await lines.write({ end: true })
  })
}

/** As `sendRecordLines`. */
export async function sendResultLines(exchange: Exchange, result: QueryResult): Promise<void> {
  const lines = new Lines(exchange)
  const { columns, schema } = result
  await lines.telling(async () => {
    let isBegun = false
    const begin = (): Promise<boolean> => {
      isBegun = true
      return lines.write({ columns, fields: schema.fields })
    }
    for await (const chunk of result.batches()) {
      if (!isBegun && !(await begin())) return
      const readers = chunk.columns.map((column, index) =>
        valueReader(column, columns[index]?.type ?? ''),
      )
      if (!(await lines.write({ rows: rowsOf(readers, chunk.length) }))) return
    }
    if (!isBegun) await begin()
    await lines.write({ end: true, stats: await result.stats })
  })
}

/** One record, or none. */
export function sendRow(exchange: Exchange, row: Readonly<Record<string, unknown>> | null): void {
  exchange.sendJson(200, { row: row === null ? null : toWire(row) })
}

/** A parameter or a part of a body that was tagged. @throws RequestProblem `request_invalid`; StratalogError. */
export function fromWireText(text: string, name: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new RequestProblem('request_invalid', `${name} is not JSON.`)
  }
  return fromWire(value)
}

class Lines {
  readonly #exchange: Exchange
  #isBegun = false

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** Resolves when there is room for the next; false once the client is gone. */
  write(line: object): Promise<boolean> {
    if (!this.#isBegun) {
      this.#isBegun = true
      this.#exchange.begin(200, { 'content-type': MEDIA_TYPES.rows, 'cache-control': 'no-store' })
    }
    return this.#exchange.write(`${JSON.stringify(line)}\n`)
  }

  /** Says at the end what `run` threw, once it has written a line. */
  async telling(run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      if (!this.#isBegun) throw error
      const { body } = this.#exchange.problemOf(error)
      await this.write({ error: body })
    }
    this.#exchange.response.end()
  }
}

function lineOf(batch: Batch): object {
  const { partition, baseOffset, length, tier, offsets } = batch
  const last = offsets?.[length - 1] ?? baseOffset + length - 1
  return {
    partition,
    base: baseOffset,
    tier,
    next: last + 1,
    ...(offsets === null ? {} : { offsets: [...offsets] }),
    rows: rowsOf(batch.columns.map(readerOf), length),
  }
}

function readerOf(column: ColumnData): ValueReader {
  return columnReader(column)
}

export function rowsOf(readers: readonly ValueReader[], length: number): unknown[][] {
  const rows: unknown[][] = []
  for (let row = 0; row < length; row++) {
    const values: unknown[] = []
    for (const read of readers) values.push(toWire(read(row)))
    rows.push(values)
  }
  return rows
}

function isSame(before: readonly Field[] | null, now: readonly Field[]): boolean {
  if (before === now) return true
  if (before?.length !== now.length) return false
  return now.every(({ name, type }, index) => {
    const other = before[index]
    return other?.name === name && other.type === type
  })
}
