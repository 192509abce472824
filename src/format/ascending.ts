import { BATCH_ROWS_MAX } from './limits.ts'

/** As many as a block has rows at most; made with the first use. */
let shared: Int32Array | null = null

/** 0, 1, 2 … below `length`, which nobody changes. */
export function ascending(length: number): Int32Array {
  if (length > BATCH_ROWS_MAX) return filled(length)
  shared ??= filled(BATCH_ROWS_MAX)
  return shared.subarray(0, length)
}

function filled(length: number): Int32Array {
  const numbers = new Int32Array(length)
  for (let index = 0; index < length; index++) numbers[index] = index
  return numbers
}
