/** The records of an append of the killed producer: all of them follow from its sequence. */
export function producerRows(sequence: number): Record<string, unknown>[] {
  const count = 1 + ((sequence * 7) % 5)
  return Array.from({ length: count }, (_, n) => ({ sequence, n, text: `${sequence}/${n}` }))
}
