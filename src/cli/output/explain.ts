/** What a question took of each tier, and DuckDB's plan of it with times. */
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import type { ResultColumn } from '../../query/protocol.ts'
import type { QueryJson, QueryStats } from '../../query/query-result.ts'
import type { Session } from '../session.ts'
import type { OutputFormat } from './output-format.ts'
import { renderTable } from './table.ts'

const COLUMNS: readonly ResultColumn[] = [
  { name: 'tier', type: 'VARCHAR' },
  ...['records', 'bytes', 'files', 'files_pruned', 'cache_hits', 'cache_misses', 'requests'].map(
    (name) => ({ name, type: 'BIGINT' }),
  ),
]

/** @param analysis the answer to EXPLAIN ANALYZE. */
export async function explain(
  session: Session,
  analysis: QueryJson,
  format: OutputFormat | 'json',
): Promise<void> {
  const { stats } = analysis
  const rows = tierRows(stats)
  const plan = planOf(analysis)
  if (format === 'json') {
    const document = { columns: COLUMNS, rows, stats, plan }
    await session.terminal.write(`${JSON.stringify(document)}\n`)
    return
  }
  const columns = COLUMNS.map(({ name, type }) => ({
    name: name.replace('_', ' '),
    align: type === 'VARCHAR' ? ('left' as const) : ('right' as const),
  }))
  const cells = rows.map(([tier, ...counts]) => [
    String(tier),
    ...counts.map((count, index) =>
      COLUMNS[index + 1]?.name === 'bytes'
        ? formatBytes(Number(count))
        : formatCount(Number(count)),
    ),
  ])
  const took = `in ${formatDuration(stats.elapsedMs)}`
  await session.terminal.write(`${renderTable(columns, cells)}${took}\n\n${plan}\n`)
}

/** A row for each tier; only what lies in the archive is fetched and cached. */
function tierRows(stats: QueryStats): readonly (readonly (string | number)[])[] {
  const { recordsByTier, bytesByTier, segmentsByTier, cache, requests } = stats
  const { disk, object } = segmentsByTier
  return [
    ['memory', recordsByTier.memory, bytesByTier.memory, 0, 0, 0, 0, 0],
    ['disk', recordsByTier.disk, bytesByTier.disk, disk.scanned, disk.pruned, 0, 0, 0],
    [
      'object',
      recordsByTier.object,
      bytesByTier.object,
      object.scanned,
      object.pruned,
      cache.hits,
      cache.misses,
      requests,
    ],
  ]
}

function planOf({ columns, rows }: QueryJson): string {
  const at = columns.findIndex(({ name }) => name === 'explain_value')
  const texts = rows.map((row) => row[at])
  return texts
    .filter((text) => typeof text === 'string')
    .map((text) => text.trimEnd())
    .join('\n')
}
