/** The report of a drill as one HTML file that loads nothing. */
import { formatBytes, formatCount } from '../base/units.ts'
import { type DrillReport, damagedObjects, measures } from './drill-report.ts'
import { timelineSvg } from './drill-timeline.ts'

const STYLE =
  'body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111827;background:#fff}' +
  'table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #d1d5db;padding:.3rem .6rem;text-align:left;overflow-wrap:anywhere}' +
  '.PASS{color:#15803d}.FAIL{color:#b91c1c}' +
  '@media(prefers-color-scheme:dark){body{color:#e5e7eb;background:#111827}.PASS{color:#4ade80}.FAIL{color:#f87171}}'

/** @param title What was rehearsed. */
export function drillHtml(report: DrillReport, title: string): string {
  const { verdict, reasons, logs, checks } = report
  const damaged = damagedObjects(report)
  const sections = [
    `<h1>Restore drill: <span class="${verdict}">${verdict}</span></h1><p>${escaped(title)}</p>`,
    table(['Measure', 'Value'], measures(report)),
    `<h2>Timeline</h2>${timelineSvg(report.timeline)}`,
    reasons.length === 0
      ? ''
      : `<h2>Why it failed</h2><ul>${reasons.map((reason) => `<li>${escaped(reason)}</li>`).join('')}</ul>`,
    `<h2>Logs</h2>${table(
      ['Log', 'Records', 'Stored bytes', 'Gaps', 'Content hash'],
      logs.map((log) => [
        log.name,
        formatCount(log.records),
        formatBytes(log.bytes),
        String(log.gaps.length),
        log.hash,
      ]),
    )}`,
    damaged.length === 0
      ? ''
      : `<h2>Damaged objects</h2>${table(['Object', 'Log', 'Partition', 'Offsets', 'What'], damaged)}`,
    checks.length === 0
      ? ''
      : `<h2>Checks</h2>${table(
          ['Query', 'Expected', 'Got', ''],
          checks.map((check) => [
            check.sql,
            JSON.stringify(check.expected),
            check.error ?? JSON.stringify(check.actual),
            check.passed ? 'ok' : 'FAILED',
          ]),
        )}`,
  ]
  const head = `<meta charset="utf-8"><title>Restore drill: ${verdict}</title><style>${STYLE}</style>`
  const body = sections.filter((section) => section !== '').join('\n')
  return `<!doctype html>\n<html lang="en">${head}\n${body}\n</html>\n`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, values: readonly string[]): string =>
    `<tr>${values.map((value) => `<${tag}>${escaped(value)}</${tag}>`).join('')}</tr>`
  return `<table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table>`
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
