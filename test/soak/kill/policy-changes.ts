/** Changes the policy of a log again and again while the killed process appends to it. */
import type { Random } from '../../../src/base/random.ts'
import type { Stratalog } from '../../../src/index.ts'
import { CHANGING_LOG } from './sent-record.ts'

/** A change begins in one of so many turns. */
const TURNS_PER_CHANGE = 6

type StorageChanges = Parameters<Stratalog['alterLog']>[1]['storage']

export class PolicyChanges {
  readonly #db: Stratalog
  readonly #tell: (line: string) => void
  readonly #random: Random
  readonly #policies: readonly StorageChanges[]
  #underWay: Promise<void> | null = null

  constructor(db: Stratalog, hasArchive: boolean, tell: (line: string) => void, random: Random) {
    this.#db = db
    this.#tell = tell
    this.#random = random
    const toDisk = { memoryTtl: 60, diskAfter: 30 }
    const toArchive = hasArchive ? { archiveAfter: 90, diskTtl: 150 } : {}
    this.#policies = [
      { mode: 'memory' },
      { mode: 'persistent', ...toDisk },
      { mode: 'hybrid', ...toDisk, ...toArchive, wal: true },
      { mode: 'hybrid', ...toDisk, ...toArchive, wal: false },
    ]
  }

  /** Begins one, or not; it goes on beside the appends. */
  turn(): void {
    if (this.#underWay !== null || this.#random.uint32() % TURNS_PER_CHANGE !== 0) return
    this.#underWay = this.#change().finally(() => {
      this.#underWay = null
    })
  }

  async settled(): Promise<void> {
    await this.#underWay
  }

  async #change(): Promise<void> {
    const storage = this.#policies[this.#random.uint32() % this.#policies.length] ?? {}
    await this.#db.alterLog(CHANGING_LOG, { storage })
    this.#tell('altered')
  }
}
