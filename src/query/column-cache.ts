/**
 * Columns that stay for later queries: of sealed batches that came over a pipe, and of segments that were checked and
 * decoded. Within a budget, the least recently used go first. None gives way to another of the same query: one that
 * reads more than there is room for would find nothing of it the next time.
 */
import { type ColumnData, columnBytes } from '../format/column.ts'

interface KeptColumn {
  readonly column: ColumnData
  readonly bytes: number
  /** That used it last. */
  readonly query: number
}

export class ColumnCache {
  readonly #bytesMax: number
  /** By name, the least recently used first. */
  readonly #kept = new Map<string, KeptColumn>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** What is kept. */
  get bytes(): number {
    return this.#bytes
  }

  take(name: string, query: number): ColumnData | null {
    const kept = this.#kept.get(name)
    if (kept === undefined) return null
    this.#kept.delete(name)
    this.#kept.set(name, { ...kept, query })
    return kept.column
  }

  /** Equal names, equal columns: what is named never changes. */
  keep(name: string, column: ColumnData, query: number): void {
    const bytes = columnBytes(column)
    if (bytes > this.#bytesMax || this.#kept.has(name)) return
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes + bytes <= this.#bytesMax || kept.query === query) break
      this.#kept.delete(oldest)
      this.#bytes -= kept.bytes
    }
    if (this.#bytes + bytes > this.#bytesMax) return
    this.#kept.set(name, { column, bytes, query })
    this.#bytes += bytes
  }
}
