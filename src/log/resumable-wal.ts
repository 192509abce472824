/**
 * The WAL of an engine for as long as the engine lives: one inner WAL after the other, with what happens to the disk
 * between them (`disk-state.ts`).
 *
 * When the inner WAL fails, in one synchronous stretch:
 * 1. the state changes, so that every later append is refused by it;
 * 2. what is durable is settled; what is not is withdrawn: each append is refused, and what nobody was told of leaves
 *    RAM, so readers never see it and its offsets go to others (`ack-queue.ts`).
 * Then, in the background, until it succeeds or the engine closes:
 * 3. a probe writes and syncs on the disk;
 * 4. the writer that failed has ended, and `reopen` makes a WAL that goes on where what is durable ends: under the same
 *    epoch after a lack of room, else under a new one, after it read back everything that was acknowledged;
 * 5. in one synchronous stretch what was acknowledged in memory is logged again, and appends are taken.
 * A crash in any of them is a crash of an engine that had acknowledged what it had acknowledged: recovery finds that.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { StratalogError, toStratalogError } from '../base/errors.ts'
import type { Metrics } from '../base/metrics.ts'
import { DISK_RETRY_MAX_MS, DISK_RETRY_MIN_MS, WAL_STUCK_AFTER_MS } from '../format/limits.ts'
import type { WalFrameFields } from '../format/wal-frame.ts'
import type { AckQueue, AppendFate, KeptAppend } from './ack-queue.ts'
import type { DiskHealth } from './disk-health.ts'
import { diskEventOf } from './disk-state.ts'
import type { LiveLog } from './live-log.ts'
import { relog } from './relog.ts'
import type { Partition } from './partition.ts'
import type { WalCut } from './wal-cut.ts'
import type { FillPayload, OpenFrame, Wal } from './wal.ts'
import { WalMeter } from './wal-meter.ts'
import type { WalSyncs } from './wal-ring.ts'
import { type WalActivity, WalWatch } from './wal-watch.ts'

export interface ResumableWalPorts {
  readonly clock: Clock
  readonly disk: DiskHealth
  readonly acks: AckQueue<Partition>
  readonly logs: () => Iterable<LiveLog>
  /** Who is told of syncs; null where they are not measured. */
  readonly metrics: Metrics | null
  /** Resolves when the disk takes and syncs bytes. @throws StratalogError why not. */
  readonly probe: () => Promise<void>
  /** @throws StratalogError a `corrupt` kind when what is durable below the cut cannot be read back. */
  readonly reopen: (cut: WalCut) => Promise<Wal>
  /** Default: WAL_STUCK_AFTER_MS. */
  readonly stuckAfterMs?: number
}

export class ResumableWal implements Wal {
  readonly #ports: ResumableWalPorts
  readonly #watch: WalWatch
  #inner: Wal
  #closing: Promise<void> | null = null
  /** What was acknowledged in memory and is in no WAL, in order. */
  #kept: readonly KeptAppend<Partition>[] = []
  /** A checkpoint that came while there was no WAL to be told. */
  #releasedLsn = 0
  #healing: Promise<void> | null = null
  #pauseMs = DISK_RETRY_MIN_MS
  /** Monotonic time of the last resumption. */
  #resumedAt = -Infinity
  #wait: { readonly timer: Timer; readonly end: () => void } | null = null
  #failureListener: (failure: StratalogError) => void = () => {}

