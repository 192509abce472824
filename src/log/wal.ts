/**
 * The write-ahead log, as appends see it: one stream of frames for every log and partition of an engine.
 *
 * An LSN is a position in that endless stream; `append` gives it at once, though the frame is
 * neither written nor durable. Frames become durable in LSN order, and `onDurable` says how far,
 * once per group: whoever waits keeps a queue of its own.
 *
 * Crash story of one append:
 * 1. `append` lays the frame into the ring; a crash now loses it, and nobody was told otherwise.
 * 2. The writer writes it; a crash now may lose it or not: recovery finds it whole or cuts it off.
 * 3. fdatasync ends; the durable LSN passes the frame: recovery finds it, always.
 * 4. `onDurable` tells; only here may the append be acknowledged.
 *
 * After a failure nothing more becomes durable: `append` and `flush` throw it, and only another WAL goes on
 * (`resumable-wal.ts`): under the same epoch when there was merely no room, else under a new one.
 */
import { assert } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import {
  APPEND_BYTES_MAX,
  WAL_FILE_BYTES_MAX,
  WAL_FILE_BYTES_MIN,
  WAL_RING_BYTES,
  WAL_ZERO_AHEAD_BYTES,
} from '../format/limits.ts'
import {
  WAL_FRAME_HEADER_BYTES,
  type WalFrameFields,
  walFrameBytes,
  writeFrameFields,
} from '../format/wal-frame.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import { type DriverEvents, InlineDriver, ThreadDriver, type WalDriver } from './wal-driver.ts'
import type { WalFence } from './wal-fence.ts'
import type { WalFileSizes } from './wal-files.ts'
import { RingConsumer, RingProducer, type WalSyncs, createRingBuffer } from './wal-ring.ts'
import type { WalRecovered } from './wal-scan.ts'
import type { SpawnWalThread } from './wal-thread.ts'
import type { WalActivity } from './wal-watch.ts'
import { WalWriter } from './wal-writer.ts'

/**
 * Writes a frame's payload, exactly the length that was announced, at `position` of `into`. Usually
 * runs inside `append`; under backpressure later, so what it reads stays unchanged until the frame
 * is durable. It does not throw.
 */
export type FillPayload = (into: Uint8Array, position: number) => void

/** A frame that is not laid into the ring yet. One of the two is called, once. */
export interface OpenFrame {
  /** Calls `append` once. */
  write(): void
  drop(): void
}

export interface Wal {
  /**
   * Adds a frame and returns the LSN after it. Order of calls is order of LSNs. `drop` is called instead of `fill` when
   * the WAL fails before it gets that far.
   * @throws StratalogError `append_too_large`, `engine_closed`, or the failure. Then nothing was added, and neither is
   * called.
   */
  append(
    fields: WalFrameFields,
    payloadLength: number,
    fill: FillPayload,
    drop?: () => void,
  ): number
  /**
   * Opens a frame that may grow: it is written before anything else is added, and at the end of this turn at the
   * latest; or dropped, when the WAL fails before. Returns an LSN inside it.
   * @throws StratalogError `engine_closed`, or the failure.
   */
  open(frame: OpenFrame): number
  /** Ends the frame that is open, if one is: `appendedLsn` is behind it then. */
  endOpen(): void
  /**
   * Null while there is room. Else resolves when there is; wait for it before work that ends in
   * `append`, and look again. An `append` that does not wait is taken all the same, in order, and
   * its `fill` runs when there is room.
   */
  readonly backpressure: Promise<void> | null
  /** Everything below is on disk. */
  readonly durableLsn: number
  /** The LSN of the next frame, or of the one that is open. */
  readonly appendedLsn: number
  /** Why nothing more becomes durable, or null. */
  readonly failure: StratalogError | null
  /** How far the writer is, whatever it has told. */
  activity(): WalActivity
  /** Zeros where the options do not ask for them. */
  syncs(): WalSyncs
  /** One listener, called once per group with the new durable LSN. It does not throw. */
  onDurable(listener: (durableLsn: number) => void): void
  /** One listener, called once; every `onDurable` comes before. */
  onFailure(listener: (failure: StratalogError) => void): void
  /** Resolves when all that was appended is durable. @throws the failure. */
  flush(): Promise<void>
  /**
   * Gives the WAL up, because of what happened elsewhere on its disk: nothing more is told to be durable. `onFailure`
   * comes when the writer has ended; `durableLsn` then says how far it came.
   */
  abandon(failure: StratalogError): void
  /** Frames below `lsn` are not needed again: call it after the checkpoint that says so is durable. */
  release(lsn: number): void
  /** Makes all durable, seals, and ends the writer. Does not throw after a failure; that was told already. */
  close(): Promise<void>
}

