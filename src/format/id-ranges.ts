/**
 * Ids that only become more, as ranges: where nearly all that were given are among them, as with streams that come and
 * go, a million take as little as their gaps do. Never changed in place.
 */
export class IdRanges implements Iterable<number> {
  static readonly empty: IdRanges = new IdRanges([])
  /** Of ranges `[start, end)` that do not touch, ascending: start, end, start, end, … */
  readonly bounds: readonly number[]

  /** @param bounds as above: see `areBounds`. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
  }

  get size(): number {
    return this.bounds.reduce((sum, bound, index) => sum + (index % 2 === 0 ? -bound : bound), 0)
  }

  has(id: number): boolean {
    return this.#boundsUpTo(id) % 2 === 1
  }

  with(id: number): IdRanges {
    const place = this.#boundsUpTo(id)
    if (place % 2 === 1) return this
    const touchesLower = this.bounds[place - 1] === id
    const touchesUpper = this.bounds[place] === id + 1
    const added = [...(touchesLower ? [] : [id]), ...(touchesUpper ? [] : [id + 1])]
    const removed = Number(touchesLower) + Number(touchesUpper)
    return new IdRanges(this.bounds.toSpliced(place - Number(touchesLower), removed, ...added))
  }

  *[Symbol.iterator](): Generator<number, void, undefined> {
    for (let index = 0; index < this.bounds.length; index += 2) {
      const end = this.bounds[index + 1] ?? 0
      for (let id = this.bounds[index] ?? end; id < end; id++) yield id
    }
  }

  /** How many of the bounds are at or below `id`: of ids within a range it is odd. */
  #boundsUpTo(id: number): number {
    let [low, high] = [0, this.bounds.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.bounds[middle] ?? Infinity) <= id) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Whether a list of numbers is what `IdRanges` keeps. */
export function areBounds(bounds: readonly number[]): boolean {
  const isAscending = bounds.every(
    (bound, index) => index === 0 || bound > (bounds[index - 1] ?? 0),
  )
  return bounds.length % 2 === 0 && isAscending
}
