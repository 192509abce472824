/**
 * The byte ring between appends (one producer) and the WAL writer (one consumer), over shared memory.
 *
 *     bytes [0, 512)     control words, a cache line each: who writes what is said below
 *     bytes [512, …)     data: a power of two
 *
 * Head and tail count 8-byte words, modulo 2^32; a distance is taken modulo 2^32 too. The producer
 * alone moves the head, after the bytes below it are written; the consumer alone moves the tail,
 * after it is done with the bytes below it. So neither ever reads what the other writes.
 *
 * Frames lie back to back, so that many go to a file in one write. A frame that does not fit before the end of the ring
 * starts at its beginning, and a skip word says so. A frame of more than a quarter of the ring
 * comes in pieces: its header as a small frame would, then the rest as bytes that wrap.
 *
 * No wake is lost: who goes to sleep says so first and looks again after; who brings news first
 * brings it and looks after whether somebody sleeps. All control words are read and written by
 * Atomics, which are sequentially consistent.
 */
import { assert } from '../base/assert.ts'
import { WAL_RING_BYTES_MIN } from '../format/limits.ts'

const CONTROL_BYTES = 512
const WORD_BYTES = 8

/** Positions of control words among the int32s. */
const HEAD = 0 // Written by the producer.
const TAIL = 16 // Written by the consumer.
const SIGNAL = 32 // Counts the producer's news: frames, a release, the stop.
const SLEEPING = 48 // 1 while the consumer sleeps or is about to.
const SPACE_WANTED = 64 // 1 while the producer waits for the tail to move.
const STOPPED = 80 // 1 when no more frames come.
/** Positions among the int64s. */
const DURABLE_LSN = 48 // Written by the consumer.
const SYNCS = 49 // Written by the consumer, as the next two: how often it synced,
const SYNC_MICROS = 50 // how long that took,
const SYNCED_FRAMES = 51 // and of how many frames that was.
const RELEASED_LSN = 56 // Written by the producer.

/** Where a frame would start that is no frame: the rest of the ring is unused. */
const SKIP = 0xffffffff

/** The memory of a ring, seen as bytes and as numbers. Data only. */
export interface RingMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
}

/** Syncs of a writer that measures them, from its beginning. */
export interface WalSyncs {
  readonly count: number
  readonly ms: number
  readonly frames: number
}

/** Makes the shared memory of an empty ring whose stream starts at `startLsn`. */
export function createRingBuffer(dataBytes: number, startLsn: number): SharedArrayBuffer {
  assert(
    (dataBytes & (dataBytes - 1)) === 0 && dataBytes >= WAL_RING_BYTES_MIN,
    'a ring is a power of two',
  )
  const buffer = new SharedArrayBuffer(CONTROL_BYTES + dataBytes)
  new BigInt64Array(buffer)[DURABLE_LSN] = BigInt(startLsn)
  return buffer
}

/** What both sides share. */
class RingSide implements RingMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** A frame of more bytes goes through in pieces, its header in the first, whole. */
  readonly wholeFrameBytesMax: number
  protected readonly words: number
  protected readonly control: Int32Array
  protected readonly control64: BigInt64Array

  constructor(buffer: SharedArrayBuffer) {
    const dataBytes = buffer.byteLength - CONTROL_BYTES
    this.bytes = new Uint8Array(buffer, CONTROL_BYTES, dataBytes)
    this.view = new DataView(buffer, CONTROL_BYTES, dataBytes)
    this.wholeFrameBytesMax = dataBytes / 4
    this.words = dataBytes / WORD_BYTES
    this.control = new Int32Array(buffer, 0, CONTROL_BYTES / 4)
    this.control64 = new BigInt64Array(buffer, 0, CONTROL_BYTES / 8)
  }

  /** Byte position in the data of a count of words. */
  protected position(count: number): number {
    return (count & (this.words - 1)) * WORD_BYTES
  }
}

export class RingProducer extends RingSide {
  #head: number
  #tail: number

  constructor(buffer: SharedArrayBuffer) {
    super(buffer)
    this.#head = Atomics.load(this.control, HEAD)
    this.#tail = Atomics.load(this.control, TAIL)
  }

