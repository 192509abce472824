/** What the producers of the killed process send: all follows from where it goes, the epoch and the sequence. */

/** Where producers send to, as `log/partition`: a log as it was made, and one whose policy changes all the time. */
export const SENDER_KEYS: readonly string[] = ['sent/0', 'changing/0', 'changing/1']
export const CHANGING_LOG = 'changing'

const ROWS_MAX = 24

/** Where a life of the process goes on with one producer. */
export interface SenderStart {
  readonly key: string
  readonly epoch: number
  /** The first that it sends; those just before the first that nobody saw acknowledged come again. */
  readonly sequence: number
}

export function sentRecords(
  key: string,
  epoch: number,
  sequence: number,
): Record<string, unknown>[] {
  const count = 1 + ((sequence * 7 + epoch) % ROWS_MAX)
  return Array.from({ length: count }, (_, index) => ({
    key,
    epoch,
    sequence,
    index,
    count,
    note: sequence % 5 === 0 ? null : `${key}#${sequence}.${index}${'·'.repeat(sequence % 30)}`,
  }))
}
