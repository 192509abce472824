import type { ColumnData } from './column.ts'

/** Bytes of every buffer that the columns keep alive, each once. */
export function foreignBytes(columns: readonly ColumnData[]): number {
  const buffers = new Set<ArrayBufferLike>()
  for (const column of columns) addBuffers(column, buffers)
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.byteLength
  return bytes
}

function addBuffers(column: ColumnData, buffers: Set<ArrayBufferLike>): void {
  buffers.add(column.values.buffer)
  if (column.validity !== null) buffers.add(column.validity.buffer)
  if (column.offsets !== null) buffers.add(column.offsets.buffer)
  if (column.dictionary !== null) addBuffers(column.dictionary, buffers)
  for (const child of column.children ?? []) addBuffers(child, buffers)
}
