/** Logs whose records are numbers, `{ n }`, each its own offset where nothing else was appended. */
import type { Log } from '../../src/index.ts'

export const UP_TO = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, n) => from + n)

export async function append(log: Log, from: number, count: number): Promise<void> {
  await log.append(UP_TO(count, from).map((n) => ({ n })))
}

export async function numbers(log: Log): Promise<number[]> {
  return (await log.read().toArray()).map(({ n }) => Number(n))
}
