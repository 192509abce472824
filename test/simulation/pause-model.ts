/**
 * Tier moves that somebody pauses and lets go on. A pause that was acknowledged holds through restarts, until it is
 * taken back; what was answered with an error may be done or not, and the next life says.
 */
import type { EngineStatus } from '../../src/index.ts'
import { Violation } from './violation.ts'

/** Stands for all logs. */
export const ALL = '*'

type PauseState = 'paused' | 'running' | 'unknown'

export class PauseModel {
  /** By name of a log; what is not in it runs. */
  readonly #states = new Map<string, PauseState>()
  /** On the scheduler's clock: until when something was paused, as far as that is over. */
  #wasUntil = 0
  isBusy = false

  /** Until when moves may have been held up. */
  get until(): number {
    const isOver = [...this.#states.values()].every((state) => state === 'running')
    return isOver ? this.#wasUntil : Infinity
  }

  stateOf(name: string): PauseState {
    return this.#states.get(name) ?? 'running'
  }

  set(name: string, state: PauseState, now: number): void {
    if (name === ALL && state === 'running')
      for (const each of this.#states.keys()) this.#states.set(each, 'running')
    this.#states.set(name, state)
    this.#wasUntil = Math.max(this.#wasUntil, now)
  }

  /** It is asked for, and not answered yet. To let all go on is to let each go on. */
  doubt(name: string, isPause: boolean, now: number): void {
    if (name === ALL && !isPause)
      for (const [each, state] of this.#states)
        if (state === 'paused') this.#states.set(each, 'unknown')
    this.set(name, 'unknown', now)
  }

  /** Nobody knows of a log that went, or came back. */
  forget(name: string): void {
    this.#states.set(name, 'unknown')
  }

  /** A new life says what holds. @throws Violation where that is not what was acknowledged. */
  found({ paused, logs }: EngineStatus): void {
    this.#assertFound(ALL, paused !== null)
    for (const log of logs) {
      const isPaused = log.paused !== null
      // Of a log the status says when it is paused with all.
      if (paused !== null) {
        if (!isPaused) throw new Violation('I1', `all is paused, and ${log.name} is not`)
      } else this.#assertFound(log.name, isPaused)
    }
  }

  #assertFound(name: string, isPaused: boolean): void {
    const known = this.stateOf(name)
    const found = isPaused ? 'paused' : 'running'
    if (known !== 'unknown' && known !== found)
      throw new Violation('I1', `tier moves of ${name} are ${found}, and were ${known}`)
    this.#states.set(name, found)
  }
}
