/**
 * Rows that follow one another in a block, all of which count, in groups that are the codes of one text: the usual
 * case, which needs no list of rows.
 *
 * Totals are kept by the codes of the block's own dictionary and put together at its end. Rows next to each other go to
 * totals of their own, four in turn: a processor waits for a sum that it has just written before it adds to it.
 */
import type { ElementArray } from '../format/column-elements.ts'

/** Values that doubles hold. */
export type Numbers = Exclude<ElementArray, BigInt64Array | BigUint64Array>

/** More than a dictionary has that groups are made of. */
const LANE = 256
const LANES = 4

const ONE_GROUP = new Uint8Array(1)

const laneCounts = new Int32Array(LANES * LANE)
const laneSums = new Float64Array(LANES * LANE)

export class RowRange {
  readonly start: number
  readonly end: number
  /** By row of the block; null where there is but one group. */
  readonly #codes: Uint8Array | Int32Array | null
  /** By code. */
  readonly #groups: Uint8Array
  readonly #counts: Float64Array

  constructor(
    start: number,
    end: number,
    codes: Uint8Array | Int32Array | null = null,
    groups: Uint8Array = ONE_GROUP,
  ) {
    this.start = start
    this.end = end
    this.#codes = codes
    this.#groups = groups
    this.#counts = new Float64Array(groups.length)
    if (codes === null) this.#counts[0] = end - start
    else countCodes(codes, start, end, this.#counts)
  }

  /** Adds to each group how many rows it has. */
  addCounts(totals: Float64Array): void {
    this.#addTo(totals, this.#counts)
  }

  /** Adds to each group the values of its rows. */
  addSums(values: Numbers, totals: Float64Array): void {
    const sums = new Float64Array(this.#groups.length)
    if (this.#codes === null) sums[0] = sumOf(values, this.start, this.end)
    else sumByCode(this.#codes, values, this.start, this.end, sums)
    this.#addTo(totals, sums)
  }

  #addTo(totals: Float64Array, byCode: Float64Array): void {
    for (let code = 0; code < byCode.length; code++) {
      const group = this.#groups[code] ?? 0
      totals[group] = (totals[group] ?? 0) + (byCode[code] ?? 0)
    }
  }
}

function countCodes(
  codes: Uint8Array | Int32Array,
  start: number,
  end: number,
  byCode: Float64Array,
): void {
  const counts = laneCounts
  let row = start
  for (; row + 3 < end; row += LANES) {
    const a = codes[row] ?? 0
    const b = LANE + (codes[row + 1] ?? 0)
    const c = 2 * LANE + (codes[row + 2] ?? 0)
    const d = 3 * LANE + (codes[row + 3] ?? 0)
    counts[a] = (counts[a] ?? 0) + 1
    counts[b] = (counts[b] ?? 0) + 1
    counts[c] = (counts[c] ?? 0) + 1
    counts[d] = (counts[d] ?? 0) + 1
  }
  for (; row < end; row++) {
    const a = codes[row] ?? 0
    counts[a] = (counts[a] ?? 0) + 1
  }
  takeLanes(counts, byCode)
}

function sumByCode(
  codes: Uint8Array | Int32Array,
  values: Numbers,
  start: number,
  end: number,
  byCode: Float64Array,
): void {
  const sums = laneSums
  let row = start
  for (; row + 3 < end; row += LANES) {
    const a = codes[row] ?? 0
    const b = LANE + (codes[row + 1] ?? 0)
    const c = 2 * LANE + (codes[row + 2] ?? 0)
    const d = 3 * LANE + (codes[row + 3] ?? 0)
    sums[a] = (sums[a] ?? 0) + (values[row] ?? 0)
    sums[b] = (sums[b] ?? 0) + (values[row + 1] ?? 0)
    sums[c] = (sums[c] ?? 0) + (values[row + 2] ?? 0)
    sums[d] = (sums[d] ?? 0) + (values[row + 3] ?? 0)
  }
  for (; row < end; row++) {
    const a = codes[row] ?? 0
    sums[a] = (sums[a] ?? 0) + (values[row] ?? 0)
  }
  takeLanes(sums, byCode)
}

/** Puts the lanes together and empties them. */
function takeLanes(lanes: Int32Array | Float64Array, byCode: Float64Array): void {
  for (let code = 0; code < byCode.length; code++) {
    let total = 0
    for (let at = code; at < lanes.length; at += LANE) {
      total += lanes[at] ?? 0
      lanes[at] = 0
    }
    byCode[code] = total
  }
}

function sumOf(values: Numbers, start: number, end: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  let row = start
  for (; row + 3 < end; row += LANES) {
    a += values[row] ?? 0
    b += values[row + 1] ?? 0
    c += values[row + 2] ?? 0
    d += values[row + 3] ?? 0
  }
  for (; row < end; row++) a += values[row] ?? 0
  return a + b + c + d
}
