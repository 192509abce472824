/**
 * The query process's access to batches in RAM. DuckDB's scan asks in the middle of a call, so the answer is waited for
 * with the thread blocked. Columns of sealed batches, which never change, are kept, so that each comes once as long as
 * there is room.
 */
import { present } from '../../base/assert.ts'
import { StratalogError } from '../../base/errors.ts'
import type { ColumnData } from '../../format/column.ts'
import type { ColumnCache } from '../column-cache.ts'
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

export class HotColumns implements RemoteColumns {
  readonly #pipe: SyncPipe
  readonly #kept: ColumnCache

  constructor(pipe: SyncPipe, kept: ColumnCache) {
    this.#pipe = pipe
    this.#kept = kept
  }

  columns(source: RemoteBatchSource, positions: readonly number[]): readonly ColumnData[] {
    const { key, query, schema } = source
    // A batch comes with the columns of its query, so a place says nothing to another.
    const nameOf = (position: number): string =>
      `batch ${key}/${present(schema.fields[position], 'a field').name}`
    const found = new Map<number, ColumnData>()
    if (key !== undefined) {
      for (const position of positions) {
        const column = this.#kept.take(nameOf(position), query)
        if (column !== null) found.set(position, column)
      }
    }
    const wanted = positions.filter((position) => !found.has(position))
    for (const [index, column] of this.#ask(source, wanted).entries()) {
      const position = present(wanted[index], 'a column that was asked for')
      found.set(position, column)
      if (key !== undefined) this.#kept.keep(nameOf(position), column, query)
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
}
