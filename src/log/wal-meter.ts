/** Tells the metrics port of the syncs of one WAL: how long they took, and of how many frames and bytes they were. */
import type { Metrics } from '../base/metrics.ts'
import type { WalSyncs } from './wal-ring.ts'
import type { Wal } from './wal.ts'

export class WalMeter {
  readonly #metrics: Metrics
  readonly #wal: Pick<Wal, 'syncs' | 'durableLsn'>
  #known: WalSyncs
  #durableLsn: number

  constructor(metrics: Metrics, wal: Pick<Wal, 'syncs' | 'durableLsn'>) {
    this.#metrics = metrics
    this.#wal = wal
    this.#known = wal.syncs()
    this.#durableLsn = wal.durableLsn
  }

  /** After a sync, or some: where this thread was busy between them, each passes for as long as the mean. */
  look(): void {
    const { count, ms, frames } = this.#wal.syncs()
    const { durableLsn } = this.#wal
    const syncs = count - this.#known.count
    const meanMs = (ms - this.#known.ms) / syncs
    for (let sync = 0; sync < syncs; sync++) this.#metrics.observe('stratalog_wal_sync_ms', meanMs)
    this.#metrics.count('stratalog_wal_sync_frames_total', frames - this.#known.frames)
    this.#metrics.count('stratalog_wal_sync_bytes_total', durableLsn - this.#durableLsn)
    this.#known = { count, ms, frames }
    this.#durableLsn = durableLsn
  }
}
