/** A set of offsets of one partition that may lie far apart: a bit each, in pages that are there where one is in it. */
const PAGE_OFFSETS = 65_536

export class PagedOffsets {
  readonly #pages = new Map<number, Uint8Array>()

  add(offset: number): void {
    const number = Math.floor(offset / PAGE_OFFSETS)
    const page = this.#pages.get(number) ?? new Uint8Array(PAGE_OFFSETS / 8)
    this.#pages.set(number, page)
    const bit = offset % PAGE_OFFSETS
    page[bit >> 3] = (page[bit >> 3] ?? 0) | (1 << (bit & 7))
  }

  has(offset: number): boolean {
    const page = this.#pages.get(Math.floor(offset / PAGE_OFFSETS))
    const bit = offset % PAGE_OFFSETS
    return page !== undefined && (((page[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1
  }

  /** How many lie in `[from, to)`. */
  count(from: number, to: number): number {
    let count = 0
    for (const _ of this.#within(from, to)) count++
    return count
  }

  /** Takes out those in `[from, to)`. */
  clear(from: number, to: number): void {
    for (const offset of this.#within(from, to)) {
      const page = this.#pages.get(Math.floor(offset / PAGE_OFFSETS))
      const bit = offset % PAGE_OFFSETS
      if (page !== undefined) page[bit >> 3] = (page[bit >> 3] ?? 0) & ~(1 << (bit & 7))
    }
  }

  *#within(from: number, to: number): Generator<number, void, undefined> {
    const last = Math.ceil(to / PAGE_OFFSETS)
    for (let number = Math.floor(from / PAGE_OFFSETS); number < last; number++) {
      const page = this.#pages.get(number)
      if (page === undefined) continue
      const start = number * PAGE_OFFSETS
      const end = Math.min(to - start, PAGE_OFFSETS)
      for (let bit = Math.max(0, from - start); bit < end; bit++) {
        const byte = page[bit >> 3] ?? 0
        if (byte === 0) bit |= 7
        else if (((byte >> (bit & 7)) & 1) === 1) yield start + bit
      }
    }
  }
}
