/**
 * The free ranges of every chunk, found by size: what is left of an arena between the slabs that are handed out.
 *
 * Ranges are counted in granules and lie in bins: one bin a size for small ones, sixteen a doubling above. A bin is a
 * list, last in first out, because memory that was used last is still in the processor's caches. Two levels of bitmaps
 * find the least bin that has a range, so every step takes the same time however many ranges there are.
 *
 * A range is known by a node: a number that stays the same while the range grows and shrinks. Everything about nodes is
 * in typed arrays, so that a million ranges are nothing to the garbage collector.
 */
import { assert } from '../base/assert.ts'

/** Bins a doubling, as a power of two. */
const BIN_BITS = 4
const BINS_PER_DOUBLING = 1 << BIN_BITS
/** Sizes fit 31 bits. */
const DOUBLINGS = 31 - BIN_BITS + 1
const NONE = -1
/** So many ranges of the bin that is just right are looked at, before one of a bigger bin is cut. */
const LOOKS_MAX = 8
const NODES_MIN = 64

export class FreeRanges {
  readonly #heads = new Int32Array(DOUBLINGS * BINS_PER_DOUBLING).fill(NONE)
  /** Which bins of a doubling, and which doublings, have a range. */
  readonly #bins = new Int32Array(DOUBLINGS)
  #doublings = 0

  // By node; `#next` also links the nodes that are not in use.
  #chunk = new Int32Array(NODES_MIN)
  #start = new Int32Array(NODES_MIN)
  #length = new Int32Array(NODES_MIN)
  #next = new Int32Array(NODES_MIN)
  #previous = new Int32Array(NODES_MIN)
  #unused = NONE
  #nodeCount = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  chunkOf(node: number): number {
    return this.#chunk[node] ?? 0
  }
  startOf(node: number): number {
    return this.#start[node] ?? 0
  }
  lengthOf(node: number): number {
    return this.#length[node] ?? 0
  }

  /** A free range of at least `length` granules, about the smallest; -1 when there is none. It stays free. */
  find(length: number): number {
    const own = binOf(length)
    const close = this.#findIn(own, length, LOOKS_MAX)
    if (close !== NONE) return close
    const bigger = this.#headFrom(own + 1)
    // What the bin has beyond the first looks is worth a longer look before the arena grows.
    return bigger === NONE ? this.#findIn(own, length, Infinity) : bigger
  }

  add(chunk: number, start: number, length: number): number {
    const node = this.#unused === NONE ? this.#newNode() : this.#unused
    if (node === this.#unused) this.#unused = this.#next[node] ?? NONE
    this.#chunk[node] = chunk
    this.#start[node] = start
    this.#length[node] = length
    this.#count++
    this.#link(node)
    return node
  }

  /** The range has another start and length now. */
  resize(node: number, start: number, length: number): void {
    assert(length > 0, 'a free range has a length')
    this.#start[node] = start
    if (binOf(this.lengthOf(node)) === binOf(length)) {
      this.#length[node] = length
      return
    }
    this.#unlink(node)
    this.#length[node] = length
    this.#link(node)
  }

  remove(node: number): void {
    this.#unlink(node)
    this.#next[node] = this.#unused
    this.#unused = node
    this.#count--
  }

  #findIn(bin: number, length: number, looks: number): number {
    let node = this.#heads[bin] ?? NONE
    for (let look = 0; node !== NONE && look < looks; look++) {
      if (this.lengthOf(node) >= length) return node
      node = this.#next[node] ?? NONE
    }
    return NONE
  }

  /** The newest range of the least bin at or above `bin`. */
  #headFrom(bin: number): number {
    let doubling = bin >>> BIN_BITS
    let bins = (this.#bins[doubling] ?? 0) & (-1 << (bin & (BINS_PER_DOUBLING - 1)))
    if (bins === 0) {
      const doublings = doubling === 31 ? 0 : this.#doublings & (-1 << (doubling + 1))
      if (doublings === 0) return NONE
      doubling = lowestBit(doublings)
      bins = this.#bins[doubling] ?? 0
    }
    return this.#heads[(doubling << BIN_BITS) | lowestBit(bins)] ?? NONE
  }

  #link(node: number): void {
    const bin = binOf(this.lengthOf(node))
    const head = this.#heads[bin] ?? NONE
    this.#next[node] = head
    this.#previous[node] = NONE
    if (head !== NONE) this.#previous[head] = node
    this.#heads[bin] = node
    const doubling = bin >>> BIN_BITS
    this.#bins[doubling] = (this.#bins[doubling] ?? 0) | (1 << (bin & (BINS_PER_DOUBLING - 1)))
    this.#doublings |= 1 << doubling
  }

  #unlink(node: number): void {
    const next = this.#next[node] ?? NONE
    const previous = this.#previous[node] ?? NONE
    if (next !== NONE) this.#previous[next] = previous
    if (previous !== NONE) {
      this.#next[previous] = next
      return
    }
    const bin = binOf(this.lengthOf(node))
    this.#heads[bin] = next
    if (next !== NONE) return
    const doubling = bin >>> BIN_BITS
    const bins = (this.#bins[doubling] ?? 0) & ~(1 << (bin & (BINS_PER_DOUBLING - 1)))
    this.#bins[doubling] = bins
    if (bins === 0) this.#doublings &= ~(1 << doubling)
  }

  #newNode(): number {
    if (this.#nodeCount === this.#next.length) {
      this.#chunk = doubled(this.#chunk)
      this.#start = doubled(this.#start)
      this.#length = doubled(this.#length)
      this.#next = doubled(this.#next)
      this.#previous = doubled(this.#previous)
    }
    return this.#nodeCount++
  }
}

/** Lengths below 16 have a bin each; above, the doubling and the four bits after the first one say which. */
function binOf(length: number): number {
  if (length < BINS_PER_DOUBLING) return length
  const shift = 31 - Math.clz32(length) - BIN_BITS
  return ((shift + 1) << BIN_BITS) | ((length >>> shift) & (BINS_PER_DOUBLING - 1))
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const bigger = new Int32Array(array.length * 2)
  bigger.set(array)
  return bigger
}
