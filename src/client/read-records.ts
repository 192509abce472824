/**
 * Reading a log, through answers that break off: each time it goes on after the last record that came, so that every
 * offset comes exactly once.
 */
import { type StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { problemError } from '../base/server-problem.ts'
import { fromWire } from '../base/wire-value.ts'
import type { ReadOptions } from '../engine/read-options.ts'
import type { Field } from '../format/schema.ts'
import type { OffsetGap } from '../log/view-reader.ts'
import { answerLines, brokenOff } from './answer-lines.ts'
import { RowBatch } from './row-batch.ts'
import { type Transport, pathOf } from './transport.ts'

type Line = Readonly<Record<string, unknown>>
type Parameters = Record<string, string | number | boolean | undefined>

export function readRecords(
  transport: Transport,
  log: string,
  options: ReadOptions,
): AsyncGenerator<RowBatch, void, undefined> {
  return new Reading(transport, log, options).batches()
}

/** A partition that is still to be read, and where it goes on; null: as was asked. */
interface Rest {
  readonly partition: number
  readonly from: number | null
}

class Reading {
  readonly #transport: Transport
  readonly #path: string
  readonly #options: ReadOptions
  /** What the server has said of the log. */
  #fields: readonly Field[] = []
  #partitions = 1
  /** Null until an answer has broken off: all of it is one request then. */
  #rest: readonly Rest[] | null = null
  /** Where the newest batch was, and what came so far. */
  #position: Rest | null = null
  #received = 0
  #receivedOfPartition = 0
  #isWhole = false

  constructor(transport: Transport, log: string, options: ReadOptions) {
    this.#transport = transport
    this.#path = pathOf('logs', log, 'records')
    this.#options = options
  }

  async *batches(): AsyncGenerator<RowBatch, void, undefined> {
    const { signal, live = false, limit = Infinity } = this.#options
    for (let attempt = 0; ;) {
      const before = this.#received
      const response = await this.#open()
      try {
        if (response !== null) yield* this.#batchesOf(response)
        if (!this.#isWhole && this.#received < limit) throw brokenOff()
      } catch (error) {
        throwIfAborted(signal)
        if (!isBreak(error)) throw error
        if (this.#received > before) attempt = 0
        // The newest of each key has no order to go on in.
        const isLost = this.#received > 0 && 'latest' in this.#options
        if (isLost || (!live && attempt >= this.#transport.retries))
          throw isStratalogError(error) && error.kind !== 'aborted' ? error : brokenOff(error)
      }
      if (this.#received >= limit || (this.#isWhole && !this.#goOn())) return
      if (this.#isWhole) {
        attempt = 0
        continue
      }
      this.#rest = this.#restNow()
      await this.#transport.pause(++attempt, signal)
    }
  }

  /** Null where a live read has to wait for its server. */
  async #open(): Promise<Response | null> {
    const { signal, live = false } = this.#options
    this.#isWhole = false
    try {
      return await this.#transport.open(this.#path, {
        parameters: this.#parameters(),
        // A tail that had begun is opened again by `batches`, for as long as it takes.
        isRepeatable: !live || this.#position === null,
        isLong: live,
        signal,
      })
    } catch (error) {
      throwIfAborted(signal)
      if (live && this.#position !== null && isBreak(error)) return null
      throw error
    }
  }

  /** After a whole answer: whether another partition follows. */
  #goOn(): boolean {
    this.#rest = this.#rest?.slice(1) ?? []
    this.#receivedOfPartition = 0
    this.#position = null
    return this.#rest.length > 0
  }

  /** What is left of the read after a break. */
  #restNow(): readonly Rest[] | null {
    const position = this.#position
    if (position === null) return this.#rest
    if (this.#rest !== null) return [position, ...this.#rest.slice(1)]
    if (this.#options.partition !== undefined) return [position]
    const later = Array.from({ length: this.#partitions - position.partition - 1 }, (_, index) => ({
      partition: position.partition + 1 + index,
      from: null,
    }))
    return [position, ...later]
  }

  #parameters(): Parameters {
    const { signal: _signal, onGap, columns, since, until, asOf, ...asked } = this.#options
    const { limit = Infinity, last = Infinity, live = false } = asked
    const rest = this.#rest?.[0]
    const isAfter = rest !== undefined && rest.from !== null
    // The newest that there were when it began.
    const lastLeft = isAfter && !live ? last - this.#receivedOfPartition : Infinity
    const left = Math.min(limit - this.#received, lastLeft)
    return {
      ...asked,
      partition: rest?.partition ?? asked.partition,
      from: rest?.from ?? asked.from,
      last: isAfter ? undefined : asked.last,
      limit: left === Infinity ? undefined : left,
      format: 'rows',
      columns: columns?.join(','),
      since: textOfTime(since),
      until: textOfTime(until),
      asOf: textOfTime(asOf),
      onGap: typeof onGap === 'function' ? 'tell' : onGap,
    }
  }

  async *#batchesOf(response: Response): AsyncGenerator<RowBatch, void, undefined> {
    for await (const line of answerLines(response, this.#options.signal)) {
      const batch = this.#take(line)
      if (batch !== null) yield batch
      if (this.#isWhole) return
    }
  }

  #take(line: Line): RowBatch | null {
    const { fields, partitions, rows, gap, error, end, next } = line
    if (fields !== undefined) {
      this.#fields = fields as readonly Field[]
      this.#partitions = partitions as number
    }
    if (gap !== undefined) this.#tell(gap as OffsetGap)
    if (error !== undefined) throw errorOfLine(error)
    if (end === true) this.#isWhole = true
    if (rows === undefined) return null
    const batch = batchOf(line, this.#fields)
    if (batch.partition !== this.#position?.partition) this.#receivedOfPartition = 0
    this.#position = { partition: batch.partition, from: next as number }
    this.#received += batch.length
    this.#receivedOfPartition += batch.length
    return batch
  }

  #tell(gap: OffsetGap): void {
    const { onGap } = this.#options
    if (typeof onGap === 'function') onGap(gap)
  }
}

/** Whether an answer, or the way to one, broke; also where its server was told to stop. */
export function isBreak(error: unknown): boolean {
  if (!isStratalogError(error)) return false
  return error.kind === 'unavailable' || error.kind === 'closed' || error.kind === 'aborted'
}

export function errorOfLine(problem: unknown): StratalogError {
  return problemError(problem as Readonly<Record<string, unknown>>)
}

export function batchOf(line: Line, fields: readonly Field[]): RowBatch {
  const { partition, base, tier, offsets, rows } = line
  return new RowBatch({
    fields,
    rows: valuesOf(rows),
    partition: partition as number,
    baseOffset: base as number,
    tier: tier as RowBatch['tier'],
    offsets: offsets === undefined ? null : Float64Array.from(offsets as readonly number[]),
  })
}

/** The values of rows as the engine gives them. */
export function valuesOf(rows: unknown): readonly (readonly unknown[])[] {
  const all = rows as unknown[][]
  for (const row of all) {
    for (let index = 0; index < row.length; index++) {
      const value = row[index]
      if (typeof value === 'object' && value !== null) row[index] = fromWire(value)
    }
  }
  return all
}

export function textOfTime(time: Date | string | number | undefined): string | number | undefined {
  return time instanceof Date ? time.toISOString() : time
}
