/**
 * The recovery point of a log without a WAL: what was acknowledged in RAM longer ago than the log's `rpoMs` has a
 * lower copy. The engine looks every LOOK_MS and needs a moment for the move; what holds the move up is left out of the
 * count: faults and slow calls, the pause after a move that failed, and a clock that was set back, which makes what the
 * engine holds look younger. An archive that was away when the engine opened, and came back with more than the
 * directory knows, takes nothing before the engine is opened again: the status says so, and nothing is promised.
 */
import { isStratalogError } from '../../src/base/errors.ts'
import type { Stratalog } from '../../src/engine/stratalog.ts'
import type { LogSpec } from './records.ts'

/** How often the engine looks what is due. */
const LOOK_MS = 250
/** For a round that had begun before, and for one that moves the record. */
const MOVES_MS = 1_000
/** Beyond the recovery point, when nothing goes wrong. */
export const MARGIN_MS: number = LOOK_MS + MOVES_MS
/** The pause after a failed move is as long as it has failed so far, and this much, up to a most. */
const PAUSE_MIN_MS = 2_000
const PAUSE_MAX_MS = 60_000

/** What there was in the life of a process, times as of the scheduler. */
export interface LifeSpan {
  readonly startedAt: number
  readonly diedAt: number
  /** When the last call ended that failed or was slow. */
  readonly troubleUntil: number
  /** How far the wall clock was set back. */
  readonly setBackMs: number
}

/** After so long a record that RAM acknowledged is safe; null where nothing is promised, or all is at once. */
export function recoveryPointMs({ storage, ack, hasWal }: LogSpec): number | null {
  const { mode, localDisk, diskAfter, archiveAfter } = storage
  if (mode !== 'hybrid' || hasWal || ack !== 'memory') return null
  const after = localDisk === false ? archiveAfter : diskAfter
  return typeof after === 'number' ? after : null
}

/**
 * How long a move that trouble made fail may not be tried again after it: its own pause, and that of the store, which
 * is not asked meanwhile.
 */
export function pauseMs(startedAt: number, troubleUntil: number): number {
  const troubleMs = Math.max(0, troubleUntil - startedAt)
  return troubleMs === 0 ? 0 : 2 * Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS + troubleMs)
}

/** Whether a crash may not take any more what was acknowledged at a time. */
export function isPastRecoveryPoint(
  rpoMs: number,
  ackedAt: number,
  { startedAt, diedAt, troubleUntil, setBackMs }: LifeSpan,
): boolean {
  const clearFrom = Math.max(ackedAt, troubleUntil + pauseMs(startedAt, troubleUntil))
  return diedAt - clearFrom >= rpoMs + setBackMs + MARGIN_MS
}

/** False of an engine that is closed, which says nothing any more. */
export function isArchiveRefused(db: Stratalog): boolean {
  try {
    return db
      .status()
      .logs.some(({ partitions }) =>
        partitions.some(({ lastError }) => lastError?.includes('was away when the engine opened')),
      )
  } catch (error) {
    if (isStratalogError(error) && error.code === 'engine_closed') return false
    throw error
  }
}
