/**
 * An engine whose archive is on a real store behind a proxy that misbehaves. A process appends, flushes, uploads,
 * reads, compacts and collects, and is killed; the next one takes its directory. Each life has one planned toxic, at
 * one call of one operation (all of them take their turn), and others now and then; some lives have no store at all.
 * After some lives the toxics stop, and everything is checked:
 *
 * - all that was acknowledged is there, once, in order, and nothing that was not tried (I1, I2, I4);
 * - nobody was fenced, as there never were two writers, and no move ended in an error of ours (I7);
 * - all of it drains to the archive (I12), and the archive alone has everything: nothing was removed too early (I8,
 *   I10);
 * - no object is left that nothing names, after a collection, and no upload that did not end (I11).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, execPath } from 'node:process'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { type Random, randomFraction, randomHex, seededRandom } from '../../../src/base/random.ts'
import { Stratalog, restoreArchive, verifyFiles } from '../../../src/index.ts'
import { NodeFileSystem } from '../../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../../src/storage/open-object-store.ts'
import type { ArchiveChildOptions } from '../../support/archive-child.ts'
import type { MinioSettings } from '../../support/minio.ts'
import { programAt } from '../../support/program.ts'
import type { ProxiedCall, Toxic, ToxicProxy } from '../../support/toxic-proxy.ts'
import type { Damage } from '../report.ts'
import { OPERATIONS, TOXICS } from './toxics.ts'

const CHILD = programAt('test/support/archive-child.ts')
/** Lives of one directory and one bucket, after which they are checked. */
const LIVES = 4
/** A life ends after so many lines of its journal; where none come, after so long. */
const LIFE_LINES_MIN = 10
const LIFE_LINES_MAX = 120
const LIFE_MAX_MS = 8_000
const HANGS_AFTER_MS = 90_000
/** Each process has numbers of its own. */
const NUMBERS_PER_LIFE = 1_000_000

const INDEXES = 6

/** Codes that end a process and are no fault: a store that lies or is away keeps an engine from opening, or goes on
 * lying until it does. */
const MAY_END = new Set([
  'store_denied',
  'store_unavailable',
  'store_unsupported',
  'bucket_not_found',
  'object_not_found',
  'object_exists',
  'object_corrupt',
  'manifest_corrupt',
  'archive_diverged',
])

/** Some lives on a bucket of their own, and what is left in the end. `number` says which toxics are planned. */
export async function liveOnMinio(
  number: number,
  minio: MinioSettings,
  proxy: ToxicProxy,
  counts: ViolationCounts,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'stratalog-object-store-'))
  let isBroken = false
  const place = new Place(root, minio, proxy, seededRandom(number), {
    acknowledged: (more) => counts.acknowledged(more),
    violation: (...what) => {
      isBroken = true
      counts.violation(...what)
    },
  })
  await place.make()
  for (let life = 0; life < LIVES; life++) await place.live(life, number * LIVES + life)
  await place.check()
  // What broke is kept for a look.
  if (!isBroken) await rm(root, { recursive: true, force: true })
}

/** Where what comes of it is counted. */
export interface ViolationCounts {
  acknowledged(more: number): void
  violation(damage: Damage, invariant: string, what: string): void
}

/** One directory, one archive, and what its processes told. */
class Place {
  readonly #root: string
  readonly #dataDir: string
  readonly #journal: string
  readonly #archive: string
  readonly #minio: MinioSettings
  readonly #proxy: ToxicProxy
  readonly #random: Random
  readonly #counts: ViolationCounts

  constructor(
    root: string,
    minio: MinioSettings,
    proxy: ToxicProxy,
    random: Random,
    counts: ViolationCounts,
  ) {
    this.#root = root
    this.#dataDir = `${root}/data`
    this.#journal = `${root}/journal`
    this.#archive = `s3://soak-${randomHex(random, 6)}/place`
    this.#minio = minio
    this.#proxy = proxy
    this.#random = random
    this.#counts = counts
  }

