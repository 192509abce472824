/**
 * Two processes and one directory: what a writer that is stopped, superseded and let go on may still do. Every other
 * round is without `flock`, where a lease of some seconds has to end; with it the lock file is taken away, as somebody
 * does who means to clean up.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, execPath } from 'node:process'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { systemClock } from '../../src/base/clock.ts'
import { isStratalogError } from '../../src/base/errors.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { Stratalog } from '../../src/index.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

const CHILD = fileURLToPath(new URL('../support/writer-child.ts', import.meta.url))
const HANGS_AFTER_MS = 60_000
const LOOK_EACH_MS = 10
/** The exit status of a writer whose append was refused. */
const REFUSED = 9

export async function writersSoak(limits: SoakLimits): Promise<SoakReport> {
  const { seed, cycles, timeMs, onProgress } = limits
  const rerun = `npm run soak -- writers --cycles ${cycles} --seed ${seed}`
  const counts = new SoakCounts('writers', seed, rerun)
  const random = seededRandom(seed)
  const isOver = timeLimit(timeMs)
  for (let cycle = 0; cycle < cycles && !isOver(); cycle++) {
    const root = await mkdtemp(join(tmpdir(), 'stratalog-writers-'))
    const round = new Round(root, cycle % 2 === 0, random, counts)
    try {
      await round.run()
    } catch (error) {
      counts.violation('hung', 'I12', String(error))
    } finally {
      round.end()
    }
    counts.tried++
    // What broke is kept for a look.
    if (!counts.hasViolations) await rm(root, { recursive: true })
    onProgress(`${cycle + 1} of ${cycles} rounds, ${counts.acknowledged} acknowledged`)
  }
  return counts.report()
}

/** A process that writes, and what it told. */
class Writing {
  readonly name: string
  readonly child: ChildProcess
  readonly #journal: string
  output = ''

  /** Without a PATH there is no `flock`, as where a system or a file system has none. */
  constructor(root: string, name: string, hasFlock: boolean) {
    this.name = name
    this.#journal = `${root}/journal-${name}`
    this.child = spawn(execPath, [CHILD, `${root}/data`, this.#journal, name], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: hasFlock ? env : { ...env, PATH: '' },
    })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.output += chunk.toString()
    })
  }

  told(): readonly string[] {
    try {
      return readFileSync(this.#journal, 'utf8').trim().split('\n')
    } catch {
      return []
    }
  }

  acknowledged(): number[] {
    return this.told().flatMap((line) => {
      const [code, log, n] = line.split(' ')
      return code === 'ack' && log === 'orders' ? [Number(n)] : []
    })
  }

  async untilTold(count: number): Promise<void> {
    await until(`${this.name} appends`, () => this.told().length > count)
  }

  async kill(): Promise<void> {
    const exit = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exit
  }
}

class Round {
  readonly #root: string
  readonly #dataDir: string
  readonly #hasFlock: boolean
  readonly #random: Random
  readonly #counts: SoakCounts
  readonly #writings: Writing[] = []

  constructor(root: string, hasFlock: boolean, random: Random, counts: SoakCounts) {
    this.#root = root
    this.#dataDir = `${root}/data`
    this.#hasFlock = hasFlock
    this.#random = random
    this.#counts = counts
  }

