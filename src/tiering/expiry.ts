/**
 * Reclaims what expired, by the clock. Readers do not see expired records anyway; this gives their memory back.
 *
 * Only partitions that hold records with a time to live are looked at, and there is a timer only while there are some.
 * A sweep drops batches that expired whole, and copies the rest of one when half of it is gone: each record is then
 * copied once for each that goes. Under pressure less is enough, and everything goes before an append is refused.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Eviction } from '../log/eviction.ts'
import type { Partition } from '../log/partition.ts'

const SWEEP_INTERVAL_MS = 1_000
const SWEEP_SHARE_MIN = 0.5

export class ExpirySweep {
  readonly #clock: Clock
  readonly #onDropped: (partition: Partition, dropped: readonly Eviction[]) => void
  readonly #partitions = new Set<Partition>()
  #timer: Timer | null = null
  #isClosed = false

  constructor(
    clock: Clock,
    onDropped: (partition: Partition, dropped: readonly Eviction[]) => void,
  ) {
    this.#clock = clock
    this.#onDropped = onDropped
  }

  /** The partition holds records that expire. */
  watch(partition: Partition): void {
    if (this.#isClosed) return
    this.#partitions.add(partition)
    this.#timer ??= this.#clock.setTimer(SWEEP_INTERVAL_MS, () => this.#sweep())
  }

  /** Drops what expired where that is at least `shareMin` of a batch, of one log or of all. */
  dropAll(shareMin: number, of?: readonly Partition[]): void {
    if (this.#partitions.size === 0) return
    const now = this.#clock.now()
    for (const partition of of ?? this.#partitions) this.#drop(partition, now, shareMin)
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#partitions.clear()
  }

  #sweep(): void {
    this.#timer = null
    const now = this.#clock.now()
    for (const partition of this.#partitions) {
      this.#drop(partition, now, SWEEP_SHARE_MIN)
      if (partition.expiresMin === Infinity) this.#partitions.delete(partition)
    }
    if (this.#partitions.size > 0 && !this.#isClosed)
      this.#timer = this.#clock.setTimer(SWEEP_INTERVAL_MS, () => this.#sweep())
  }

  #drop(partition: Partition, now: number, shareMin: number): void {
    const dropped = partition.dropExpired(now, shareMin)
    if (dropped.length > 0) this.#onDropped(partition, dropped)
  }
}
