/** `restore`: a data directory from an archive alone. */
import { StratalogError } from '../../base/errors.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { planRestoreArchive, restoreArchive } from '../../engine/archive-operations.ts'
import type { RestoreArchiveOptions } from '../../engine/restore-archive.ts'
import type { RestoreSummary } from '../../snapshot/plan-restore.ts'
import type { RestoreResult } from '../../snapshot/restore.ts'
import type { OffsetTarget } from '../arguments.ts'
import type { FlagValues } from '../config-flags.ts'
import { readConfiguration } from '../read-configuration.ts'
import { Progress } from '../progress.ts'
import { type Session, note, writeDocument } from '../session.ts'

export interface RestoreFlags extends FlagValues {
  readonly snapshot?: string
  readonly at?: number
  readonly toOffset?: readonly OffsetTarget[]
  readonly logs?: readonly string[]
  readonly rename?: Readonly<Record<string, string>>
  readonly plan?: true
}

/** @throws StratalogError `object_corrupt` when part of the plan was missing or damaged, after the report. */
export async function restore(session: Session, flags: RestoreFlags): Promise<void> {
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
    onProgress: ({ bytes, bytesTotal, records }) =>
      progress.update({ done: bytes, total: bytesTotal, records, unit: 'bytes' }),
  }).finally(() => progress.end())
  await showResult(session, result)
  throwDamage(result)
}

function selectionOf(flags: RestoreFlags): Partial<RestoreArchiveOptions> {
  const { snapshot, at, toOffset, logs, rename } = flags
  return {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(at === undefined ? {} : { at }),
    ...(toOffset === undefined ? {} : { toOffsets: toOffset }),
    ...(logs === undefined ? {} : { logs }),
    ...(rename === undefined ? {} : { rename }),
  }
}

async function showPlan(session: Session, plan: RestoreSummary): Promise<void> {
  if (session.json)
    await writeDocument(session, {
      plan,
      records: 0,
      elapsedMs: 0,
      verified: false,
      missing: [],
      corrupt: [],
    })
  else await session.terminal.write(`would restore ${planText(plan)}\n`)
}

async function showResult(session: Session, result: RestoreResult): Promise<void> {
  if (session.json) {
    await writeDocument(session, result)
    return
  }
  const { records, elapsedMs, plan } = result
  const rate = formatBytes((plan.bytes / Math.max(1, elapsedMs)) * 1000)
  const verified = result.verified ? 'every segment verified' : 'NOT whole'
  await session.terminal.write(
    `${formatCount(records)} records in ${formatDuration(elapsedMs)} (${rate}/s): ${planText(plan)}; ${verified}\n`,
  )
  for (const { key, log, partition, from, to } of [...result.missing, ...result.corrupt]) {
    note(session, `not restored: ${log}/${partition}, offsets ${from} to ${to} (${key})`)
  }
}

function planText(plan: RestoreSummary): string {
  const { logs, segments, bytes, requests } = plan
  const counts = `${formatCount(logs)} logs, ${formatCount(segments)} segments`
  return `${counts}, ${formatBytes(bytes)}, ${formatCount(requests)} requests`
}

function throwDamage({ verified, missing, corrupt }: RestoreResult): void {
  if (verified) return
  throw new StratalogError(
    'object_corrupt',
    `The archive is not whole: ${missing.length} segments are missing and ${corrupt.length} are damaged. All else was restored.`,
    { details: { missing, corrupt } },
  )
}
