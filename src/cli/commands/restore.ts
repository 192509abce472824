/**
 * `restore`: a data directory from an archive alone. The plan comes first. On a terminal it is asked for; where nobody
 * can be asked it goes on, for a restore writes nowhere but into an empty directory.
 */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { planRestoreArchive, restoreArchive } from '../../engine/archive-operations.ts'
import type { RestoreArchiveOptions } from '../../engine/restore-archive.ts'
import type { RestoreForecast } from '../../snapshot/forecast-restore.ts'
import type { RestoreSummary } from '../../snapshot/plan-restore.ts'
import type { RestoreResult } from '../../snapshot/restore.ts'
import type { OffsetTarget } from '../arguments.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { Progress } from '../progress.ts'
import { runRemoteJob } from '../remote-jobs.ts'
import { Remote } from '../remote.ts'
import { type Session, note, writeDocument } from '../session.ts'

/** Whoever wrote to the archive less long ago may still be at it. */
const WRITTEN_LATELY_MS = 60 * 60 * 1000

/** Times as ms. */
type RestoreSelection = Pick<
  RestoreArchiveOptions,
  'eager' | 'snapshot' | 'toOffsets' | 'logs' | 'rename'
> & { readonly at?: number }

export interface RestoreFlags extends FlagValues {
  readonly archive?: string
  readonly dataDir?: string
  readonly snapshot?: string
  readonly at?: number
  readonly toOffset?: readonly OffsetTarget[]
  readonly logs?: readonly string[]
  readonly rename?: Readonly<Record<string, string>>
  readonly eager?: true
  readonly plan?: true
  readonly yes?: true
}

/** @throws StratalogError `object_corrupt` when part of the plan was missing or damaged, after the report. */
export async function restore(session: Session, flags: RestoreFlags): Promise<void> {
  const remote = Remote.of(session, flags, ['archive', 'dataDir'])
  if (remote !== null) {
    await restoreThere(session, remote, flags)
    return
  }
  const { archive, dataDir, s3 } = readConfiguration(flags)
  if (archive === undefined)
    throw new StratalogError('argument_invalid', 'Name the archive to restore from with --archive.')
  const selection = {
    archive,
    signal: session.signal,
    ...(s3 === undefined ? {} : { s3 }),
    ...selectionOf(flags),
  }
  if (flags.plan === true) {
    await showPlan(session, await planRestoreArchive(selection))
    return
  }
  if (dataDir === undefined)
    throw new StratalogError(
      'argument_invalid',
      'Name a new directory to restore into with --data-dir.',
    )
  const progress = new Progress(session, 'restore')
  const result = await restoreArchive({
    ...selection,
    dataDir,
    ...(session.json ? {} : { confirm: (forecast) => confirm(session, flags, forecast) }),
    onProgress: ({ bytes, bytesTotal, records }) =>
      progress.update({ done: bytes, total: bytesTotal, records, unit: 'bytes' }),
  }).finally(() => progress.end())
  await showResult(session, result)
  throwDamage(result)
}

/** There `--data-dir` is a name below the folder that the operator chose; without it logs come into the server. */
async function restoreThere(session: Session, remote: Remote, flags: RestoreFlags): Promise<void> {
  const { archive, dataDir: directory } = flags
  const selection = { kind: 'restore' as const, archive, ...selectionOf(flags) }
  const forecast = async (): Promise<RestoreForecast> => {
    const eager = directory === undefined ? true : flags.eager
    const request = { ...selection, eager, plan: true }
    return (await runRemoteJob<{ plan: RestoreForecast }>(session, remote, request)).plan
  }
  if (flags.plan === true) {
    await showPlan(session, await forecast())
    return
  }
  if (!session.json && !(await confirm(session, flags, await forecast())))
    throw new StratalogError('aborted', 'It was not confirmed; nothing was restored.')
  const request = { ...selection, directory }
  const result = await runRemoteJob<RestoreResult>(session, remote, request)
  await showResult(session, result)
  throwDamage(result)
}

