/**
 * The query process's access to batches in RAM. DuckDB's scan asks in the middle of a call, so the answer is waited for
 * with the thread blocked. Columns of sealed batches, which never change, stay here within a budget, the least
 * recently used going first, so that each comes once as long as there is room. None gives way to another of the same
 * query: one that reads more than there is room for would find nothing of it the next time.
 */
import { present } from '../../base/assert.ts'
import { StratalogError } from '../../base/errors.ts'
import { type ColumnData, columnBytes } from '../../format/column.ts'
import type { RemoteBatchSource } from '../protocol.ts'
import type { RemoteColumns } from '../remote-columns.ts'
import type { ColumnAnswer } from './child-protocol.ts'
import { HEAD_BYTES, readHead, requestFrame } from './column-frames.ts'
import { unpackColumns } from './packed-columns.ts'

/** A pipe that blocks. */
export interface SyncPipe {
  /** Waits until `bytes` is full. */
  read(bytes: Uint8Array): void
  write(bytes: Uint8Array): void
}

interface KeptColumn {
  readonly column: ColumnData
  readonly bytes: number
  /** That used it last. */
  readonly query: number
}

export class HotColumns implements RemoteColumns {
  readonly #pipe: SyncPipe
  readonly #bytesMax: number
  /** By batch and position, the least recently used first. */
  readonly #kept = new Map<string, KeptColumn>()
  #bytes = 0

  constructor(pipe: SyncPipe, bytesMax: number) {
    this.#pipe = pipe
    this.#bytesMax = bytesMax
  }

  /** What is kept for later queries. */
  get bytes(): number {
    return this.#bytes
  }

  columns(source: RemoteBatchSource, positions: readonly number[]): readonly ColumnData[] {
    const { key, query } = source
    const found = new Map<number, ColumnData>()
    if (key !== undefined) {
      for (const position of positions) {
        const column = this.#take(nameOf(key, position), query)
        if (column !== null) found.set(position, column)
      }
    }
    const wanted = positions.filter((position) => !found.has(position))
    for (const [index, column] of this.#ask(source, wanted).entries()) {
      const position = present(wanted[index], 'a column that was asked for')
      found.set(position, column)
      if (key !== undefined) this.#keep(nameOf(key, position), column, query)
    }
    return positions.map((position) => present(found.get(position), 'a column'))
  }

  #ask(source: RemoteBatchSource, positions: readonly number[]): readonly ColumnData[] {
    if (positions.length === 0) return []
    const { query, reference } = source
    this.#pipe.write(requestFrame({ query, reference, positions }))
    const json = this.#read(readHead(this.#read(HEAD_BYTES)))
    const { columns } = JSON.parse(new TextDecoder().decode(json)) as ColumnAnswer
    if (columns === null) throw new StratalogError('aborted', 'The query has ended.')
    // Each has memory of its own, which is free when it is let go of, whatever stays of the others.
    return columns.flatMap(({ plans, byteLength }) =>
      unpackColumns(plans, this.#read(byteLength).buffer),
    )
  }

  #read(byteLength: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(byteLength)
    this.#pipe.read(bytes)
    return bytes
  }

  #take(name: string, query: number): ColumnData | null {
    const kept = this.#kept.get(name)
    if (kept === undefined) return null
    this.#kept.delete(name)
    this.#kept.set(name, { ...kept, query })
    return kept.column
  }

  #keep(name: string, column: ColumnData, query: number): void {
    const bytes = columnBytes(column)
    if (bytes > this.#bytesMax) return
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

function nameOf(key: number, position: number): string {
  return `${key}/${position}`
}