export interface WalOptions {
  readonly directory: string
  readonly engineId: string
  /** Above the epoch of every writer before. */
  readonly epoch: number
  /** What `scanWal` found. */
  readonly recovered: WalRecovered
  /** How the writer knows that it still is the one; left out where nobody else can be. */
  readonly fence?: WalFence | null
  /** A power of two; for tests. */
  readonly ringBytes?: number
  /** For tests. */
  readonly sizes?: WalFileSizes
  /** Whether the writer counts its syncs and times them. */
  readonly measuresSyncs?: boolean
}

export interface InlineWalOptions extends WalOptions {
  readonly fileSystem: SyncFileSystem
  /** Runs `turn` later, once; called when there is work. The simulator's scheduler, or `queueMicrotask`. */
  readonly schedule: (turn: () => void) => void
}

export interface ThreadWalOptions extends WalOptions {
  readonly spawn: SpawnWalThread
}

const DEFAULT_SIZES: WalFileSizes = {
  fileBytesMin: WAL_FILE_BYTES_MIN,
  fileBytesMax: WAL_FILE_BYTES_MAX,
  zeroAheadBytes: WAL_ZERO_AHEAD_BYTES,
}

/** A WAL whose writer runs in this thread, when `schedule` lets it. Everything recovered is durable when it returns. */
export function createInlineWal(options: InlineWalOptions): Wal {
  const buffer = createRingBuffer(options.ringBytes ?? WAL_RING_BYTES, options.recovered.endLsn)
  const ring = new RingConsumer(buffer)
  const monotonic = options.measuresSyncs === true ? () => systemClock.monotonic() : null
  // Progress is looked at after each round, so the writer itself tells nobody.
  const sizes = options.sizes ?? DEFAULT_SIZES
  const fence = options.fence ?? null
  const writer = new WalWriter({ ...options, fence, sizes, ring, monotonic, onProgress: () => {} })
  return new RingWal(
    buffer,
    options.recovered.endLsn,
    (events) => new InlineDriver(writer, ring, options.schedule, events),
  )
}

/** A WAL whose writer has a thread of its own. Everything recovered is durable when the promise resolves. */
export async function createThreadWal(options: ThreadWalOptions): Promise<Wal> {
  const { directory, engineId, epoch, recovered, spawn } = options
  const ring = createRingBuffer(options.ringBytes ?? WAL_RING_BYTES, recovered.endLsn)
  const start = {
    ring,
    directory,
    engineId,
    epoch,
    recovered,
    fence: options.fence ?? null,
    sizes: options.sizes ?? DEFAULT_SIZES,
    measuresSyncs: options.measuresSyncs ?? false,
  }
  let driver: ThreadDriver | null = null
  const wal = new RingWal(
    ring,
    recovered.endLsn,
    (events) => (driver = new ThreadDriver(start, spawn, events)),
  )
  assert(driver !== null, 'the driver is made with the WAL')
  await (driver as ThreadDriver).opened
  return wal
}

interface QueuedFrame {
  readonly fields: WalFrameFields
  readonly lsn: number
  readonly payloadLength: number
  readonly fill: FillPayload
  readonly drop: () => void
  /** A large frame while it goes through in pieces, and how far it went. */
  pieces: { readonly bytes: Uint8Array; pushed: number } | null
}

interface FlushWaiter {
  readonly lsn: number
  readonly resolve: () => void
  readonly reject: (failure: StratalogError) => void
}

class RingWal implements Wal {
  readonly #ring: RingProducer
  readonly #driver: WalDriver
  #appendedLsn: number
  #durableLsn: number
  #failure: StratalogError | null = null
  /** Why nothing is told any more, while the writer still ends. */
  #abandoned: StratalogError | null = null
  #closing: Promise<void> | null = null
  #durableListener: (durableLsn: number) => void = () => {}
  #failureListener: (failure: StratalogError) => void = () => {}
  /** Frames that found no room, in LSN order. */
  #queue: QueuedFrame[] = []
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null
  #flushes: FlushWaiter[] = []
  #holdsProcess = false
  #open: OpenFrame | null = null
  #endsOpen = false

