/** What is done with files without a running engine. What does it is loaded with the first call. */
import type { DrillReport } from '../replay/drill-report.ts'
import type { RestoreForecast } from '../snapshot/forecast-restore.ts'
import type { RestoreResult } from '../snapshot/restore.ts'
import type { DrillArchiveOptions } from './drill-archive.ts'
import type { EnginePorts } from './ports.ts'
import type { ReconcileOptions, ReconcileReport } from './reconcile.ts'
import type { PlanRestoreOptions, RestoreArchiveOptions } from './restore-archive.ts'
import type { VerifyFilesOptions, VerifyReport } from './verify/verify-report.ts'

/**
 * What a restore would do, and how long it takes by a short measurement of the store; nothing is written.
 * @throws StratalogError `archive_not_found`, `snapshot_not_found`, `log_not_found`, `argument_invalid`.
 */
export async function planRestoreArchive(
  options: PlanRestoreOptions,
  ports: Partial<EnginePorts> = {},
): Promise<RestoreForecast> {
  const { planRestoreOf } = await import('./restore-archive.ts')
  return planRestoreOf(options, ports)
}

/**
 * Restores an archive, or part of it, into a data directory. A restore of the whole archive is the same engine again,
 * may go on with that archive, and is there at once: what is read is fetched. With `eager`, and of a part always, every
 * segment is copied and verified first, and what is missing or damaged is in the result.
 * @throws StratalogError as `planRestoreArchive`, and `directory_not_empty`, `directory_in_use`, `disk_full`,
 * `aborted`.
 * @example
 * const whole = { archive: 'file:///backups/shop', dataDir: './restored', eager: true }
 * const report = await restoreArchive(whole)
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
 * For a data directory that is refused with `archive_diverged`, because another machine went on with its archive: keeps
 * what only the directory has in forks, and goes on with the archive's logs. The archive is only read: its writer stays
 * the one, until an engine is opened with it here. No engine may be open in the directory.
 * @throws StratalogError `archive_foreign`, `archive_not_found`, `store_unavailable`, `directory_in_use`,
 * `wal_corrupt`, `disk_full`.
 * @example
 * const { logs } = await reconcileArchive({ dataDir: './data', archive: 'file:///backups/shop' })
 * for (const { log, as, kept } of logs) console.log(log, as, kept)
 */
export async function reconcileArchive(
  options: ReconcileOptions,
  ports: Partial<EnginePorts> = {},
): Promise<ReconcileReport> {
  const { runReconcile } = await import('./reconcile.ts')
  return runReconcile(options, ports)
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

/**
 * Looks at every file of a data directory, every object of an archive, or both, and says what is wrong, which records
 * it costs, and what can still be read. Nothing is changed and no lock is taken.
 * @throws StratalogError `argument_invalid` when neither is named, `file_not_found`, `directory_foreign` and
 * `archive_not_found` when nothing of ours is there, `store_unavailable`, `aborted`; damage does not throw.
 * @example
 * const report = await verifyFiles({ dataDir: './data', archive: 'file:///backups/shop' })
 * for (const { where, kind, readable } of report.problems) console.error(where, kind, readable)
 */
export async function verifyFiles(
  options: VerifyFilesOptions,
  ports: Partial<EnginePorts> = {},
): Promise<VerifyReport> {
  const { runVerify } = await import('./verify/run-verify.ts')
  return runVerify(options, ports)
}

/**
 * As `verifyFiles`, of the copies of segments only: what `db.tier.scrub()` looks at, beside or without a writer.
 * Nothing is changed and no lock is taken.
 * @throws StratalogError as `verifyFiles`.
 * @example
 * const { problems } = await scrubFiles({ dataDir: './data' })
 */
export async function scrubFiles(
  options: VerifyFilesOptions,
  ports: Partial<EnginePorts> = {},
): Promise<VerifyReport> {
  const { runVerify } = await import('./verify/run-verify.ts')
  return runVerify(options, ports, 'copies')
}