  async make(): Promise<void> {
    await createBucketIfMissing(this.#archive, {
      s3: this.#s3,
      fileSystem: new NodeFileSystem(),
      clock: systemClock,
      random: this.#random,
      metrics: noMetrics,
      logger: silentLogger,
    })
  }

  async live(life: number, number: number): Promise<void> {
    this.#proxy.script = this.#toxics(number, life)
    const seed = this.#random.uint32()
    const options: ArchiveChildOptions = {
      ...{ dataDir: this.#dataDir, archive: this.#archive, journal: this.#journal, seed },
      endpoint: this.#proxy.endpoint,
      from: life * NUMBERS_PER_LIFE,
    }
    const child = spawn(execPath, [CHILD, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...env,
        AWS_ACCESS_KEY_ID: this.#minio.accessKeyId,
        AWS_SECRET_ACCESS_KEY: this.#minio.secretAccessKey,
      },
    })
    const exited = once(child, 'exit')
    const told = this.#lines().length
    await this.#untilOpen(child, told)
    const lines = LIFE_LINES_MIN + (this.#random.uint32() % (LIFE_LINES_MAX - LIFE_LINES_MIN))
    const endAt = systemClock.monotonic() + LIFE_MAX_MS
    while (
      child.exitCode === null &&
      this.#lines().length < told + lines &&
      systemClock.monotonic() < endAt
    )
      await systemClock.sleep(5)
    child.kill('SIGKILL')
    await exited
    for (const line of this.#lines().slice(told)) {
      const code = /^end (.*)$/.exec(line)?.[1]
      if (code !== undefined && !MAY_END.has(code))
        this.#violation(
          code === 'writer_fenced' ? 'wrong' : 'crashed',
          'I7',
          `it ended with ${code}`,
        )
    }
  }

  async check(): Promise<void> {
    this.#proxy.script = () => null
    await this.#proxy.settle()
    const { told, tried } = this.#numbers()
    this.#counts.acknowledged(told.length)
    {
      await using db = await Stratalog.open(this.#place)
      await this.#drain(db)
      await this.#checkRecords(db, told, tried, 'here')
      await db.tier.collect({ grace: 0 })
      const left = (await db.tier.collect({ grace: 0 })).orphans
      if (left.length > 0) this.#violation('wrong', 'I11', `left over: ${JSON.stringify(left)}`)
    }
    const verified = await verifyFiles({
      dataDir: this.#dataDir,
      archive: this.#archive,
      s3: this.#s3,
    })
    if (verified.verdict !== 'PASS')
      this.#violation('lost', 'I7', `verify: ${JSON.stringify(verified.problems.slice(0, 3))}`)
    const restored = `${this.#root}/restored`
    const from = { archive: this.#archive, s3: this.#s3 }
    const report = await restoreArchive({ ...from, dataDir: restored, eager: true })
    if (!report.verified)
      this.#violation('lost', 'I10', `restore: ${JSON.stringify(report.missing)}`)
    await using again = await Stratalog.open({ dataDir: restored, logLevel: 'silent' })
    await this.#checkRecords(again, told, tried, 'restored')
  }

  async #drain(db: Stratalog): Promise<void> {
    const endAt = systemClock.monotonic() + HANGS_AFTER_MS
    for (;;) {
      const { pending, failed } = await db.tier.now()
      if (pending === 0 && failed.length === 0) return
      if (systemClock.monotonic() > endAt)
        throw new Error(`It does not drain: ${pending} pending, ${JSON.stringify(failed)}`)
      await systemClock.sleep(100)
    }
  }

  async #checkRecords(
    db: Stratalog,
    told: readonly number[],
    tried: ReadonlySet<number>,
    where: string,
  ): Promise<void> {
    const isMade = db.logs().some(({ name }) => name === 'orders')
    const rows = isMade ? await db.log('orders').read().toArray() : []
    const found = rows.map((row) => Number(row['n']))
    const distinct = new Set(found)
    const lost = told.filter((n) => !distinct.has(n))
    if (lost.length > 0) this.#violation('lost', 'I1', `${where}: ${lost.slice(0, 5).join(', ')}`)
    const invented = found.filter((n) => !tried.has(n))
    if (invented.length > 0)
      this.#violation('invented', 'I2', `${where}: ${invented.slice(0, 5).join(', ')}`)
    const isInOrder = found.every((n, index) => index === 0 || n > (found[index - 1] ?? 0))
    if (!isInOrder) this.#violation('wrong', 'I4', `${where}: twice, or not in order`)
  }

  /** One planned toxic for the whole life, and beside it none, some, or no store at all. */
  #toxics(number: number, life: number): (call: ProxiedCall) => Toxic | null {
    const planned = TOXICS[number % TOXICS.length] ?? null
    const turn = Math.floor(number / TOXICS.length)
    const operation = OPERATIONS[turn % OPERATIONS.length]
    const wanted = Math.floor(turn / OPERATIONS.length) % INDEXES
    const rate = life === 2 ? 1 : [0, 0.1, 0, 0.3][life % 4]
    let index = 0
    return (call) => {
      if (call.operation === operation && index++ === wanted) return planned
      if (randomFraction(this.#random) >= (rate ?? 0)) return null
      if (rate === 1) return { kind: 'error-before' }
      return TOXICS[this.#random.uint32() % TOXICS.length] ?? null
    }
  }

  async #untilOpen(child: ChildProcess, told: number): Promise<void> {
    const endAt = systemClock.monotonic() + HANGS_AFTER_MS
    while (this.#lines().length === told && child.exitCode === null) {
      if (systemClock.monotonic() > endAt) {
        child.kill('SIGKILL')
        throw new Error('A process does not open.')
      }
      await systemClock.sleep(10)
    }
  }

  #lines(): readonly string[] {
    if (!existsSync(this.#journal)) return []
    return readFileSync(this.#journal, 'utf8').split('\n').slice(0, -1)
  }

  #numbers(): { readonly told: readonly number[]; readonly tried: ReadonlySet<number> } {
    const told: number[] = []
    const tried = new Set<number>()
    for (const line of this.#lines()) {
      const [word, from, count] = line.split(' ')
      for (let n = Number(from); n < Number(from) + Number(count); n++) {
        if (word === 'ack') told.push(n)
        if (word === 'try') tried.add(n)
      }
    }
    return { told, tried }
  }

  /** Past the proxy. */
  get #s3(): {
    endpoint: string
    region: string
    credentials: { accessKeyId: string; secretAccessKey: string }
  } {
    const { endpoint, region, accessKeyId, secretAccessKey } = this.#minio
    return { endpoint, region, credentials: { accessKeyId, secretAccessKey } }
  }

  get #place() {
    const { dataDir, archive } = { dataDir: this.#dataDir, archive: this.#archive }
    return { dataDir, archive, s3: this.#s3, logLevel: 'silent' } as const
  }

  #violation(damage: Damage, invariant: string, what: string): void {
    this.#counts.violation(damage, invariant, `${what} (${this.#root}, ${this.#archive})`)
  }
}