/** Says what will be done, and asks where somebody can answer and did not say so already. */
async function confirm(
  session: Session,
  { yes, eager }: RestoreFlags,
  forecast: RestoreForecast,
): Promise<boolean> {
  const { terminal, signal } = session
  terminal.note(`restoring ${forecastText(forecast)}`)
  noteWriter(session, forecast)
  if (!forecast.isLazy && eager !== true)
    terminal.note('it is copied whole: a part of an archive becomes an engine of its own')
  if (yes === true || !terminal.isInteractive) return true
  const answer = await terminal.ask('Restore? [y/N] ', signal)
  return /^y(es)?$/i.test(answer.trim())
}

function selectionOf(flags: RestoreFlags): RestoreSelection {
  const { snapshot, at, toOffset, logs, rename, eager } = flags
  return {
    ...(eager === undefined ? {} : { eager }),
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(at === undefined ? {} : { at }),
    ...(toOffset === undefined ? {} : { toOffsets: toOffset }),
    ...(logs === undefined ? {} : { logs }),
    ...(rename === undefined ? {} : { rename }),
  }
}

async function showPlan(session: Session, plan: RestoreForecast): Promise<void> {
  if (session.json)
    await writeDocument(session, {
      plan,
      records: 0,
      elapsedMs: 0,
      verified: false,
      missing: [],
      corrupt: [],
    })
  else {
    await session.terminal.write(`would restore ${forecastText(plan)}\n`)
    noteWriter(session, plan)
  }
}

/** What a lazy restore leaves in the archive is the archive's engine's to change. */
function noteWriter({ terminal, clock }: Session, { isLazy, lastWrite }: RestoreForecast): void {
  if (!isLazy || lastWrite === null) return
  const agoMs = clock.now() - Date.parse(lastWrite.time)
  if (agoMs > WRITTEN_LATELY_MS) return
  terminal.note(
    `the archive was written ${formatDuration(Math.max(0, agoMs))} ago, by process ${lastWrite.pid} on ${lastWrite.host}; if that engine goes on, what it retires or deletes is gone here too while it is not on this machine: --eager copies all of it`,
  )
}

async function showResult(session: Session, result: RestoreResult): Promise<void> {
  if (session.json) {
    await writeDocument(session, result)
    return
  }
  await session.terminal.write(`${resultText(result)}\n`)
  for (const { key, log, partition, from, to } of [...result.missing, ...result.corrupt]) {
    note(session, `not restored: ${log}/${partition}, offsets ${from} to ${to} (${key})`)
  }
}

function resultText(result: RestoreResult): string {
  const { records, elapsedMs, plan, verified, isLazy, limitedBy } = result
  const done = `${formatCount(records)} records in ${formatDuration(elapsedMs)}`
  if (isLazy)
    return `${done}: ${planText(plan)}, still in the archive; what is read is fetched, and an open engine fills the disk`
  const rate = formatBytes((plan.bytes / Math.max(1, elapsedMs)) * 1000)
  const limit = limitedBy === null ? '' : `; most of the time was spent on: ${limitedBy}`
  return `${done} (${rate}/s): ${planText(plan)}; ${verified ? 'every segment verified' : 'NOT whole'}${limit}`
}

function forecastText(forecast: RestoreForecast): string {
  const { archive, manifest, isLazy, bytesPerSecond, expectedMs } = forecast
  const from = `${planText(forecast)}, from ${archive} as of its commit ${formatCount(manifest)}`
  if (bytesPerSecond === null || expectedMs === null) return from
  const rate = `about ${formatDuration(expectedMs)} at ${formatBytes(bytesPerSecond)}/s`
  return isLazy
    ? `${from}; there at once, and on this machine in ${rate} as it is asked for`
    : `${from}; ${rate}`
}

function planText(plan: RestoreSummary): string {
  const { logs, segments, bytes, requests } = plan
  const counts = `${formatCount(logs)} logs, ${formatCount(segments)} segments`
  return `${counts}, ${formatBytes(bytes)}, ${formatCount(requests)} requests`
}

function throwDamage({ missing, corrupt }: RestoreResult): void {
  if (missing.length + corrupt.length === 0) return
  throw new StratalogError(
    'object_corrupt',
    `The archive is not whole: ${missing.length} segments are missing and ${corrupt.length} are damaged. All else was restored.`,
    { details: { missing, corrupt } },
  )
}
