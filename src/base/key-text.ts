/** Keys of records: their text, and the partition that it leads to. */

/** A key as text: what decides its partition and names it in the latest view. */
export function keyText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (typeof value === 'symbol' || typeof value === 'function') return null
  return typeof value === 'object'
    ? JSON.stringify(value)
    : `${value as number | bigint | boolean | string}`
}

const encoder = new TextEncoder()

/** The partition of a key: FNV-1a over its UTF-8 text, modulo the number of partitions. */
export function partitionOfKey(key: string, partitions: number): number {
  let hash = 0x811c9dc5
  for (const byte of encoder.encode(key)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % partitions
}
