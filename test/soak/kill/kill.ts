/**
 * A real process is killed again and again on the same directory, while an oracle in this process keeps what it said.
 *
 * Every other kill comes at a random moment, one in four of those while the process starts and so recovers. The others
 * come before a system call that changes the disk: which calls a life makes is traced once, and then each of them, the
 * first `fsync`, the second, and so on, is the last of some life. As every life but the first recovers from a kill, so
 * are the early ones kills of a recovery. Without strace all kills come at random moments.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { present } from '../../../src/base/assert.ts'
import { type Random, seededRandom } from '../../../src/base/random.ts'
import { verifyFiles } from '../../../src/index.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from '../report.ts'
import { timeLimit } from '../time-limit.ts'
import {
  CHANGING_CALLS,
  type LifeEnd,
  type LifeOptions,
  callCounts,
  hasStrace,
  killAt,
  lifeUnderStrace,
  lifeUntil,
} from './life.ts'
import { KillOracle } from './oracle.ts'

const LIVES_PER_CHECK = 5
/** Then a new directory is begun, so that what is read back stays small. */
const LIVES_PER_DIRECTORY = 60
const KILL_WITHIN_MS = 220
/** Of a life that is killed at a call: enough for every step, few enough to be over soon. */
const TRACED_APPENDS = 30

/** A system call, and how often a thread may make it before the process is killed. */
interface KillPoint {
  readonly call: string
  readonly count: number
}

export interface KillReport extends SoakReport {
  /** Kills that came before a system call, of how many different calls there are. */
  readonly callKills: number
  readonly calls: number
  readonly checkedRecords: number
  /** Appends of producers that were answered with where they are already. */
  readonly duplicates: number
  /** Changes of a live log's policy that were done. */
  readonly policyChanges: number
}

export async function killSoak(limits: SoakLimits): Promise<KillReport> {
  return new KillSoak(limits).run()
}

class KillSoak {
  readonly #limits: SoakLimits
  readonly #random: Random
  readonly #counts: SoakCounts
  #points: readonly KillPoint[] = []
  #root = ''
  #oracle = new KillOracle()
  #callKills = 0
  #checkedRecords = 0
  #duplicates = 0
  #policyChanges = 0

  constructor(limits: SoakLimits) {
    this.#limits = limits
    this.#random = seededRandom(limits.seed)
    const rerun = `npm run soak -- kill --cycles ${limits.cycles} --seed ${limits.seed}`
    this.#counts = new SoakCounts('kill', limits.seed, rerun)
  }

  async run(): Promise<KillReport> {
    const { cycles, timeMs, onProgress } = this.#limits
    const isOver = timeLimit(timeMs)
    if (hasStrace()) this.#points = await this.#tracePoints()
    else onProgress('strace is not installed: kills come at random moments only')
    for (let life = 0, isLast = false; life < cycles && !isLast; life++) {
      if (life % LIVES_PER_DIRECTORY === 0) await this.#begin()
      await this.#live(life)
      isLast = life + 1 === cycles || isOver()
      const isDirectoryDone = isLast || (life + 1) % LIVES_PER_DIRECTORY === 0
      if (isDirectoryDone || life % LIVES_PER_CHECK === LIVES_PER_CHECK - 1) await this.#check()
      if (isDirectoryDone) await this.#verify()
      onProgress(`${life + 1} of ${cycles} kills, ${this.#counts.acknowledged} acknowledged`)
    }
    await this.#end()
    return {
      ...this.#counts.report(),
      callKills: this.#callKills,
      calls: this.#points.length,
      checkedRecords: this.#checkedRecords,
      duplicates: this.#duplicates,
      policyChanges: this.#policyChanges,
    }
  }

  async #begin(): Promise<void> {
    await this.#end()
    this.#root = await mkdtemp(join(tmpdir(), 'stratalog-kill-'))
    this.#oracle = new KillOracle()
  }

  async #end(): Promise<void> {
    this.#duplicates += this.#oracle.senders.duplicates
    this.#policyChanges += this.#oracle.senders.policyChanges
    // What broke is kept for a look.
    if (this.#root !== '' && !this.#counts.hasViolations) await rm(this.#root, { recursive: true })
    this.#root = ''
  }

  async #live(life: number): Promise<void> {
    const point = life % 2 === 1 ? this.#points[(life >> 1) % this.#points.length] : undefined
    const options = this.#options(life, point === undefined ? null : TRACED_APPENDS)
    const end =
      point === undefined
        ? await lifeUntil(options, this.#random.uint32() % KILL_WITHIN_MS, life % 8 === 6)
        : await lifeUnderStrace(options, killAt(point.call, point.count))
    this.#counts.tried++
    if (point !== undefined && end.how === 'killed') this.#callKills++
    this.#judge(end, life, point)
    await this.#hear(options)
  }

  #judge({ how, stderr }: LifeEnd, life: number, point: KillPoint | undefined): void {
    if (how === 'killed' || (how === 'ended' && point !== undefined)) return
    const where = point === undefined ? '' : ` at ${point.call} ${point.count}`
    const invariant = how === 'hung' ? 'I12' : 'I13'
    const damage = how === 'hung' ? 'hung' : 'crashed'
    this.#counts.violation(damage, invariant, `life ${life}${where} ${how} by itself: ${stderr}`)
  }

  get #place(): Pick<LifeOptions, 'dataDir' | 'archive'> {
    return { dataDir: `${this.#root}/data`, archive: `file://${this.#root}/archive` }
  }

  #options(life: number, appends: number | null): LifeOptions {
    return {
      ...this.#place,
      life,
      journal: `${this.#root}/life-${life}`,
      appends,
      senders: this.#oracle.senders.starts(life),
    }
  }

  async #hear({ journal, life }: LifeOptions): Promise<void> {
    // Killed before it told anything, it has no journal.
    const lines = await readFile(journal, 'utf8').catch(() => '')
    for (const line of lines.split('\n'))
      if (this.#oracle.hear(line, life, this.#counts)) this.#counts.acknowledged++
  }

  async #check(): Promise<void> {
    await this.#oracle.checkDirectory(this.#place, this.#counts)
    this.#checkedRecords += this.#oracle.checked
  }

  /** What kills leave behind is no damage: not in one file, whether a reader looks at it or not. */
  async #verify(): Promise<void> {
    const { problems } = await verifyFiles({
      dataDir: this.#place.dataDir,
      archive: present(this.#place.archive, 'every directory has an archive'),
    })
    for (const { where, kind, reason } of problems)
      this.#counts.violation('wrong', 'I7', `verify: ${kind}: ${where}: ${reason}`)
  }

  /** The calls of a whole life on a new directory, in an order that the seed shuffles. */
  async #tracePoints(): Promise<readonly KillPoint[]> {
    await this.#begin()
    const file = `${this.#root}/calls`
    const trace = ['-o', file, '-e', `trace=${CHANGING_CALLS.join()}`]
    const end = await lifeUnderStrace(this.#options(0, TRACED_APPENDS), trace)
    if (end.how !== 'ended') throw new Error(`A life that nobody kills ${end.how}: ${end.stderr}`)
    const counts = await callCounts(file)
    const points = [...counts].flatMap(([call, most]) =>
      Array.from({ length: most }, (_, index) => ({ call, count: index + 1 })),
    )
    return points
      .map((point) => ({ point, place: this.#random.uint32() }))
      .sort((a, b) => a.place - b.place)
      .map(({ point }) => point)
  }
}