  async run(): Promise<void> {
    const first = this.#start('first')
    await first.untilTold(this.#few())
    if (this.#hasFlock) await this.#stopAndGoOn(first)
    first.child.kill('SIGSTOP')
    const before = first.told().length
    await this.#expectRefused(first)
    if (this.#hasFlock) rmSync(`${this.#dataDir}/lock`)
    const second = await this.#succeed()
    await second.untilTold(this.#few())
    const lock = this.#lock()
    const exit = once(first.child, 'exit')
    first.child.kill('SIGCONT')
    await this.#checkEnd(first, before, exit)
    if (this.#lock() !== lock) this.#violation('wrong', 'the lock of the successor was changed')
    await second.untilTold(second.told().length + this.#few())
    await second.kill()
    rmSync(`${this.#dataDir}/lock.lock`, { recursive: true, force: true })
    await using db = await Stratalog.open({ dataDir: this.#dataDir, logLevel: 'silent' })
    for (const writing of [first, second]) {
      await this.#checkRecords(db, writing, writing.acknowledged())
      this.#counts.acknowledged += writing.acknowledged().length
    }
  }

  end(): void {
    for (const { child } of this.#writings) child.kill('SIGKILL')
  }

  #start(name: string): Writing {
    const writing = new Writing(this.#root, name, this.#hasFlock)
    this.#writings.push(writing)
    return writing
  }

  /** Of appends: enough for more than one sync. */
  #few(): number {
    return 10 + (this.#random.uint32() % 40)
  }

  /** A stopped process that nobody superseded keeps others out, can be read beside, and goes on. */
  async #stopAndGoOn(first: Writing): Promise<void> {
    first.child.kill('SIGSTOP')
    await this.#expectRefused(first)
    const told = first.acknowledged()
    const reader = await Stratalog.openReadOnly({ dataDir: this.#dataDir, logLevel: 'silent' })
    await this.#checkRecords(reader, first, told)
    await reader.close()
    first.child.kill('SIGCONT')
    await first.untilTold(first.told().length + this.#few())
  }

  /** Whoever comes while it is stopped is told whose the directory is. */
  async #expectRefused({ child }: Writing): Promise<void> {
    try {
      const db = await Stratalog.open({ dataDir: this.#dataDir, logLevel: 'silent' })
      await db.close()
      this.#violation('wrong', 'a directory was opened twice')
    } catch (error) {
      if (!isStratalogError(error) || error.code !== 'directory_in_use') throw error
      const { pid } = error.details['holder'] as { pid?: number }
      if (pid !== child.pid) this.#violation('wrong', `held by ${child.pid}, said ${pid}`)
    }
  }

  async #succeed(): Promise<Writing> {
    const endAt = systemClock.monotonic() + HANGS_AFTER_MS
    for (;;) {
      const second = this.#start('second')
      await until('a successor starts', () => second.output !== '')
      if (second.output === 'open\n') return second
      if (!second.output.startsWith('directory_in_use') || systemClock.monotonic() > endAt)
        throw new Error(`A successor does not open: ${second.output}`)
    }
  }

  async #checkEnd(first: Writing, before: number, exit: Promise<unknown[]>): Promise<void> {
    await until('the superseded one ends', () => first.child.exitCode !== null)
    const [code] = await exit
    if (code !== REFUSED)
      this.#violation('crashed', `the superseded one ended with ${String(code)}`)
    const since = first.told().slice(before)
    // What was under way may have been decided before the stop; nothing that began after it is acknowledged.
    if (since.filter((line) => line.startsWith('ack')).length > 1)
      this.#violation('wrong', `a superseded process acknowledged: ${since.join(', ')}`)
    if (since.at(-1)?.startsWith('writer_fenced ') !== true)
      this.#violation('wrong', `a superseded process was told ${since.at(-1)}`)
  }

  async #checkRecords(db: Stratalog, { name }: Writing, told: readonly number[]): Promise<void> {
    const rows = await db.log('orders').read().toArray()
    const found = rows.filter((row) => row['writer'] === name).map((row) => Number(row['n']))
    if (!isDeepStrictEqual(found.slice(0, told.length), told))
      this.#counts.violation('lost', 'I1', `${told.length} of ${name}, read as ${found.join()}`)
    // One may be under way.
    if (found.length > told.length + 1)
      this.#counts.violation('invented', 'I2', `${name}: ${found.length} of ${told.length}`)
  }

  #lock(): string {
    return readFileSync(`${this.#dataDir}/lock`, 'utf8')
  }

  #violation(damage: 'wrong' | 'crashed', what: string): void {
    const how = this.#hasFlock ? 'with flock' : 'with a lease'
    this.#counts.violation(damage, 'I9', `${how}: ${what}`)
  }
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const endAt = systemClock.monotonic() + HANGS_AFTER_MS
  while (!isSo()) {
    if (systemClock.monotonic() > endAt) throw new Error(`It never came that ${what}.`)
    await systemClock.sleep(LOOK_EACH_MS)
  }
}
