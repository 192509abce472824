/** Which of the snapshots that the engine made by itself are too many or too old. Pure. */
import type { Snapshot } from '../format/manifest.ts'

/** What the names of snapshots begin with that the engine makes by itself; no other may. */
export const AUTOMATIC_PREFIX = 'auto-'

export interface SnapshotRetention {
  /** How many are kept; null: however many. */
  readonly keep: number | null
  /** How old one gets, ms; null: however old. */
  readonly maxAge: number | null
}

export function isAutomatic({ name }: Snapshot): boolean {
  return name.startsWith(AUTOMATIC_PREFIX)
}

/**
 * In the order in which they were made, which no clock decides. The newest stays however old it is, and so does every
 * snapshot that was given a name.
 * @param snapshots in that order, as a state of the manifest has them.
 * @param now engine clock, ms.
 */
export function dueSnapshots(
  snapshots: Iterable<Snapshot>,
  { keep, maxAge }: SnapshotRetention,
  now: number,
): readonly Snapshot[] {
  const own = [...snapshots].filter(isAutomatic)
  const tooMany = keep === null ? 0 : own.length - keep
  return own
    .slice(0, -1)
    .filter(({ time }, index) => index < tooMany || (maxAge !== null && now - time > maxAge))
}
