import type { LiveLog } from '../log/live-log.ts'

interface Entry {
  readonly log: LiveLog
  readonly time: number
}

/** Logs by a time, the earliest first: a binary heap, because there may be 100,000 of them. */
export class LogQueue {
  readonly #heap: Entry[] = []

  get size(): number {
    return this.#heap.length
  }

  push(log: LiveLog, time: number): void {
    const heap = this.#heap
    let index = heap.push({ log, time }) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (this.#timeAt(parent) <= time) break
      this.#swap(index, parent)
      index = parent
    }
  }

  pop(): LiveLog | null {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined) return null
    if (heap.length === 0) return first.log
    heap[0] = last
    for (let index = 0; ;) {
      const left = index * 2 + 1
      const least = this.#timeAt(left + 1) < this.#timeAt(left) ? left + 1 : left
      if (this.#timeAt(least) >= this.#timeAt(index)) return first.log
      this.#swap(index, least)
      index = least
    }
  }

  #timeAt(index: number): number {
    return this.#heap[index]?.time ?? Infinity
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]]
    if (first === undefined || second === undefined) return
    this.#heap[a] = second
    this.#heap[b] = first
  }
}
