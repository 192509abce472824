/**
 * Which rows of a batch expire when, and which go first: runs of rows that are equal in both.
 *
 * Most batches have no such list: where nothing was asked for, rows never expire and have priority 0. A batch that was
 * copied from another without some of its rows has holes between its offsets; then each run also says where it begins.
 *
 * Invariants: runs follow each other and cover every committed row; two neighbours differ in something, or have a hole
 * between them. The arrays are counted as memory of the batch.
 */
import type { Range } from '../base/range.ts'
import type { BatchMemory } from './memory-account.ts'

const CAPACITY_MIN = 4
/** Of the row's end, the expiry and the priority. */
const RUN_BYTES = 4 + 8 + 2
const OFFSET_BYTES = 8

export class RunList {
  readonly #memory: BatchMemory
  readonly #baseOffset: number
  #count = 0
  #rowEnds = new Int32Array(0)
  #priorities = new Int16Array(0)
  #expiries = new Float64Array(0)
  /** Null while there are no holes. */
  #offsets: Float64Array | null = null
  #bytes = 0
  #expiresMin = Infinity
  #expiresMax = -Infinity
  #priorityMin = Infinity

  constructor(memory: BatchMemory, baseOffset: number) {
    this.#memory = memory
    this.#baseOffset = baseOffset
  }

  get count(): number {
    return this.#count
  }
  get bytes(): number {
    return this.#bytes
  }
  /** The nearest and the farthest expiry of a row. */
  get expiresMin(): number {
    return this.#expiresMin
  }
  get expiresMax(): number {
    return this.#expiresMax
  }
  get priorityMin(): number {
    return this.#priorityMin
  }
  get hasHoles(): boolean {
    return this.#offsets !== null
  }
  get rowEnd(): number {
    return this.#rowEnds[this.#count - 1] ?? 0
  }
  get endOffset(): number {
    const last = this.#count - 1
    return last < 0 ? this.#baseOffset : this.offsetOf(last) + this.rowEnd - this.rowStart(last)
  }

  rowStart(run: number): number {
    return run === 0 ? 0 : (this.#rowEnds[run - 1] ?? 0)
  }
  rowEndOf(run: number): number {
    return this.#rowEnds[run] ?? 0
  }
  expiresAt(run: number): number {
    return this.#expiries[run] ?? Infinity
  }
  priority(run: number): number {
    return this.#priorities[run] ?? 0
  }
  /** The offset of a run's first row. */
  offsetOf(run: number): number {
    return this.#offsets?.[run] ?? this.#baseOffset + this.rowStart(run)
  }

  /** The rows of some runs, as starts and ends in turn; what touches is one. */
  rowRanges(runs: Int32Array): Int32Array {
    const ranges = new Int32Array(runs.length * 2)
    let count = 0
    for (const run of runs) {
      const start = this.rowStart(run)
      if (count > 0 && ranges[count - 1] === start) count--
      else ranges[count++] = start
      ranges[count++] = this.rowEndOf(run)
    }
    return ranges.subarray(0, count)
  }

  /** Rows up to `rowEnd` that begin at `offset`. @throws BudgetExceeded, and nothing is added then. */
  add(rowEnd: number, offset: number, expiresAt: number, priority: number): void {
    const last = this.#count - 1
    const isDense = offset === this.endOffset
    const isAlike =
      last >= 0 && this.expiresAt(last) === expiresAt && this.priority(last) === priority
    if (isDense && isAlike) {
      this.#rowEnds[last] = rowEnd
      return
    }
    if (this.#count === this.#rowEnds.length || (!isDense && this.#offsets === null)) {
      const capacity = Math.max(CAPACITY_MIN, this.#count * 2)
      this.#resize(
        this.#count < this.#rowEnds.length ? this.#rowEnds.length : capacity,
        this.#offsets !== null || !isDense,
      )
    }
    this.#rowEnds[this.#count] = rowEnd
    this.#priorities[this.#count] = priority
    this.#expiries[this.#count] = expiresAt
    if (this.#offsets !== null) this.#offsets[this.#count] = offset
    this.#count++
    this.#expiresMin = Math.min(this.#expiresMin, expiresAt)
    this.#expiresMax = Math.max(this.#expiresMax, expiresAt)
    this.#priorityMin = Math.min(this.#priorityMin, priority)
  }

  /** The rows of offsets below `end`. */
  rowsBelow(end: number): number {
    const run = this.runAt(end)
    if (run === this.#count) return this.rowEnd
    return this.rowStart(run) + Math.max(0, end - this.offsetOf(run))
  }

  /** Calls back with each run of the first `rows`, the last one cut to them. */
  eachBelow(
    rows: number,
    visit: (from: number, to: number, offset: number, expiresAt: number, priority: number) => void,
  ): void {
    for (let run = 0; run < this.#count; run++) {
      const from = this.rowStart(run)
      if (from >= rows) return
      const to = Math.min(rows, this.rowEndOf(run))
      visit(from, to, this.offsetOf(run), this.expiresAt(run), this.priority(run))
    }
  }

  /** The offsets in `[from, to)` that are there and do not expire by `now`, as ranges in order. */
  liveRanges(from: number, to: number, now: number): Range[] {
    const ranges: Range[] = []
    let open: { start: number; end: number } | null = null
    for (let run = this.runAt(from); run < this.#count; run++) {
      const offset = this.offsetOf(run)
      if (offset >= to) break
      if (this.expiresAt(run) <= now) continue
      const start = Math.max(from, offset)
      const end = Math.min(to, offset + this.rowEndOf(run) - this.rowStart(run))
      if (open !== null && open.end === start) open.end = end
      else ranges.push((open = { start, end }))
    }
    return ranges
  }

  /** The run that holds an offset, or the next one behind it; `count` behind the last. */
  runAt(offset: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      const end = this.offsetOf(middle) + this.rowEndOf(middle) - this.rowStart(middle)
      if (end <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The row of an offset, or -1 for one that is not there. */
  rowAt(offset: number): number {
    const run = this.runAt(offset)
    if (run === this.#count || this.offsetOf(run) > offset) return -1
    return this.rowStart(run) + offset - this.offsetOf(run)
  }

  /** No more runs come. */
  seal(): void {
    if (this.#count < this.#rowEnds.length) this.#resize(this.#count, this.#offsets !== null)
  }

  /** Gives the memory back; the list is not used any more. */
  free(): void {
    this.#memory.disown(this.#bytes)
    this.#bytes = 0
    this.#count = 0
  }

  #resize(capacity: number, hasOffsets: boolean): void {
    const bytes = capacity * (RUN_BYTES + (hasOffsets ? OFFSET_BYTES : 0))
    if (bytes > this.#bytes) this.#memory.adopt(bytes - this.#bytes)
    else this.#memory.disown(this.#bytes - bytes)
    this.#bytes = bytes
    const offsets = hasOffsets ? this.#allOffsets(capacity) : null
    this.#rowEnds = copied(new Int32Array(capacity), this.#rowEnds)
    this.#priorities = copied(new Int16Array(capacity), this.#priorities)
    this.#expiries = copied(new Float64Array(capacity), this.#expiries)
    this.#offsets = offsets
  }

  #allOffsets(capacity: number): Float64Array<ArrayBuffer> {
    const offsets = new Float64Array(capacity)
    for (let run = 0; run < this.#count; run++) offsets[run] = this.offsetOf(run)
    return offsets
  }
}

function copied<T extends Int16Array | Int32Array | Float64Array>(to: T, from: T): T {
  to.set(from.length <= to.length ? from : from.subarray(0, to.length))
  return to
}
