/**
 * One line on standard error that is written over while work goes on: how far, how fast, how long still. Nothing is
 * written in a pipe, nor with `--json`. Drawn when it is told of progress, at most ten times a second, without a timer.
 */
import { formatBytes, formatCount, formatDuration } from '../base/units.ts'
import type { Session } from './session.ts'

export interface ProgressState {
  /** Work done and work in all, in one unit; `total` is null when it is not known. */
  readonly done: number
  readonly total: number | null
  readonly records?: number
  /** What `done` counts, for people. */
  readonly unit?: 'bytes' | 'records'
}

const REDRAW_MS = 100
const BAR_CELLS = 24

export class Progress {
  readonly #session: Session
  readonly #label: string
  readonly #startedAt: number
  readonly #isShown: boolean
  #drawnAt = -Infinity
  #isDrawn = false

  constructor(session: Session, label: string) {
    this.#session = session
    this.#label = label
    this.#startedAt = session.clock.monotonic()
    this.#isShown = session.terminal.notesAreSeen && !session.json
  }

  update(state: ProgressState): void {
    if (!this.#isShown) return
    const now = this.#session.clock.monotonic()
    if (now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const line = progressLine(this.#label, state, now - this.#startedAt)
    this.#session.terminal.noteRaw(`\r\u001B[2K${cutTo(line, this.#session.terminal.width - 1)}`)
    this.#isDrawn = true
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isDrawn) this.#session.terminal.noteRaw('\r\u001B[2K')
    this.#isDrawn = false
  }
}

/** `label ████░░░░ 50 %  1,000 records  2,000/s  0.5 s left`, as far as the parts are known. */
export function progressLine(label: string, state: ProgressState, elapsedMs: number): string {
  const { done, total, records, unit } = state
  const parts = [label]
  if (total !== null && total > 0) {
    const part = Math.min(1, done / total)
    const full = Math.round(part * BAR_CELLS)
    parts.push(`${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)} ${Math.floor(part * 100)} %`)
  } else if (unit === 'bytes') {
    parts.push(formatBytes(done))
  }
  const count = records ?? (unit === 'records' ? done : undefined)
  if (count !== undefined) {
    parts.push(`${formatCount(count)} records`)
    if (elapsedMs > 0) parts.push(`${formatCount((count / elapsedMs) * 1000)}/s`)
  }
  const leftMs = timeLeft(done, total, elapsedMs)
  if (leftMs !== null) parts.push(`${formatDuration(leftMs)} left`)
  return parts.join('  ')
}

/** Too early to tell before a hundredth is done. */
function timeLeft(done: number, total: number | null, elapsedMs: number): number | null {
  if (total === null || done <= 0 || done < total / 100 || done >= total) return null
  return (elapsedMs / done) * (total - done)
}

function cutTo(line: string, width: number): string {
  return line.length <= width ? line : line.slice(0, Math.max(0, width))
}
