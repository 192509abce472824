/**
 * Logs that keep only what is new. Which prefix of a partition may be gone follows from what was asked for, however
 * the engine came to it: what is old enough by its own time, or what lies before as many stored bytes as are kept.
 */
import type { LogModel, Submission } from './log-model.ts'

export interface WallTimes {
  now(): number
  /** The latest that the wall clock has ever said. */
  readonly latestMs: number
  readonly setBackMs: number
}

/** What an append takes at most as a segment of its own, and each of its records. */
const SEGMENT_BYTES_MAX = 8_192
const RECORD_BYTES_MAX = 200

/** Whether a retention may have taken an append, where readers begin at `start`. */
export function mayBeRetired(
  log: LogModel,
  { place, count, time, submittedAt }: Submission,
  start: number,
  wall: WallTimes,
): boolean {
  const { kept } = log
  if (kept === null || place === null || place.offset + count > start) return false
  // The newest segment stays, however old and big it is.
  if (isNewestOf(log, place.partition, place.offset) && !log.isGappy) return false
  const earliest = time ?? submittedAt.wall - (wall.setBackMs - submittedAt.setBackMs)
  if (earliest + kept.ms <= wall.latestMs) return true
  return bytesFrom(log, place.partition, place.offset) > kept.bytes
}

/** Whether nothing can lie behind it: of what nobody answered for it is not known where it is. */
function isNewestOf(log: LogModel, partition: number, offset: number): boolean {
  for (const { place, fate } of log.byId.values()) {
    if (place === null && fate === 'unknown') return false
    if (place?.partition === partition && place.offset > offset) return false
  }
  return true
}

/** What lies in the partition from an offset on takes as many bytes at most. */
function bytesFrom(log: LogModel, partition: number, from: number): number {
  let bytes = 0
  for (const { place, count, padding } of log.byId.values()) {
    const isBehind =
      place === null || (place.partition === partition && place.offset + count > from)
    if (isBehind) bytes += SEGMENT_BYTES_MAX + count * (RECORD_BYTES_MAX + padding)
  }
  return bytes
}
