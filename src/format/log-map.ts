/**
 * The logs of a manifest state by id: an immutable map whose copies share what did not change.
 *
 * Ids are dense, so the map is a root of pages of 256 logs each. A change copies one page and the root, which keeps a
 * commit cheap beside 100,000 logs.
 */
import type { LogState } from './manifest.ts'

const PAGE_LOGS = 256

/** By id modulo the page's size. */
type Page = ReadonlyMap<number, LogState>

export class LogMap implements ReadonlyMap<number, LogState> {
  static readonly empty: LogMap = new LogMap(new Map(), 0)

  readonly size: number
  readonly #pages: ReadonlyMap<number, Page>

  private constructor(pages: ReadonlyMap<number, Page>, size: number) {
    this.#pages = pages
    this.size = size
  }

  /** This map with the given logs set, or removed where the value is null. */
  with(changes: ReadonlyMap<number, LogState | null>): LogMap {
    if (changes.size === 0) return this
    const pages = new Map(this.#pages)
    const copied = new Map<number, Map<number, LogState>>()
    let size = this.size
    for (const [id, log] of changes) {
      const number = pageNumber(id)
      const page = copied.get(number) ?? new Map(pages.get(number))
      copied.set(number, page)
      size -= page.size
      if (log === null) page.delete(id % PAGE_LOGS)
      else page.set(id % PAGE_LOGS, log)
      size += page.size
      if (page.size === 0) pages.delete(number)
      else pages.set(number, page)
    }
    return new LogMap(pages, size)
  }

  get(id: number): LogState | undefined {
    return this.#pages.get(pageNumber(id))?.get(id % PAGE_LOGS)
  }

  has(id: number): boolean {
    return this.get(id) !== undefined
  }

  /** In the order of creation. */
  *values(): Generator<LogState, undefined> {
    for (const page of this.#pages.values()) yield* page.values()
  }

  *entries(): Generator<[number, LogState], undefined> {
    for (const log of this.values()) yield [log.definition.id, log]
  }

  *keys(): Generator<number, undefined> {
    for (const log of this.values()) yield log.definition.id
  }

  [Symbol.iterator](): Generator<[number, LogState], undefined> {
    return this.entries()
  }

  forEach(callback: (log: LogState, id: number, map: ReadonlyMap<number, LogState>) => void): void {
    for (const log of this.values()) callback(log, log.definition.id, this)
  }
}

function pageNumber(id: number): number {
  return Math.floor(id / PAGE_LOGS)
}