  /**
   * Room for a whole frame in one stretch: its position in the data, or -1 when there is none now. The room is the
   * caller's to fill until `commit`; asking again before that gives the same room.
   */
  reserve(frameBytes: number): number {
    assert(
      frameBytes <= this.wholeFrameBytesMax && frameBytes % WORD_BYTES === 0,
      'a frame fits the ring',
    )
    const position = this.position(this.#head)
    const isSplit = frameBytes > this.bytes.length - position
    const needed = frameBytes + (isSplit ? this.bytes.length - position : 0)
    if (needed > this.#freeBytes(needed)) return -1
    return isSplit ? 0 : position
  }

  /** Hands the room that `reserve` gave to the consumer. */
  commit(frameBytes: number): void {
    const position = this.position(this.#head)
    if (frameBytes > this.bytes.length - position) {
      this.view.setUint32(position, SKIP, true)
      this.#head += (this.bytes.length - position) / WORD_BYTES
    }
    this.#head = (this.#head + frameBytes / WORD_BYTES) | 0
    Atomics.store(this.control, HEAD, this.#head)
  }

  /** Puts as much of a large frame, from its byte `from` on, as fits now; returns how many bytes that was. */
  push(frame: Uint8Array, from: number): number {
    let pushed = 0
    while (from + pushed < frame.length) {
      const position = this.position(this.#head)
      const wanted = Math.min(frame.length - from - pushed, this.bytes.length - position)
      const length = Math.min(wanted, this.#freeBytes(wanted))
      if (length === 0) break
      this.bytes.set(frame.subarray(from + pushed, from + pushed + length), position)
      pushed += length
      this.#head = (this.#head + length / WORD_BYTES) | 0
    }
    Atomics.store(this.control, HEAD, this.#head)
    return pushed
  }

  /** Wakes the consumer when it sleeps. Comes after the news. */
  signal(): void {
    Atomics.add(this.control, SIGNAL, 1)
    if (Atomics.load(this.control, SLEEPING) === 1) Atomics.notify(this.control, SIGNAL)
  }

  /** Asks for a message when the tail moves. Look for room once more after this and before waiting. */
  wantSpace(): void {
    Atomics.store(this.control, SPACE_WANTED, 1)
  }

  release(lsn: number): void {
    Atomics.store(this.control64, RELEASED_LSN, BigInt(lsn))
  }

  stop(): void {
    Atomics.store(this.control, STOPPED, 1)
  }

  durableLsn(): number {
    return Number(Atomics.load(this.control64, DURABLE_LSN))
  }

  syncs(): WalSyncs {
    const word = (position: number): number => Number(Atomics.load(this.control64, position))
    return { count: word(SYNCS), ms: word(SYNC_MICROS) / 1_000, frames: word(SYNCED_FRAMES) }
  }

  /** Changes whenever the consumer has taken or published something. */
  steps(): number {
    return this.durableLsn() + (Atomics.load(this.control, TAIL) >>> 0)
  }

  /** Free bytes; looks at the consumer's tail only when what is known does not suffice. */
  #freeBytes(needed: number): number {
    const free = (): number => this.bytes.length - ((this.#head - this.#tail) | 0) * WORD_BYTES
    if (free() < needed) this.#tail = Atomics.load(this.control, TAIL)
    return free()
  }
}

export class RingConsumer extends RingSide {
  #tail: number

  constructor(buffer: SharedArrayBuffer) {
    super(buffer)
    this.#tail = Atomics.load(this.control, TAIL)
  }

  /** The count of words that the producer has committed; an end for `readable`. */
  head(): number {
    return Atomics.load(this.control, HEAD)
  }

  /** The committed bytes below `head` that lie in one stretch; skips the unused rest of the ring. */
  readable(head: number): { readonly position: number; readonly length: number } {
    const position = this.position(this.#tail)
    const length = ((head - this.#tail) | 0) * WORD_BYTES
    return { position, length: Math.min(length, this.bytes.length - position) }
  }

  isSkip(position: number): boolean {
    return this.view.getUint32(position, true) === SKIP
  }

  /** Gives bytes back to the producer. True when it waits for that and has to be told. */
  advance(length: number): boolean {
    this.#tail = (this.#tail + length / WORD_BYTES) | 0
    Atomics.store(this.control, TAIL, this.#tail)
    return Atomics.exchange(this.control, SPACE_WANTED, 0) === 1
  }

  /** Comes before what it made durable is published. */
  countSync(ms: number, frames: number): void {
    Atomics.add(this.control64, SYNC_MICROS, BigInt(Math.round(ms * 1_000)))
    Atomics.add(this.control64, SYNCED_FRAMES, BigInt(frames))
    Atomics.add(this.control64, SYNCS, 1n)
  }

  publishDurable(lsn: number): void {
    Atomics.store(this.control64, DURABLE_LSN, BigInt(lsn))
  }

  releasedLsn(): number {
    return Number(Atomics.load(this.control64, RELEASED_LSN))
  }

  isStopped(): boolean {
    return Atomics.load(this.control, STOPPED) === 1
  }

  /** How many signals there were; taken before looking for work. */
  signals(): number {
    return Atomics.load(this.control, SIGNAL)
  }

  /** Sleeps until there is a signal beyond `signals`; returns at once when there was one. Only off the main thread. */
  sleep(signals: number): void {
    Atomics.store(this.control, SLEEPING, 1)
    Atomics.wait(this.control, SIGNAL, signals)
    Atomics.store(this.control, SLEEPING, 0)
  }
}
