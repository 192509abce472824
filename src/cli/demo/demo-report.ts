/** What a demo found: for programs as JSON, for people as a summary. */
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { renderTable } from '../output/table.ts'
import type { Terminal } from '../terminal.ts'
import type { TierFacts } from './protocol.ts'

export interface QueryReport {
  readonly sql: string
  readonly elapsedMs: number
  readonly recordsByTier: {
    readonly memory: number
    readonly disk: number
    readonly object: number
  }
  /** Whether the answer is what the source rows say. */
  readonly isRight: boolean
}

export interface DemoReport {
  readonly records: number
  readonly source: 'vega-datasets' | 'generated'
  readonly archive: string
  /** Copies by tier, when the questions were asked. */
  readonly tiers: TierFacts
  readonly queries: readonly QueryReport[]
  readonly recovery: {
    readonly acknowledged: number
    readonly lost: number
    readonly elapsedMs: number
    readonly hashEqual: boolean
  }
  readonly restore: {
    readonly records: number
    readonly elapsedMs: number
    readonly hashEqual: boolean
  }
  readonly hash: string
  /** Bytes of the values over bytes in the archive. */
  readonly compression: number
  readonly requests: number
  readonly verdict: 'PASS' | 'FAIL'
  readonly reasons: readonly string[]
  readonly elapsedMs: number
}

/** What the summary shows beside the report. */
export interface DemoTimes {
  readonly appended: { readonly records: number; readonly elapsedMs: number }
  readonly archived: { readonly records: number; readonly elapsedMs: number }
  readonly recovered: number
  readonly verified: { readonly records: number; readonly elapsedMs: number }
}

export function demoSummary(report: DemoReport, times: DemoTimes, terminal: Terminal): string {
  const style = (format: 'green' | 'red' | 'dim', text: string): string =>
    terminal.style(format, text, 'output')
  const verdict = report.verdict === 'PASS' ? style('green', 'PASS') : style('red', 'FAIL')
  const parts = [
    stepsTable(report, times),
    tiersTable(report.tiers),
    ...report.queries.map((query) => queryText(query, style)),
    `\ncontent hash ${report.hash}\n`,
    ...report.reasons.map((reason) => `${style('red', 'not ok')}: ${reason}\n`),
    `verdict ${verdict}: ${verdictText(report)}, in ${formatDuration(report.elapsedMs)}\n`,
  ]
  return parts.join('')
}

function verdictText({ verdict, records }: DemoReport): string {
  if (verdict === 'FAIL') return 'the restored records are not proved equal'
  return `${formatCount(records)} records restored from the archive alone, equal to the source by count and content hash`
}

function stepsTable(report: DemoReport, times: DemoTimes): string {
  const { recovery, restore } = report
  const row = (step: string, records: number, elapsedMs: number, result: string): string[] => [
    step,
    formatCount(records),
    formatDuration(elapsedMs),
    `${formatCount((records / Math.max(1, elapsedMs)) * 1000)}/s`,
    result,
  ]
  return renderTable(
    [
      { name: 'step' },
      { name: 'records', align: 'right' },
      { name: 'time', align: 'right' },
      { name: 'rate', align: 'right' },
      { name: 'result' },
    ],
    [
      row(
        'append',
        times.appended.records,
        times.appended.elapsedMs,
        'acknowledged on disk (fsync)',
      ),
      row(
        'recover after kill -9',
        times.recovered,
        recovery.elapsedMs,
        `${formatCount(recovery.lost)} of ${formatCount(recovery.acknowledged)} acknowledged lost`,
      ),
      row(
        'archive',
        times.archived.records,
        times.archived.elapsedMs,
        `compressed ${report.compression}×, ${formatCount(report.requests)} requests`,
      ),
      row('restore', restore.records, restore.elapsedMs, 'from the archive alone'),
      row(
        'verify',
        times.verified.records,
        times.verified.elapsedMs,
        restore.hashEqual ? 'content hash equal' : 'content hash DIFFERENT',
      ),
    ],
  )
}

function tiersTable(tiers: TierFacts): string {
  const rows = (['memory', 'disk', 'object'] as const).map((tier) => {
    const { records, bytes } = tiers[tier]
    return [
      tier,
      formatCount(records),
      formatBytes(bytes),
      records === 0 ? '-' : `${(bytes / records).toFixed(1)} B`,
    ]
  })
  const columns = [
    { name: 'tier' },
    { name: 'copies', align: 'right' as const },
    { name: 'bytes', align: 'right' as const },
    { name: 'a record', align: 'right' as const },
  ]
  return `\n${renderTable(columns, rows)}`
}

function queryText(
  query: QueryReport,
  style: (format: 'green' | 'red' | 'dim', text: string) => string,
): string {
  const tiers = (['memory', 'disk', 'object'] as const)
    .filter((tier) => query.recordsByTier[tier] > 0)
    .map((tier) => `${formatCount(query.recordsByTier[tier])} from ${tier}`)
  const answer = query.isRight ? style('green', 'right') : style('red', 'WRONG')
  return `\n${style('dim', query.sql)}\n  ${answer} in ${formatDuration(query.elapsedMs)}: ${tiers.join(', ')}\n`
}
