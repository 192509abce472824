/** Results for people: one small table a case. */
import type { BenchmarkResult } from './harness.ts'

const MET: Readonly<Record<BenchmarkResult['met'], string>> = {
  goal: 'goal met',
  floor: 'above the floor, short of the goal',
  short: 'BELOW THE FLOOR',
}

export function formatResult(result: BenchmarkResult): string {
  const rows = [
    ['ours', formatNumber(result.ours), '', ''],
    ...Object.entries(result.peers).map(([name, peer]) => [
      name,
      formatNumber(peer.value),
      `${formatNumber(peer.ratio)}x`,
      targetText(result, name),
    ]),
    [
      `limit: ${result.limit.name}`,
      formatNumber(result.limit.value),
      `${formatNumber(result.limit.ratio)} reached`,
      targetText(result, result.limit.name),
    ],
  ]
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const [first = 0, second = 0, third = 0] = widths
  const lines = rows.map(([name = '', value = '', ratio = '', target = '']) =>
    `  ${name.padEnd(first)}  ${value.padStart(second)}  ${ratio.padEnd(third)}  ${target}`.trimEnd(),
  )
  const better = result.higherIsBetter ? 'more is better' : 'less is better'
  const missing = result.missing.length === 0 ? [] : [`  missing: ${result.missing.join('; ')}`]
  return [
    `${result.bench} / ${result.case}, ${result.unit} (${better})`,
    ...lines,
    `  ${result.runs} runs, spread ${formatNumber(result.spread * 100)} %: ${verdict(result)}`,
    ...missing,
  ].join('\n')
}

function verdict({ met, floor }: BenchmarkResult): string {
  return Object.keys(floor).length === 0 ? 'no target' : MET[met]
}

function targetText(result: BenchmarkResult, name: string): string {
  const [floor, goal] = [result.floor[name], result.goal[name]]
  return floor === undefined || goal === undefined
    ? ''
    : `floor ${formatNumber(floor)}, goal ${formatNumber(goal)}`
}

function formatNumber(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(3)))
}
