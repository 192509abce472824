/**
 * Which records of a view are the newest of their keys. What was found of a log is kept for the next who asks, who then
 * pays for the records that came since and no others.
 *
 * Invariants:
 * - the answer for a view depends on the view alone, whether or not anything was kept: where records in the middle are
 *   gone (evicted, expired), what is kept says nothing of the older records behind them, and all is read again;
 * - what is kept takes at most `bytesMax`: the logs that were asked for longest ago go first, and all go when nobody
 *   asked for a while.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import type { ColumnData } from '../format/column.ts'
import type { LogDefinition } from '../format/manifest.ts'
import { endOffset as batchEnd, sliceRecordBatch } from '../format/record-batch.ts'
import { TOMBSTONE_COLUMN, fieldIndex } from '../format/schema.ts'
import { LatestKeys } from './latest-keys.ts'
import type { LogView, PartitionView } from './log-view.ts'
import type { OffsetSet } from './offset-set.ts'
import { readPartition, sourceRange } from './view-reader.ts'

/** By partition: offsets of the newest record of each key. */
export type LatestOffsets = ReadonlyMap<number, OffsetSet>

interface KeptLog {
  /** One asks after the other. */
  readonly turn: Mutex
  readonly partitions: Map<number, LatestKeys>
}

export interface LatestViewsOptions {
  readonly clock: Pick<Clock, 'yield' | 'setTimer'>
  readonly bytesMax?: number
}

const KEPT_BYTES_MAX = 128 * 1024 * 1024
const KEPT_MS = 5 * 60_000

/** Records that are looked at in one stretch: a few ms. */
const STRETCH_ROWS = 8_192

export class LatestViews {
  readonly #clock: LatestViewsOptions['clock']
  readonly #bytesMax: number
  /** By the log's id, those asked for last at the end. */
  readonly #kept = new Map<number, KeptLog>()
  #idle: Timer | null = null

  constructor({ clock, bytesMax = KEPT_BYTES_MAX }: LatestViewsOptions) {
    this.#clock = clock
    this.#bytesMax = bytesMax
  }

  /** Bytes of what is kept, about. */
  get keptBytes(): number {
    let bytes = 0
    for (const { partitions } of this.#kept.values())
      for (const keys of partitions.values()) bytes += keys.bytes
    return bytes
  }

  /**
   * The newest records of a pinned view.
   *
   * @throws StratalogError `argument_invalid` for a log without a key column, `query_limit` for too many keys,
   * `aborted`, and what reading throws.
   */
  async select(view: LogView, signal?: AbortSignal): Promise<LatestOffsets> {
    return this.#inTurn(view, signal, async (kept) => {
      const offsets = new Map<number, OffsetSet>()
      for (const partition of view.partitions) {
        const keys = await this.#keysOf(view, partition, kept, signal)
        offsets.set(partition.partition, keys.offsets(firstOffset(partition), partition.endOffset))
      }
      return offsets
    })
  }

  /**
   * Where the newest record of a key is in one partition; null where there is none. The key is the first row of a
   * column of the key column's type. @throws as `select`.
   */
  async find(
    view: LogView,
    partition: PartitionView,
    key: ColumnData,
    signal?: AbortSignal,
  ): Promise<number | null> {
    return this.#inTurn(view, signal, async (kept) => {
      const keys = await this.#keysOf(view, partition, kept, signal)
      const offset = keys.offsetOf(key)
      return offset === null || offset < firstOffset(partition) ? null : offset
    })
  }

  /** Lets go of all that is kept. */
  close(): void {
    this.#idle?.cancel()
    this.#idle = null
    this.#kept.clear()
  }

  async #inTurn<T>(
    view: LogView,
    signal: AbortSignal | undefined,
    use: (kept: KeptLog) => Promise<T>,
  ): Promise<T> {
    const { id } = view.definition
    keyColumnOf(view)
    const kept = this.#kept.get(id) ?? { turn: new Mutex(), partitions: new Map() }
    this.#kept.delete(id)
    this.#kept.set(id, kept)
    try {
      return await takeTurn(kept.turn, signal, () => use(kept))
    } catch (error) {
      // What was taken until an abort or a damage stays right, and is not taken again; too many keys are not kept.
      const isTooMany = isStratalogError(error) && error.code === 'query_limit'
      if (isTooMany && this.#kept.get(id) === kept) this.#kept.delete(id)
      throw error
    } finally {
      this.#bound()
    }
  }

  async #keysOf(
    view: LogView,
    partition: PartitionView,
    { partitions }: KeptLog,
    signal: AbortSignal | undefined,
  ): Promise<LatestKeys> {
    const field = view.schema.fields[fieldIndex(view.schema, keyColumnOf(view))]
    const type = field?.type ?? 'utf8'
    const held = partitions.get(partition.partition)
    // A key column that widened has other bytes for the same key.
    const known = held?.type === type ? held : undefined
    const first = firstOffset(partition)
    // As of a snapshot a log may begin before where it begins now.
    const isUsable =
      known !== undefined && known.next <= partition.endOffset && known.start <= first
    const keys = isUsable && isSound(partition, known) ? known : new LatestKeys(type, first)
    if (known === undefined || isUsable) partitions.set(partition.partition, keys)
    await this.#read(view, partition, keys, signal)
    keys.forget(first)
    return keys
  }

  async #read(
    view: LogView,
    { partition, endOffset }: PartitionView,
    keys: LatestKeys,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const keyColumn = keyColumnOf(view)
    const columns = [keyColumn, TOMBSTONE_COLUMN].filter(
      (name) => fieldIndex(view.schema, name) !== -1,
    )
    if (keys.next >= endOffset || columns[0] !== keyColumn) return
    const options = { from: keys.next, columns, signal, onGap: 'skip' } as const
    let rows = 0
    for await (const { batch } of readPartition(view, partition, options)) {
      for (let from = batch.baseOffset; from < batchEnd(batch); from += STRETCH_ROWS) {
        const to = Math.min(batchEnd(batch), from + STRETCH_ROWS)
        keys.add(sliceRecordBatch(batch, from, to), keyColumn)
        rows += to - from
        if (rows < STRETCH_ROWS) continue
        rows = 0
        await this.#clock.yield()
        // Whoever aborts may have let go of the view meanwhile.
        throwIfAborted(signal)
      }
    }
    keys.skipTo(endOffset)
  }

  #bound(): void {
    let bytes = this.keptBytes
    for (const [id, { partitions }] of this.#kept) {
      if (bytes <= this.#bytesMax) break
      for (const keys of partitions.values()) bytes -= keys.bytes
      this.#kept.delete(id)
    }
    this.#idle?.cancel()
    this.#idle = this.#kept.size === 0 ? null : this.#clock.setTimer(KEPT_MS, () => this.close())
  }
}

