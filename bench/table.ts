/** Results for people: one small table a case. */
import type { BenchmarkResult } from './harness.ts'

const MET: Readonly<Record<BenchmarkResult['met'], string>> = {
  goal: 'goal met',
  floor: 'above the floor, short of the goal',
  short: 'BELOW THE FLOOR',
}

export function formatResult(result: BenchmarkResult): string {
  const rows = [
    ['ours', formatNumber(result.ours), ''],
    ...Object.entries(result.peers).map(([name, peer]) => [
      name,
      formatNumber(peer.value),
      `${formatNumber(peer.ratio)}x`,
    ]),
    [
      `limit: ${result.limit.name}`,
      formatNumber(result.limit.value),
      `${formatNumber(result.limit.ratio * 100)} % reached`,
    ],
  ]
  const width = (column: number): number =>
    Math.max(...rows.map((row) => (row[column] ?? '').length))
  const [first, second] = [width(0), width(1)]
  const lines = rows.map(([name = '', value = '', ratio = '']) =>
    `  ${name.padEnd(first)}  ${value.padStart(second)}  ${ratio}`.trimEnd(),
  )
  const better = result.higherIsBetter ? 'more is better' : 'less is better'
  const missing = result.missing.length === 0 ? [] : [`  missing: ${result.missing.join('; ')}`]
  return [
    `${result.bench} / ${result.case}, ${result.unit} (${better})`,
    ...lines,
    `  ${result.runs} runs, spread ${formatNumber(result.spread * 100)} %; ` +
      `floor ${formatNumber(result.floor)}, goal ${formatNumber(result.goal)}: ${MET[result.met]}`,
    ...missing,
  ].join('\n')
}

function formatNumber(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(3)))
}
