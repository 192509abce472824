/** What a drill found. Field by field what `drill --json` prints: the replay's report and the verdict. */
import { formatBytes, formatCount, formatDuration } from '../base/units.ts'
import { type DrillStep, timelineSvg } from './drill-timeline.ts'
import type { ReplayReport } from './report.ts'

export interface DrillCheck {
  readonly sql: string
  readonly expected: unknown
  /** Null when the query failed. */
  readonly actual: unknown
  readonly passed: boolean
  readonly error: string | null
}

export interface DrillReport extends ReplayReport {
  readonly verdict: 'PASS' | 'FAIL'
  /** Every problem, in words that name the object or the log and the offsets. Empty on PASS. */
  readonly reasons: readonly string[]
  /** Part of the records that came back: of the live engine's when there is one, else of those the manifest names. */
  readonly coverage: number
  /** From the start to an engine that answers. */
  readonly rtoMs: number
  /** How far the archive's newest record is behind the live engine's; null without one that writes it. */
  readonly rpoMs: number | null
  /** Records of the live engine that are not in the archive; null without one that writes it. */
  readonly rpoRecords: number | null
  /** Stored bytes restored per second. */
  readonly bytesPerSecond: number
  /** Whether all that both hold is equal, by content hash; null without a live engine, and where they share nothing. */
  readonly hashEqual: boolean | null
  /** Whether the latest views of logs with a key are, over what both hold; null without a live engine or such a log. */
  readonly latestEqual: boolean | null
  readonly checks: readonly DrillCheck[]
  /** What was done when, in order. */
  readonly timeline: readonly DrillStep[]
}

/** The report as Markdown for people. */
export function drillMarkdown(report: DrillReport, title: string): string {
  const { verdict, reasons, logs, checks } = report
  const damaged = damagedObjects(report)
  const sections = [
    `# Restore drill: ${verdict}`,
    title,
    table(['Measure', 'Value'], measures(report)),
    '## Timeline',
    timelineSvg(report.timeline),
    reasons.length === 0
      ? ''
      : `## Why it failed\n\n${reasons.map((reason) => `- ${escaped(reason)}`).join('\n')}`,
    '## Logs',
    table(
      ['Log', 'Records', 'Stored bytes', 'Gaps', 'Content hash'],
      logs.map((log) => [
        log.name,
        formatCount(log.records),
        formatBytes(log.bytes),
        String(log.gaps.length),
        `\`${log.hash}\``,
      ]),
    ),
    damaged.length === 0 ? '' : '## Damaged objects',
    damaged.length === 0
      ? ''
      : table(
          ['Object', 'Log', 'Partition', 'Offsets', 'What'],
          damaged.map(([key = '', ...rest]) => [`\`${key}\``, ...rest]),
        ),
    checks.length === 0 ? '' : '## Checks',
    checks.length === 0
      ? ''
      : table(
          ['Query', 'Expected', 'Got', ''],
          checks.map((check) => [
            `\`${check.sql}\``,
            JSON.stringify(check.expected),
            check.error ?? JSON.stringify(check.actual),
            check.passed ? 'ok' : 'FAILED',
          ]),
        ),
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

/** By object: its key, log, partition, offsets, and what is wrong. */
export function damagedObjects({
  missing,
  corrupt,
}: Pick<DrillReport, 'missing' | 'corrupt'>): readonly (readonly string[])[] {
  const objects = [...missing.map((object) => ({ ...object, kind: 'missing' })), ...corrupt]
  return objects.map(({ key, log, partition, from, to, kind }) => [
    key,
    log,
    String(partition),
    `${from} to ${to}`,
    kind,
  ])
}

/** What was measured, with its name. */
export function measures(report: DrillReport): readonly (readonly string[])[] {
  const { rpoMs, rpoRecords, hashEqual, latestEqual } = report
  return [
    ['Records restored', formatCount(report.records)],
    ['Coverage', `${(report.coverage * 100).toFixed(report.coverage === 1 ? 0 : 3)} %`],
    ['Recovery time (RTO)', formatDuration(report.rtoMs)],
    [
      'Recovery point (RPO)',
      rpoMs === null
        ? 'not measured: no live engine'
        : `${formatDuration(rpoMs)}, ${formatCount(rpoRecords ?? 0)} records`,
    ],
    ['Throughput', `${formatBytes(report.bytesPerSecond)}/s`],
    ['Equal to the live engine', equalWord(hashEqual)],
    ['Latest views equal', equalWord(latestEqual)],
  ]
}

function equalWord(isEqual: boolean | null): string {
  return isEqual === null ? 'not compared' : isEqual ? 'yes' : 'no'
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