/** Who is aborted while others have their turn does not wait for them, and nothing is done any more. */
async function takeTurn<T>(
  turn: Mutex,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  throwIfAborted(signal)
  if (signal === undefined) return turn.run(work)
  let isBegun = false
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => {
    if (!isBegun) reject(toAborted(signal))
  }
  signal.addEventListener('abort', onAbort, { once: true })
  const done = turn.run(() => {
    isBegun = true
    throwIfAborted(signal)
    return work()
  })
  // One of the two is not waited for.
  aborted.catch(() => {})
  done.catch(() => {})
  try {
    return await Promise.race([done, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function toAborted(signal: AbortSignal): StratalogError {
  return new StratalogError('aborted', 'The latest view was not waited for.', {
    cause: signal.reason,
  })
}

/** @throws StratalogError `argument_invalid` for a log without one. */
export function keyColumnOf({ definition }: LogView): string {
  return assertKeyed(definition)
}

/** The key column. @throws StratalogError `argument_invalid` for a log without one. */
export function assertKeyed({ name, keyColumn }: LogDefinition): string {
  if (keyColumn !== null) return keyColumn
  throw new StratalogError(
    'argument_invalid',
    `Log '${name}' has no key column, and so no latest view.`,
    { details: { log: name } },
  )
}

/** Where the records begin that are there. */
function firstOffset({ sources, endOffset }: PartitionView): number {
  const [first] = sources
  return first === undefined ? endOffset : sourceRange(first).start
}

/** Whether no record that was newest is gone from between others or from the end, nor a tombstone may be. */
function isSound({ sources, gaps, endOffset }: PartitionView, known: LatestKeys): boolean {
  const isSoundBetween = (start: number, end: number): boolean => {
    const causes = gaps?.within(start, end) ?? []
    return causes.every(({ cause }) => cause === 'missing') && known.countBetween(start, end) === 0
  }
  let next: number | null = null
  for (const source of sources) {
    const { start, end } = sourceRange(source)
    if (next !== null && start > next && !isSoundBetween(next, start)) return false
    next = end
  }
  // The newest records of all may be gone too.
  const takenEnd = Math.min(known.next, endOffset)
  return next === null || next >= takenEnd || isSoundBetween(next, takenEnd)
}
