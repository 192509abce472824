/**
 * Memory that DuckDB can point into. DuckDB's string is 16 bytes: the length, then up to 12 bytes of text, or 4 bytes
 * of it and a pointer to all. To point at a whole batch of long strings at the cost of one copy, the batch's bytes
 * become one blob in a vector of our own, whose own 16 bytes tell the address.
 *
 * Invariant: an arena's bytes stay where they are from `load` until `release` by its last holder. Whoever hands a
 * pointer to DuckDB holds the arena until DuckDB is done with that vector. Arenas are taken from a pool and go back to
 * it, because their memory is not the garbage collector's to see.
 */
import { BLOB } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import { assert } from '../base/assert.ts'

/** Strings up to this long lie inside their 16 bytes. */
export const INLINE_BYTES_MAX = 12

export class TextArena {
  /** Where the bytes begin in this process's memory; exact, as addresses have at most 48 bits. */
  readonly address: number
  readonly #pool: TextArenaPool
  readonly #chunk: duckdb.DataChunk
  #holders = 1

  constructor(pool: TextArenaPool, chunk: duckdb.DataChunk, bytes: Uint8Array) {
    assert(bytes.length > INLINE_BYTES_MAX, 'an arena holds what does not fit a string of 16 bytes')
    this.#pool = pool
    this.#chunk = chunk
    const vector = duckdb.data_chunk_get_vector(chunk, 0)
    duckdb.vector_assign_string_element_len(vector, 0, bytes)
    const reference = duckdb.vector_get_data(vector, 16)
    const words = new DataView(reference.buffer, reference.byteOffset, 16)
    assert(
      words.getUint32(0, true) === bytes.length,
      'DuckDB keeps the length of a string in its first 4 bytes',
    )
    this.address = words.getUint32(8, true) + words.getUint32(12, true) * 2 ** 32
  }

  retain(): void {
    assert(this.#holders > 0, 'a released arena is not held again')
    this.#holders++
  }

  release(): void {
    assert(this.#holders > 0, 'an arena is released once by each holder')
    this.#holders--
    if (this.#holders === 0) this.#pool.giveBack(this.#chunk)
  }
}

/** The most chunks kept for reuse; each is empty while it waits. */
const IDLE_CHUNKS_MAX = 16

export class TextArenaPool {
  readonly #idle: duckdb.DataChunk[] = []

  /** An arena with a copy of `bytes`, held once. */
  load(bytes: Uint8Array): TextArena {
    return new TextArena(this, this.#idle.pop() ?? newChunk(), bytes)
  }

  giveBack(chunk: duckdb.DataChunk): void {
    // Frees the bytes now; the chunk itself waits for the garbage collector.
    duckdb.data_chunk_reset(chunk)
    if (this.#idle.length < IDLE_CHUNKS_MAX) this.#idle.push(chunk)
  }
}

function newChunk(): duckdb.DataChunk {
  const chunk = duckdb.create_data_chunk([BLOB.toLogicalType().logical_type])
  duckdb.data_chunk_set_size(chunk, 1)
  return chunk
}
