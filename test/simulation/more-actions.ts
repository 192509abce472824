/** What clients do in some worlds only. Each is drawn apart, so that other worlds stay as they were. */
import type { Log } from '../../src/index.ts'
import { deleteLog } from './deletions.ts'
import { detachOrAttach } from './detaching.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { LogModel } from './log-model.ts'
import { askOfSnapshot } from './moments.ts'
import { pauseOrResume } from './pauses.ts'
import { retain } from './retention.ts'

/** What the client does in its way. */
export interface ClientWays {
  readonly append: (log: LogModel, opened: Log) => Promise<void>
  readonly bringDown: (to: 'object') => Promise<void>
  readonly snapshot: () => Promise<void>
}

export class MoreActions {
  readonly #life: Life
  readonly #ways: ClientWays
  readonly #deletions: Dice
  readonly #retentions: Dice
  readonly #departures: Dice
  readonly #pauses: Dice
  readonly #moments: Dice

  constructor(life: Life, dice: Dice, ways: ClientWays) {
    this.#life = life
    this.#ways = ways
    this.#deletions = dice.fork('deletions')
    this.#retentions = dice.fork('retentions')
    this.#departures = dice.fork('departures')
    this.#pauses = dice.fork('pauses')
    this.#moments = dice.fork('moments')
  }

  /** Whether it did one. */
  async act(): Promise<boolean> {
    const life = this.#life
    const { retainsLogs, detachesLogs, pausesMoves, asksOfSnapshots } = life.setting
    if (await this.#deletes()) return true
    if (retainsLogs && this.#retentions.chance(0.06)) {
      await retain(life, this.#retentions, this.#retentions.pick(life.model.logs))
      return true
    }
    if (detachesLogs && this.#departures.chance(0.05)) {
      await detachOrAttach(life, this.#departures, () => this.#ways.bringDown('object'))
      return true
    }
    if (asksOfSnapshots && this.#moments.chance(0.12)) {
      if (life.model.snapshots.length === 0) await this.#ways.snapshot()
      else await askOfSnapshot(life, this.#moments)
      return true
    }
    if (!pausesMoves || !this.#pauses.chance(0.06)) return false
    await pauseOrResume(life, this.#pauses)
    return true
  }

  async #deletes(): Promise<boolean> {
    const { model, process, hasArchive, setting } = this.#life
    const chance = process.focus === 'delete log' ? 0.15 : 0.01
    if (!setting.deletesLogs || !this.#deletions.chance(chance)) return false
    const log = this.#deletions.pick(model.logs)
    if (hasArchive && this.#deletions.chance(0.3)) await this.#ways.snapshot()
    await deleteLog(this.#life, this.#deletions, log, (opened) => this.#ways.append(log, opened))
    return true
  }
}
