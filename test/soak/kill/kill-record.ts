/** The record that a life of the killed process writes at an offset: every value follows from the three. */
export function killRecord(key: string, offset: number, life: number): Record<string, unknown> {
  return {
    id: offset,
    life,
    key,
    amount: offset / 4 - life,
    note: offset % 7 === 0 ? null : `${key}#${offset}@${life}${'·'.repeat(offset % 40)}`,
    even: offset % 2 === 0,
    at: new Date(1_700_000_000_000 + offset * 1000),
  }
}
