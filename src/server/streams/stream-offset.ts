/**
 * Offsets of streams as the protocol has them: opaque text that sorts as the numbers do. The first half is always zero:
 * the protocol's own clients and tests know the beginning of a stream by this form.
 */
import { RequestProblem } from '../http-error.ts'

const DIGITS = 16
const PREFIX = `${'0'.repeat(DIGITS)}_`
const PATTERN = /^0{16}_(\d{16})$/

export function offsetToken(offset: number): string {
  return `${PREFIX}${String(offset).padStart(DIGITS, '0')}`
}

/** @throws RequestProblem `request_invalid` for what no stream gave. */
export function parseOffsetToken(token: string): number {
  const offset = Number(PATTERN.exec(token)?.[1] ?? Number.NaN)
  if (Number.isSafeInteger(offset)) return offset
  throw new RequestProblem('request_invalid', 'The offset is none that this server gave.')
}
