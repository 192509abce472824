/** What is done with an archive without a running engine. What does it is loaded with the first call. */
import type { DrillReport } from '../replay/drill-report.ts'
import type { RestoreSummary } from '../snapshot/plan-restore.ts'
import type { RestoreResult } from '../snapshot/restore.ts'
import type { DrillArchiveOptions } from './drill-archive.ts'
import type { EnginePorts } from './ports.ts'
import type { RestoreArchiveOptions } from './restore-archive.ts'

/**
 * What a restore would do; nothing is written.
 * @throws StratalogError `archive_not_found`, `snapshot_not_found`, `log_not_found`, `argument_invalid`.
 */
export async function planRestoreArchive(
  options: Omit<RestoreArchiveOptions, 'dataDir'>,
  ports: Partial<EnginePorts> = {},
): Promise<RestoreSummary> {
  const { planRestoreOf } = await import('./restore-archive.ts')
  return planRestoreOf(options, ports)
}

/**
 * Restores an archive, or part of it, into a data directory: every segment is verified, and what is missing or damaged
 * is in the result. A restore of the whole archive is the same engine again and may go on with that archive.
 * @throws StratalogError as `planRestoreArchive`, and `directory_not_empty`, `directory_in_use`, `disk_full`,
 * `aborted`.
 * @example
 * const report = await restoreArchive({ archive: 'file:///backups/shop', dataDir: './restored' })
 * console.log(report.verified, report.records)
 */
export async function restoreArchive(
  options: RestoreArchiveOptions,
  ports: Partial<EnginePorts> = {},
): Promise<RestoreResult> {
  const { runRestore } = await import('./restore-archive.ts')
  return runRestore(options, ports)
}

/**
 * Rehearses a restore: into a scratch directory, every byte verified, measured and judged. The archive is only read.
 * @throws StratalogError `archive_not_found`, `store_unavailable`, `disk_full`, `aborted`; damage does not throw, it
 * makes the verdict FAIL.
 * @example
 * const report = await drillArchive({ archive: 'file:///backups/shop', against: './data' })
 * if (report.verdict !== 'PASS') console.error(report.reasons)
 */
export async function drillArchive(
  options: DrillArchiveOptions,
  ports: Partial<EnginePorts> = {},
): Promise<DrillReport> {
  const { runDrill } = await import('./drill-archive.ts')
  return runDrill(options, ports)
}
