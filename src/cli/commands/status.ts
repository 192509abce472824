/** `status`: what is where. */
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import type {
  ArchiveStatus,
  EngineStatus,
  PartitionStatus,
  RestoreStatus,
} from '../../engine/status.ts'
import type { FlagValues } from '../config-flags.ts'
import { withReader } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { Remote } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'
import { policyText } from './logs.ts'

/** Of a directory, an archive or a server. */
export async function statusOf(session: Session, flags: FlagValues): Promise<EngineStatus> {
  const remote = Remote.of(session, flags)
  if (remote !== null) return await remote.json<EngineStatus>('/v1/status')
  return await withReader(session, flags, async (reading) => reading.status())
}

export async function showStatus(session: Session, flags: FlagValues): Promise<void> {
  const status = await statusOf(session, flags)
  if (session.json) {
    await writeDocument(session, status)
    return
  }
  await session.terminal.write(statusText(status))
}

export function statusText(status: EngineStatus): string {
  const { memory, writer } = status
  const lines = [
    `stratalog ${status.version}, ${status.source}; memory ${formatBytes(memory.usedBytes)} of ${formatBytes(memory.maxBytes)}`,
    writer === null
      ? 'no writer'
      : `written by pid ${writer.pid} on ${writer.host} since ${writer.since}`,
  ]
  if (status.archive !== null) lines.push(archiveText(status.archive))
  if (status.restore !== null) lines.push(restoreText(status.restore))
  for (const log of status.logs) {
    lines.push(
      '',
      `${log.name}: ${policyText(log.policy)}`,
      partitionsTable(log.partitions).trimEnd(),
    )
    if (log.pendingRecords > 0)
      lines.push(
        `${formatCount(log.pendingRecords)} records are on their way to where the policy wants them`,
      )
    for (const { partition, lastError } of log.partitions) {
      if (lastError !== null) lines.push(`partition ${partition}: ${lastError}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function archiveText(archive: ArchiveStatus): string {
  const { url, storedBytes, requests, circuit, estimatedUsdPerMonth } = archive
  const { put, get, head, list } = requests
  const asked = `${formatCount(put)} PUT, ${formatCount(get)} GET, ${formatCount(head)} HEAD, ${formatCount(list)} LIST`
  const cost = `about $${estimatedUsdPerMonth.total.toFixed(2)} a month at S3 list prices`
  const away =
    circuit === null || circuit.state === 'closed'
      ? ''
      : `\nthe archive does not answer: ${circuit.lastError ?? 'not asked again yet'}`
  return `archive ${url}: ${formatBytes(storedBytes)}; ${asked} since it was opened; ${cost}${away}`
}

function restoreText({ onDisk, pending }: RestoreStatus): string {
  const done = `${formatCount(onDisk.segments)} segments (${formatBytes(onDisk.bytes)}) on disk`
  const left = `${formatCount(pending.segments)} (${formatBytes(pending.bytes)}) to fetch`
  return `restored without its bytes: ${done}, ${left}`
}

function partitionsTable(partitions: readonly PartitionStatus[]): string {
  const names = [
    'partition',
    'start',
    'end',
    'memory',
    'disk',
    'object',
    'flush lag',
    'upload lag',
    'gaps',
  ]
  const columns = names.map((name) => ({ name, align: 'right' as const }))
  const rows = partitions.map(({ partition, startOffset, endOffset, tiers, lag, gaps }) => [
    String(partition),
    formatCount(startOffset),
    formatCount(endOffset),
    tierText(tiers.memory),
    tierText(tiers.disk),
    tierText(tiers.object),
    formatDuration(lag.flushMs),
    formatDuration(lag.uploadMs),
    formatCount(gaps.length),
  ])
  return renderTable(columns, rows)
}

function tierText(tier: { readonly records: number; readonly bytes: number }): string {
  return tier.records === 0 ? '-' : `${formatCount(tier.records)} (${formatBytes(tier.bytes)})`
}