  constructor(first: Wal, ports: ResumableWalPorts) {
    this.#ports = ports
    this.#inner = first
    this.#listenTo(first)
    this.#watch = new WalWatch(
      ports.clock,
      ports.stuckAfterMs ?? WAL_STUCK_AFTER_MS,
      () => this.#inner.activity(),
      (isStuck) => ports.disk.apply(isStuck ? 'slow' : 'returned', isStuck ? stuck() : null),
    )
  }

  get durableLsn(): number {
    return this.#inner.durableLsn
  }
  get appendedLsn(): number {
    return this.#inner.appendedLsn
  }
  get failure(): StratalogError | null {
    return this.#ports.disk.refusal
  }
  get backpressure(): Promise<void> | null {
    return this.#inner.backpressure
  }

  activity(): WalActivity {
    return this.#inner.activity()
  }

  syncs(): WalSyncs {
    return this.#inner.syncs()
  }

  append(
    fields: WalFrameFields,
    payloadLength: number,
    fill: FillPayload,
    drop?: () => void,
  ): number {
    const refusal = this.failure
    if (refusal !== null) throw refusal
    return this.#inner.append(fields, payloadLength, fill, drop)
  }

  open(frame: OpenFrame): number {
    const refusal = this.failure
    if (refusal !== null) throw refusal
    return this.#inner.open(frame)
  }

  endOpen(): void {
    this.#inner.endOpen()
  }

  /** Acknowledgements go through the queue that the ports name. */
  onDurable(): void {}

  /** Is told of every failure. */
  onFailure(listener: (failure: StratalogError) => void): void {
    this.#failureListener = listener
  }

  async flush(): Promise<void> {
    const { disk } = this.#ports
    // What is stuck may still return.
    if (disk.refusal !== null && disk.state !== 'stuck') throw disk.refusal
    await this.#inner.flush()
  }

  release(lsn: number): void {
    this.#releasedLsn = Math.max(this.#releasedLsn, lsn)
    if (lsn <= this.#inner.durableLsn) this.#inner.release(lsn)
  }

  abandon(failure: StratalogError): void {
    const { disk } = this.#ports
    const event = diskEventOf(failure)
    // A disk that failed is tried again, which a newer writer ends.
    const isOver = disk.facts.endsEpoch && event !== 'fenced'
    if (isOver || this.#closing !== null) return
    disk.apply(event, failure)
    if (disk.facts.endsEpoch) this.#inner.abandon(failure)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#watch.close()
    this.#wait?.timer.cancel()
    this.#wait?.end()
    await this.#healing
    await this.#inner.close()
    this.#ports.disk.apply('close')
  }

  #listenTo(wal: Wal): void {
    const { acks, metrics } = this.#ports
    const meter = metrics === null ? null : new WalMeter(metrics, wal)
    wal.onDurable((durableLsn) => {
      acks.settle(durableLsn)
      meter?.look()
      this.#watch.look()
    })
    wal.onFailure((failure) => {
      if (wal === this.#inner) this.#withdraw(failure)
    })
  }

  #withdraw(failure: StratalogError): void {
    const { disk, acks } = this.#ports
    disk.apply(diskEventOf(failure), failure)
    const isUndone = failure.details['isUndone'] === true
    const refusal = (fate: AppendFate): StratalogError => refused(disk.refusal ?? failure, fate)
    const kept = acks.withdraw(this.#inner.durableLsn, isUndone, refusal)
    this.#kept = [...this.#kept, ...kept]
    this.#failureListener(failure)
    this.#healing ??= this.#heal()
  }

  async #heal(): Promise<void> {
    const { clock, disk } = this.#ports
    // A disk that is full again right after it had room is not tried as if nothing had happened.
    const isNew = clock.monotonic() - this.#resumedAt > 2 * DISK_RETRY_MAX_MS
    if (isNew) this.#pauseMs = DISK_RETRY_MIN_MS
    while (this.#closing === null && disk.facts.isRetried) {
      await this.#pause()
      if (this.#closing === null) await this.#tryToResume()
    }
    this.#healing = null
  }

  async #tryToResume(): Promise<void> {
    const { disk, probe, reopen } = this.#ports
    try {
      await probe()
      disk.apply('probe_passed')
      // Ended by itself, or is about to: nothing of it must reach the files any more.
      await this.#inner.close()
      const wal = await reopen({ lsn: this.#inner.durableLsn, isNewEpoch: disk.facts.endsEpoch })
      const isWanted = this.#closing === null && disk.facts.isRetried
      if (isWanted) this.#goOn(wal)
      else await wal.close()
    } catch (error) {
      const failure = toStratalogError(error)
      disk.apply(diskEventOf(failure), failure)
    }
  }

  /** From here on the WAL takes appends; first what had to stay without one. */
  #goOn(wal: Wal): void {
    const { acks, clock, disk, logs } = this.#ports
    const cut = this.#inner.durableLsn
    this.#inner = wal
    this.#listenTo(wal)
    if (this.#releasedLsn > 0) wal.release(Math.min(this.#releasedLsn, wal.durableLsn))
    this.#resumedAt = clock.monotonic()
    disk.apply('resumed')
    relog(logs(), this.#kept, cut, acks)
    this.#kept = []
  }

  /** Longer from time to time. Does not keep the process alive. */
  #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#ports.clock.setTimer(this.#pauseMs, resolve)
    this.#pauseMs = Math.min(DISK_RETRY_MAX_MS, this.#pauseMs * 2)
    this.#wait = { timer, end: resolve }
    return promise
  }
}

/** What an append is told that was under way when the WAL failed. */
function refused(failure: StratalogError, fate: AppendFate): StratalogError {
  const what =
    fate === 'not_applied'
      ? 'This append was not applied.'
      : 'Whether this append is applied is unknown: it may appear, once and whole, or not.'
  return new StratalogError(failure.code, `${what} ${failure.message}`, {
    cause: failure,
    details: { ...failure.details, fate },
  })
}

function stuck(): StratalogError {
  return new StratalogError('disk_stuck', 'It has been going on for longer than its limit.')
}