  constructor(
    buffer: SharedArrayBuffer,
    startLsn: number,
    makeDriver: (events: DriverEvents) => WalDriver,
  ) {
    this.#ring = new RingProducer(buffer)
    this.#appendedLsn = startLsn
    this.#durableLsn = startLsn
    this.#driver = makeDriver({
      progress: () => this.#progress(),
      failed: (failure) => this.#fail(failure),
    })
  }

  get durableLsn(): number {
    return this.#durableLsn
  }
  get appendedLsn(): number {
    return this.#appendedLsn
  }
  get failure(): StratalogError | null {
    return this.#failure ?? this.#abandoned
  }
  get backpressure(): Promise<void> | null {
    return this.#room?.promise ?? null
  }

  activity(): WalActivity {
    const isBusy = this.#failure === null && this.#ring.durableLsn() < this.#appendedLsn
    return { isBusy, steps: this.#ring.steps() }
  }

  syncs(): WalSyncs {
    return this.#ring.syncs()
  }

  onDurable(listener: (durableLsn: number) => void): void {
    this.#durableListener = listener
  }

  onFailure(listener: (failure: StratalogError) => void): void {
    this.#failureListener = listener
  }

  append(
    fields: WalFrameFields,
    payloadLength: number,
    fill: FillPayload,
    drop: () => void = () => {},
  ): number {
    this.#assertTakes()
    this.endOpen()
    return this.#append(fields, payloadLength, fill, drop)
  }

  open(frame: OpenFrame): number {
    this.#assertTakes()
    this.endOpen()
    this.#open = frame
    if (!this.#endsOpen) {
      this.#endsOpen = true
      // Whoever was woken by the same news appends before this.
      queueMicrotask(() => {
        this.#endsOpen = false
        this.endOpen()
      })
    }
    return this.#appendedLsn + 1
  }

  endOpen(): void {
    const frame = this.#open
    if (frame === null) return
    this.#open = null
    if (this.failure === null) frame.write()
    else frame.drop()
  }

  async flush(): Promise<void> {
    if (this.failure !== null) throw this.failure
    this.endOpen()
    if (this.#durableLsn >= this.#appendedLsn) return
    const lsn = this.#appendedLsn
    await new Promise<void>((resolve, reject) => this.#flushes.push({ lsn, resolve, reject }))
  }

  release(lsn: number): void {
    assert(lsn <= this.#durableLsn, 'only durable frames are released')
    if (this.#closing !== null || this.failure !== null) return
    this.#ring.release(lsn)
    this.#driver.wake(this.#ring, 0)
  }

  abandon(failure: StratalogError): void {
    if (this.failure !== null) return
    this.#abandoned = failure
    this.#ring.stop()
    void this.#driver.end(this.#ring).then(() => this.#fail(failure))
  }

  close(): Promise<void> {
    this.endOpen()
    this.#closing ??= this.#close()
    return this.#closing
  }

  #assertTakes(): void {
    if (this.#closing !== null) throw new StratalogError('engine_closed', 'The WAL is closed.')
    if (this.failure !== null) throw this.failure
  }

  async #close(): Promise<void> {
    try {
      await this.flush()
      // The seal proves all before it durable: damage there is then corruption, never taken for a torn tail.
      this.#append(
        SEAL,
        0,
        () => {},
        () => {},
      )
      await this.flush()
    } catch {
      // The failure was told to its listener, and recovery deals with what is not durable.
    }
    this.#ring.stop()
    await this.#driver.end(this.#ring)
  }

  #append(
    fields: WalFrameFields,
    payloadLength: number,
    fill: FillPayload,
    drop: () => void,
  ): number {
    if (this.failure !== null) throw this.failure
    if (payloadLength > APPEND_BYTES_MAX) throw tooLarge(payloadLength)
    const lsn = this.#appendedLsn
    const frame: QueuedFrame = { fields, lsn, payloadLength, fill, drop, pieces: null }
    const isIn = this.#queue.length === 0 && this.#put(frame)
    this.#appendedLsn += walFrameBytes(payloadLength)
    assert(Number.isSafeInteger(this.#appendedLsn), 'LSNs are safe integers')
    if (!isIn) this.#queue.push(frame)
    if (!isIn && this.#queue.length === 1) this.#drain()
    this.#driver.wake(this.#ring, walFrameBytes(payloadLength))
    this.#hold()
    return this.#appendedLsn
  }

  /** Lays a frame into the ring, or as much of a large one as there is room for; true when it is all in. */
  #put(frame: QueuedFrame): boolean {
    const bytes = walFrameBytes(frame.payloadLength)
    if (bytes > this.#ring.wholeFrameBytesMax) return this.#putPieces(frame)
    const position = this.#ring.reserve(bytes)
    if (position < 0) return false
    writeFrame(this.#ring.bytes, this.#ring.view, position, frame)
    this.#ring.commit(bytes)
    return true
  }

  #putPieces(frame: QueuedFrame): boolean {
    if (frame.pieces === null) {
      const position = this.#ring.reserve(WAL_FRAME_HEADER_BYTES)
      if (position < 0) return false
      const bytes = new Uint8Array(walFrameBytes(frame.payloadLength))
      writeFrame(bytes, new DataView(bytes.buffer), 0, frame)
      this.#ring.bytes.set(bytes.subarray(0, WAL_FRAME_HEADER_BYTES), position)
      this.#ring.commit(WAL_FRAME_HEADER_BYTES)
      frame.pieces = { bytes, pushed: WAL_FRAME_HEADER_BYTES }
    }
    const { pieces } = frame
    pieces.pushed += this.#ring.push(pieces.bytes, pieces.pushed)
    return pieces.pushed === pieces.bytes.length
  }

  /** Moves queued frames into the ring as far as there is room, and asks to be told of more. */
  #drain(): void {
    let hasAsked = false
    let count = 0
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[count]) {
      if (this.#put(first)) {
        count++
        hasAsked = false
      } else if (hasAsked) {
        break
      } else {
        // Ask, then look once more: room that came in between was not announced.
        this.#ring.wantSpace()
        hasAsked = true
      }
    }
    this.#queue = this.#queue.slice(count)
    this.#setBackpressure(this.#queue.length > 0)
  }

  #setBackpressure(isFull: boolean): void {
    if (isFull) {
      this.#room ??= Promise.withResolvers<void>()
      return
    }
    this.#room?.resolve()
    this.#room = null
  }

  /** Looks at the control words again; whoever is told may append more. */
  #progress(): void {
    if (this.#failure !== null) return
    const durableLsn = this.#ring.durableLsn()
    if (this.#abandoned !== null) {
      this.#durableLsn = durableLsn
      return
    }
    if (durableLsn > this.#durableLsn) {
      this.#durableLsn = durableLsn
      this.#settleFlushes(durableLsn)
      this.#durableListener(durableLsn)
    }
    if (this.#queue.length > 0) {
      this.#drain()
      this.#driver.wake(this.#ring, 0)
    }
    this.#hold()
  }

  #settleFlushes(durableLsn: number): void {
    const isDone = (waiter: FlushWaiter | undefined): boolean =>
      waiter !== undefined && waiter.lsn <= durableLsn
    while (isDone(this.#flushes[0])) this.#flushes.shift()?.resolve()
  }

  #fail(failure: StratalogError): void {
    if (this.#failure !== null) return
    this.#progress()
    this.#failure = failure
    this.endOpen()
    for (const frame of this.#queue.splice(0)) if (frame.pieces === null) frame.drop()
    this.#setBackpressure(false)
    for (const waiter of this.#flushes.splice(0)) waiter.reject(failure)
    this.#hold()
    this.#failureListener(failure)
  }

  #hold(): void {
    const holds = this.failure === null && this.#durableLsn < this.#appendedLsn
    if (holds === this.#holdsProcess) return
    this.#holdsProcess = holds
    this.#driver.setHoldsProcess(holds)
  }
}

const SEAL: WalFrameFields = {
  kind: 'seal',
  logId: 0,
  partition: 0,
  baseOffset: 0,
  recordCount: 0,
  appendTime: 0,
}

/** A frame as the producer knows it, with zeros behind its payload. */
function writeFrame(into: Uint8Array, view: DataView, position: number, frame: QueuedFrame): void {
  const { fields, lsn, payloadLength } = frame
  writeFrameFields(view, position, fields, lsn, payloadLength)
  const payload = position + WAL_FRAME_HEADER_BYTES
  frame.fill(into, payload)
  into.fill(0, payload + payloadLength, position + walFrameBytes(payloadLength))
}

function tooLarge(payloadLength: number): StratalogError {
  return new StratalogError(
    'append_too_large',
    `An append of ${payloadLength} bytes is more than the ${APPEND_BYTES_MAX} that one may have; split it.`,
    { details: { given: payloadLength, max: APPEND_BYTES_MAX } },
  )
}
