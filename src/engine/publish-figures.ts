/** Figures that cost a look at every partition, so that nobody sets them while they change: for who reads them now. */
import { archiveUse, setDiskGauges, waitingSince } from './status.ts'
import { type Stratalog, engineOf } from './stratalog.ts'

/** Sets the gauges of RAM, disk and archive, and of how long the oldest records have waited for their next copy. */
export function publishFigures(db: Stratalog): void {
  db.memoryMetrics()
  const engine = engineOf(db)
  archiveUse(engine)
  const { diskBudget, registry, ports } = engine
  const { clock, metrics } = ports
  if (diskBudget !== null) setDiskGauges(metrics, diskBudget)
  const now = clock.now()
  let [flushSince, uploadSince] = [now, now]
  for (const { policy, partitions } of registry.all()) {
    if (policy.mode === 'memory') continue
    for (const partition of partitions) {
      const { flush, upload } = waitingSince(partition)
      if (policy.localDisk) flushSince = Math.min(flushSince, flush ?? now)
      if (policy.archiveAfter === null) continue
      uploadSince = Math.min(uploadSince, upload ?? flush ?? now)
    }
  }
  metrics.gauge('stratalog_flush_lag_ms', now - flushSince)
  metrics.gauge('stratalog_upload_lag_ms', now - uploadSince)
}
