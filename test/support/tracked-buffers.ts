/** A source of buffers that shows misuse: recycled contents, buffers used after they went back, and none left over. */
import { expect } from 'vitest'
import type { BufferSource } from '../../src/format/growing-column.ts'

const POISON = 0xdb

export class OutOfBuffers extends Error {}

/** Hands out no byte more than the contract says, full of what a recycled slab may hold. */
export class TrackedBuffers implements BufferSource {
  /** While somebody reads views, buffers that go back stay as they are. */
  isLeased = false
  /** How many more buffers there are before `acquire` throws. */
  left: number = Infinity
  readonly #held = new Map<ArrayBufferLike, number>()

  get heldBytes(): number {
    return [...this.#held.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  acquire(minBytes: number): Uint8Array {
    if (this.left === 0) throw new OutOfBuffers()
    this.left--
    const buffer = new SharedArrayBuffer(Math.ceil(minBytes / 8) * 8)
    this.#held.set(buffer, buffer.byteLength)
    return new Uint8Array(buffer).fill(POISON)
  }

  retire(buffer: Uint8Array): void {
    expect(this.#held.delete(buffer.buffer), 'a buffer goes back once').toBe(true)
    if (!this.isLeased) buffer.fill(POISON)
  }

  shrink(buffer: Uint8Array, bytes: number): Uint8Array {
    expect(this.#held.has(buffer.buffer), 'a buffer that is held').toBe(true)
    const shorter = buffer.subarray(0, Math.ceil(bytes / 8) * 8)
    this.#held.set(buffer.buffer, shorter.length)
    buffer.fill(POISON, shorter.length)
    return shorter
  }
}
