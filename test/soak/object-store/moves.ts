/**
 * Every move between tiers, in an order that is always the same: what the sweeps of the object store disturb. An engine
 * appends, flushes, uploads, compacts, collects, repairs an object that rots, snapshots, acknowledges from the archive,
 * lets go of RAM and disk, reads from the archive, scrubs, restores the archive and the snapshot, and deletes the
 * snapshot and what it kept. It can be killed in any step and goes on with that step in the next process. What was
 * acknowledged has to be there at the end, everywhere.
 */
import type { Clock } from '../../../src/base/clock.ts'
import { type ErrorCode, StratalogError, isStratalogError } from '../../../src/base/errors.ts'
import { randomHex, seededRandom } from '../../../src/base/random.ts'
import type { ObjectStore } from '../../../src/storage/object-store.ts'
import { type Log, Stratalog, restoreArchive, verifyFiles } from '../../../src/index.ts'
import type { EnginePorts } from '../../../src/engine/ports.ts'
import type { S3Options } from '../../../src/engine/config.ts'
import type { TierReport } from '../../../src/tiering/steps.ts'
import { allOf } from '../../support/toxic-object-store.ts'
import type { Damage } from '../report.ts'

/** Where a process finds what it works on. */
export interface Stage {
  readonly dataDir: string
  readonly archive: string
  readonly s3?: S3Options
  /** A directory for each restore. */
  readonly restoredDir: (number: number) => string
  /** Whether files of `dataDir` are those of this machine. */
  readonly isReal: boolean
  readonly clock: Clock
  readonly ports: Partial<EnginePorts>
  /** After so long all that was appended is in the archive only. */
  readonly agesMs: number
  /** How often it appends, flushes and uploads. */
  readonly rounds: number
  /** Of one record that is put in parts; null for none. */
  readonly bigBytes: number | null
  /** The archive with nothing in between, to let an object rot in it; null where none is to. */
  readonly openBare: (() => Promise<ObjectStore>) | null
}

/** A promise that was broken. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
  readonly damage: Damage
  readonly invariant: string

  constructor(damage: Damage, invariant: string, message: string) {
    super(message)
    this.damage = damage
    this.invariant = invariant
  }
}

/** One toxic at one call: what still fails after so many tries does not come right by itself. */
const TRIES_MAX = 12
const PAUSE_MS = 500
const ROWS = 5
const LOG = 'orders'
const SNAPSHOT = 'kept'

/** What a store does to who asks it; everything else is a fault of the engine. */
const STORE_KINDS = new Set(['unavailable', 'not_found', 'conflict', 'corrupt', 'overloaded'])
/** The file that says whose archive it is, with wrong bytes. */
const STORE_CODES = new Set(['directory_foreign'])

interface Row {
  readonly n: number
  readonly text: string
}

type Step = (db: Stratalog, stage: Stage) => Promise<void>

export class Moves {
  readonly #told = new Map<number, Row>()
  readonly #tried = new Map<number, Row>()
  /** Acknowledged when the snapshot was asked for. */
  #inSnapshot = 0
  #next = 0
  #step = 0
  #restores = 0
  #doing = 'open'

  get acknowledged(): number {
    return this.#told.size
  }

  /** What is going on. */
  get step(): string {
    return this.#doing
  }

