/** A queue by time, then by a fixed order: a binary heap, so that many partitions merge in O(log n) a batch. */
export interface Timed {
  readonly time: number
  /** Breaks ties, so that the same history always comes in the same order. */
  readonly order: number
}

export class MergeQueue<T extends Timed> {
  readonly #heap: T[] = []

  get size(): number {
    return this.#heap.length
  }

  get first(): T | undefined {
    return this.#heap[0]
  }

  push(item: T): void {
    const heap = this.#heap
    let index = heap.push(item) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(item, heap[parent])) break
      this.#swap(index, parent)
      index = parent
    }
  }

  /** The first item; undefined when there is none. */
  pop(): T | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    heap[0] = last
    for (let index = 0; ;) {
      const left = index * 2 + 1
      const right = left + 1
      let least = isBefore(heap[left], heap[index]) ? left : index
      if (isBefore(heap[right], heap[least])) least = right
      if (least === index) return first
      this.#swap(index, least)
      index = least
    }
  }

  /** Of the items that are wanted, the one whose turn comes last; undefined when none is. Looks at all of them. */
  last(isWanted: (item: T) => boolean): T | undefined {
    let last: T | undefined
    for (const item of this.#heap)
      if (isWanted(item) && (last === undefined || isBefore(last, item))) last = item
    return last
  }

  #swap(a: number, b: number): void {
    const [itemA, itemB] = [this.#heap[a], this.#heap[b]]
    if (itemA === undefined || itemB === undefined) return
    this.#heap[a] = itemB
    this.#heap[b] = itemA
  }
}

function isBefore(a: Timed | undefined, b: Timed | undefined): boolean {
  if (a === undefined || b === undefined) return false
  return a.time < b.time || (a.time === b.time && a.order < b.order)
}
