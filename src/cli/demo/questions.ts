/** The three questions of the demo, and whether an answer is what the source rows say. */
import type { QueryAnswer } from './protocol.ts'
import type { Truth } from './oracle.ts'

export interface Question {
  readonly text: string
  readonly sql: string
  readonly isRight: (answer: QueryAnswer, truth: Truth) => boolean
}

export const QUESTIONS: readonly Question[] = [
  {
    text: 'How many flights, and how late on average?',
    sql: 'SELECT count(*) AS flights, sum(delay) AS minutes_late, max(distance) AS farthest FROM flights',
    isRight: ({ rows }, truth) =>
      isDeepEqual(rows, [[truth.records, truth.delaySum, truth.distanceMax]]),
  },
  {
    text: 'From where do most flights leave?',
    sql: 'SELECT origin, count(*) AS departures FROM flights GROUP BY origin ORDER BY departures DESC, origin LIMIT 5',
    isRight: ({ rows }, truth) => isDeepEqual(rows, busiest(truth, 5)),
  },
  {
    text: 'In which month are flights over an hour late?',
    sql: 'SELECT month(date) AS month, count(*) AS flights, count(*) FILTER (delay > 60) AS late FROM flights GROUP BY 1 ORDER BY 1',
    isRight: ({ rows }, truth) => isDeepEqual(rows, byMonth(truth)),
  },
]

function busiest(truth: Truth, count: number): ReadonlyArray<readonly unknown[]> {
  const airports = [...truth.departures].toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  return airports.slice(0, count).map(([airport, departures]) => [airport, departures])
}

function byMonth(truth: Truth): ReadonlyArray<readonly unknown[]> {
  const months = [...truth.months].toSorted(([a], [b]) => a - b)
  return months.map(([month, { flights, late }]) => [month, flights, late])
}

/** Whole numbers come as numbers, or as text beyond 2^53; both are compared as text. */
function isDeepEqual(
  given: ReadonlyArray<readonly unknown[]>,
  expected: ReadonlyArray<readonly unknown[]>,
): boolean {
  const asText = (rows: ReadonlyArray<readonly unknown[]>): string =>
    JSON.stringify(rows.map((row) => row.map(String)))
  return asText(given) === asText(expected)
}