  /** Opens an engine, does what is left to do, and closes it. @throws BrokenPromise. */
  async goOn(stage: Stage): Promise<void> {
    const steps = this.#stepsOf(stage)
    for (let tries = 1; this.#step < steps.length; tries++) {
      this.#doing = 'open'
      const db = await this.#open(stage)
      try {
        for (const [name, run] of steps.slice(this.#step)) {
          this.#doing = name
          await this.#try(stage, name, () => run(db, stage))
          this.#step++
        }
        this.#doing = 'close'
      } catch (error) {
        // An engine that was opened without its archive says so, and wants to be opened again.
        if (!isDiverged(error) || tries > TRIES_MAX) throw error
      } finally {
        await db.close()
      }
    }
  }

  /** When nothing goes wrong any more: all of it is there, and nothing else. @throws BrokenPromise. */
  async check(stage: Stage): Promise<void> {
    const db = await this.#open(stage)
    try {
      await this.#drain(db, stage)
      this.#compare(await rowsOf(db.log(LOG)), this.#told, 'here')
      await db.tier.collect({ grace: 0 })
      await db.tier.collect({ grace: 0 })
      const { orphans } = await db.tier.collect({ grace: 0 })
      if (orphans.length > 0)
        throw new BrokenPromise('wrong', 'I11', `left over: ${JSON.stringify(orphans)}`)
    } finally {
      await db.close()
    }
    const { archive, dataDir, s3, isReal, ports } = stage
    const from = { archive, ...(s3 === undefined ? {} : { s3 }) }
    const verified = await verifyFiles({ ...from, ...(isReal ? { dataDir } : {}) }, ports)
    if (verified.verdict !== 'PASS')
      throw new BrokenPromise('lost', 'I7', JSON.stringify(verified.problems.slice(0, 3)))
    await this.#restore(stage, null, this.#told)
  }

  async #open(stage: Stage): Promise<Stratalog> {
    const { dataDir, archive, s3, ports } = stage
    const options = { dataDir, archive, logLevel: 'silent', maxMemoryBytes: '64MB' } as const
    return this.#try(stage, 'open', () =>
      Stratalog.open({ ...options, ...(s3 === undefined ? {} : { s3 }) }, ports),
    )
  }

  /** Again and again while the store is to blame. */
  async #try<T>({ clock }: Stage, what: string, run: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run()
      } catch (error) {
        if (error instanceof BrokenPromise) throw error
        if (!isStratalogError(error)) throw error
        const { code, kind, message } = error
        if (kind === 'fenced')
          throw new BrokenPromise('wrong', 'I7', `${what} was fenced: ${message}`)
        if (!STORE_KINDS.has(kind) && !STORE_CODES.has(code))
          throw new BrokenPromise('crashed', 'I7', `${what}: ${code}: ${message}`)
        if (isDiverged(error) && what !== 'open') throw error
        if (tries >= TRIES_MAX)
          throw new BrokenPromise('hung', 'I12', `${what} does not end: ${code}: ${message}`)
        await clock.sleep(PAUSE_MS)
      }
    }
  }

  #stepsOf({ rounds }: Stage): readonly (readonly [string, Step])[] {
    const each = Array.from({ length: rounds }, () => [
      ['append', (db) => this.#append(db.log(LOG), ROWS, {})] as const,
      ['flush', (db) => settled(db.tier.now({ to: 'disk' }))] as const,
      ['upload', (db) => settled(db.tier.now())] as const,
    ]) satisfies readonly (readonly (readonly [string, Step])[])[]
    return [
      ['create', (db, stage) => create(db, stage)],
      ...each.flat(),
      ['big append', (db, { bigBytes }) => this.#appendBig(db.log(LOG), bigBytes)],
      ['big upload', (db) => settled(db.tier.now())],
      ['read', (db) => this.#read(db)],
      ['compact', (db) => settled(db.tier.compact())],
      ['collect', (db) => collect(db)],
      ['rot', (_, stage) => rot(stage)],
      ['repair', (db) => scrub(db)],
      ['snapshot', (db) => this.#snapshot(db)],
      ['append to the archive', (db) => this.#append(db.log(LOG), ROWS, { ack: 'object' })],
      ['age', (db, stage) => age(db, stage)],
      ['cold read', (db) => this.#read(db)],
      ['get', (db) => this.#get(db)],
      ['scrub', (db) => scrub(db)],
      ['restore', (_, stage) => this.#restore(stage, null, this.#told)],
      ['restore the snapshot', (_, stage) => this.#restore(stage, SNAPSHOT, this.#snapshotted)],
      ['delete the snapshot', (db) => deleteSnapshot(db)],
      ['compact again', (db) => settled(db.tier.compact())],
      ['collect again', (db) => collect(db)],
      ['read again', (db) => this.#read(db)],
    ]
  }

  get #snapshotted(): ReadonlyMap<number, Row> {
    return new Map([...this.#told].slice(0, this.#inSnapshot))
  }

  /** An append that failed is not tried again under its numbers: it may have been applied. */
  async #append(log: Log, count: number, options: { readonly ack?: 'object' }): Promise<void> {
    const rows = Array.from({ length: count }, () => rowOf(this.#next++, 40))
    await this.#submit(log, rows, options)
  }

  async #appendBig(log: Log, bigBytes: number | null): Promise<void> {
    if (bigBytes === null) return
    await this.#submit(log, [rowOf(this.#next++, bigBytes)], {})
  }

  async #submit(log: Log, rows: readonly Row[], options: { ack?: 'object' }): Promise<void> {
    for (const row of rows) this.#tried.set(row.n, row)
    await log.append([...rows], options)
    for (const row of rows) this.#told.set(row.n, row)
  }

  async #read(db: Stratalog): Promise<void> {
    this.#compare(await rowsOf(db.log(LOG)), this.#told, 'here')
  }

  /** A single record, with one column of it. */
  async #get(db: Stratalog): Promise<void> {
    const row = await db.log(LOG).get(3)
    if (row === null || this.#tried.get(Number(row['n']))?.text !== row['text'])
      throw new BrokenPromise('wrong', 'I1', `offset 3 reads as ${JSON.stringify(row)}`)
  }

  async #snapshot(db: Stratalog): Promise<void> {
    // A try before this one may have made it, and said that it did not.
    if ((await db.snapshots()).some(({ name }) => name === SNAPSHOT)) return
    this.#inSnapshot = this.#told.size
    await db.snapshot({ name: SNAPSHOT })
  }

  /** `expected` has to be there. */
  async #restore(
    stage: Stage,
    snapshot: string | null,
    expected: ReadonlyMap<number, Row>,
  ): Promise<void> {
    const { archive, s3, ports } = stage
    const which = snapshot === null ? {} : { snapshot }
    const from = { archive, ...(s3 === undefined ? {} : { s3 }), ...which, eager: true }
    let dataDir = stage.restoredDir(++this.#restores)
    let report = await restoreArchive({ ...from, dataDir }, ports)
    if (!report.verified) {
      // A store that says once that something is not there, or gives it changed, is asked again.
      dataDir = stage.restoredDir(++this.#restores)
      report = await restoreArchive({ ...from, dataDir }, ports)
    }
    if (!report.verified) {
      const damage = [...report.missing, ...report.corrupt]
      throw new BrokenPromise('lost', 'I10', `restore: ${JSON.stringify(damage)}`)
    }
    const restored = await Stratalog.openReadOnly({ dataDir, logLevel: 'silent' }, ports)
    try {
      this.#compare(await rowsOf(restored.log(LOG)), expected, snapshot ?? 'restored')
    } finally {
      await restored.close()
    }
  }

  #compare(found: readonly Row[], expected: ReadonlyMap<number, Row>, where: string): void {
    const numbers = new Set(found.map(({ n }) => n))
    const lost = [...expected.keys()].filter((n) => !numbers.has(n))
    if (lost.length > 0) throw new BrokenPromise('lost', 'I1', `${where}: ${lost.join(', ')}`)
    const wrong = found.filter(({ n, text }) => this.#tried.get(n)?.text !== text)
    if (wrong.length > 0)
      throw new BrokenPromise('invented', 'I2', `${where}: ${wrong.map(({ n }) => n).join(', ')}`)
    const isInOrder = found.every(({ n }, index) => index === 0 || n > (found[index - 1]?.n ?? 0))
    if (!isInOrder) throw new BrokenPromise('wrong', 'I4', `${where}: twice, or not in order`)
  }

  async #drain(db: Stratalog, { clock }: Stage): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { pending, failed } = await db.tier.now()
      if (pending === 0 && failed.length === 0) return
      if (tries > TRIES_MAX)
        throw new BrokenPromise('hung', 'I12', `${pending} stay: ${JSON.stringify(failed)}`)
      await clock.sleep(PAUSE_MS)
    }
  }
}

async function create(db: Stratalog, { agesMs }: Stage): Promise<void> {
  // A try before this one may have made it, and heard otherwise.
  if (db.logs().some(({ name }) => name === LOG)) return
  const ages = { diskAfter: agesMs / 8, memoryTtl: agesMs / 4, archiveAfter: agesMs / 4 }
  await db.createLog(LOG, { storage: { mode: 'hybrid', diskTtl: agesMs / 2, ...ages } })
}

/** What fails by itself alone is tried again like any other. */
async function settled(moving: Promise<TierReport>): Promise<void> {
  const [failure] = (await moving).failed
  if (failure !== undefined) throw new StratalogError(failure.code as ErrorCode, failure.message)
}

async function collect(db: Stratalog): Promise<void> {
  await db.tier.collect({ grace: 0 })
}

/** RAM and disk let go of what the archive has. */
async function age(db: Stratalog, { clock, agesMs }: Stage): Promise<void> {
  await settled(db.tier.now())
  await clock.sleep(agesMs)
  await db.tier.run()
}

/** A bit of an object that the disk has a copy of flips. */
async function rot({ openBare }: Stage): Promise<void> {
  if (openBare === null) return
  const store = await openBare()
  const [first] = await allOf(store.list('segments/'))
  if (first === undefined) throw new BrokenPromise('wrong', 'I8', 'the archive has no segment')
  const { key } = first
  const bytes = await store.get(key)
  bytes[9] = (bytes[9] ?? 0) ^ 1
  await store.put(key, bytes)
  await store.close()
}

async function scrub(db: Stratalog): Promise<void> {
  const { verdict, problems } = await db.tier.scrub()
  if (verdict !== 'PASS') throw new StratalogError('object_corrupt', JSON.stringify(problems))
}

async function deleteSnapshot(db: Stratalog): Promise<void> {
  if ((await db.snapshots()).some(({ name }) => name === SNAPSHOT))
    await db.deleteSnapshot(SNAPSHOT)
}

async function rowsOf(log: Log): Promise<readonly Row[]> {
  const rows = await log.read().toArray()
  return rows.map(({ n, text }) => ({ n: Number(n), text: String(text) }))
}

/** Text that LZ4 makes nothing of, so that what is big stays so. */
function rowOf(n: number, bytes: number): Row {
  const random = seededRandom(n)
  return { n, text: `${n} ${randomHex(random, bytes >> 1)}` }
}

function isDiverged(error: unknown): boolean {
  return isStratalogError(error) && error.code === 'archive_diverged'
}
