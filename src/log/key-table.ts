/**
 * Keys as bytes, and an offset for each: a hash table without an object per key, so that millions of them cost the
 * garbage collector nothing and their memory is known to the byte.
 *
 * Keys lie one after the other in the order they came; `slots` finds them by open addressing. A key that is removed
 * stays as a dead entry, for when it comes back, until `forget`.
 */
import { StratalogError } from '../base/errors.ts'
import { LATEST_KEYS_MAX, LATEST_KEY_BYTES_MAX } from '../format/limits.ts'

/** In place of the offset of a key that is not there. */
export const NO_OFFSET = -1

const FIRST_ENTRIES = 32
/** Slots per entry at least: about two looks find a key, or that it is not there. */
const SLOTS_PER_ENTRY = 2

export class KeyTable {
  /** An entry and one; 0 where there is none. Their number is a power of two. */
  #slots: Int32Array = new Int32Array(FIRST_ENTRIES * SLOTS_PER_ENTRY)
  #entryCount = 0
  #liveCount = 0
  // By entry. The bytes of one end where those of the next begin.
  #hashes: Int32Array = new Int32Array(FIRST_ENTRIES)
  #ends: Uint32Array = new Uint32Array(FIRST_ENTRIES)
  #offsets: Float64Array = new Float64Array(FIRST_ENTRIES)
  #bytes: Uint8Array = new Uint8Array(FIRST_ENTRIES * 16)

  get count(): number {
    return this.#liveCount
  }

  /** Of keys, the dead ones too. */
  get entryCount(): number {
    return this.#entryCount
  }

  get bytes(): number {
    const { byteLength } = this.#bytes
    const entries = this.#hashes.byteLength + this.#ends.byteLength + this.#offsets.byteLength
    return byteLength + entries + this.#slots.byteLength
  }

  /** Of the key in `bytes[start, end)`; `NO_OFFSET` where it is not there. */
  get(bytes: Uint8Array, start: number, end: number): number {
    const entry = this.#find(bytes, start, end, hashOf(bytes, start, end))
    return entry === -1 ? NO_OFFSET : (this.#offsets[entry] ?? NO_OFFSET)
  }

  /** Gives a key an offset, or none with `NO_OFFSET`. Returns the one it had. @throws StratalogError `query_limit`. */
  set(bytes: Uint8Array, start: number, end: number, offset: number): number {
    const hash = hashOf(bytes, start, end)
    const entry = this.#find(bytes, start, end, hash)
    if (entry === -1) {
      if (offset !== NO_OFFSET) this.#insert(bytes, start, end, hash, offset)
      return NO_OFFSET
    }
    const before = this.#offsets[entry] ?? NO_OFFSET
    this.#offsets[entry] = offset
    this.#liveCount += (offset === NO_OFFSET ? 0 : 1) - (before === NO_OFFSET ? 0 : 1)
    return before
  }

  /** Removes the keys whose offset is below `start`, and lets go of the dead. */
  forget(start: number): void {
    const rest = new KeyTable()
    for (let entry = 0; entry < this.#entryCount; entry++) {
      const offset = this.#offsets[entry] ?? NO_OFFSET
      if (offset < start) continue
      rest.#insert(
        this.#bytes,
        this.#startOf(entry),
        this.#ends[entry] ?? 0,
        this.#hashes[entry] ?? 0,
        offset,
      )
    }
    this.#slots = rest.#slots
    this.#entryCount = rest.#entryCount
    this.#liveCount = rest.#liveCount
    this.#hashes = rest.#hashes
    this.#ends = rest.#ends
    this.#offsets = rest.#offsets
    this.#bytes = rest.#bytes
  }

  #startOf(entry: number): number {
    return entry === 0 ? 0 : (this.#ends[entry - 1] ?? 0)
  }

  #find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] ?? 0) - 1
      if (entry === -1) return -1
      if (this.#hashes[entry] === hash && this.#equals(entry, bytes, start, end)) return entry
    }
  }

  #equals(entry: number, bytes: Uint8Array, start: number, end: number): boolean {
    let own = this.#startOf(entry)
    if ((this.#ends[entry] ?? 0) - own !== end - start) return false
    for (let position = start; position < end; position++)
      if (this.#bytes[own++] !== bytes[position]) return false
    return true
  }

  #insert(bytes: Uint8Array, start: number, end: number, hash: number, offset: number): void {
    const entry = this.#entryCount
    const own = this.#startOf(entry)
    this.#reserve(entry + 1, own + end - start)
    // Keys are short: a call would cost more than the bytes.
    for (let position = start, to = own; position < end; position++)
      this.#bytes[to++] = bytes[position] ?? 0
    this.#hashes[entry] = hash
    this.#ends[entry] = own + end - start
    this.#offsets[entry] = offset
    this.#entryCount++
    this.#liveCount++
    this.#place(entry, hash)
  }

  #place(entry: number, hash: number): void {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
  }

  #reserve(entries: number, byteCount: number): void {
    if (entries > LATEST_KEYS_MAX || byteCount > LATEST_KEY_BYTES_MAX) throw tooManyKeys()
    if (byteCount > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(byteCount, this.#bytes.length * 2))
      bytes.set(this.#bytes)
      this.#bytes = bytes
    }
    if (entries <= this.#hashes.length) return
    const length = this.#hashes.length * 2
    const [hashes, ends] = [new Int32Array(length), new Uint32Array(length)]
    const offsets = new Float64Array(length)
    hashes.set(this.#hashes)
    ends.set(this.#ends)
    offsets.set(this.#offsets)
    this.#hashes = hashes
    this.#ends = ends
    this.#offsets = offsets
    this.#slots = new Int32Array(length * SLOTS_PER_ENTRY)
    for (let entry = 0; entry < this.#entryCount; entry++)
      this.#place(entry, this.#hashes[entry] ?? 0)
  }
}

/** FNV-1a, its high bits mixed into the low ones, which choose the slot. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let position = start; position < end; position++)
    hash = Math.imul(hash ^ (bytes[position] ?? 0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

function tooManyKeys(): StratalogError {
  return new StratalogError(
    'query_limit',
    `The latest view of a partition holds at most ${LATEST_KEYS_MAX} keys, and ${LATEST_KEY_BYTES_MAX} bytes of them.`,
    { details: { keysMax: LATEST_KEYS_MAX, keyBytesMax: LATEST_KEY_BYTES_MAX } },
  )
}
