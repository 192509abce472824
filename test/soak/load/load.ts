/**
 * A server at 80 % of the most that it takes, with a data directory and an archive on a real store: beside the senders
 * a reader that stops, one that follows, an object store that is dead for a while, and a drill. Then the server is
 * killed. Memory stays flat, nothing is answered but with success, 429 or 503, and what was acknowledged is there: as
 * the server is, and as another one finds it.
 *
 *     time   |--- measure the most ---|--------------------- 80 % of it ----------------------|
 *     beside                          | reader that stops, reader that follows                |
 *                                     |   20 % … 45 %: no store    |   55 %: a drill           |
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env } from 'node:process'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { randomHex, systemRandom } from '../../../src/base/random.ts'
import { connect } from '../../../src/client/index.ts'
import { NodeFileSystem } from '../../../src/storage/node-file-system.ts'
import { createBucketIfMissing } from '../../../src/storage/open-object-store.ts'
import { runCli } from '../../support/cli.ts'
import { type MinioSettings, startMinio } from '../../support/minio.ts'
import { TestServer } from '../../support/server.ts'
import { type ToxicProxy, startToxicProxy } from '../../support/toxic-proxy.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from '../report.ts'
import { Follower, MemoryWatch, StoppedReader } from './beside.ts'
import { checkLog } from './check-records.ts'
import { Answers, Sender } from './sender.ts'

export interface LoadReport extends SoakReport {
  /** Appends a second: the most, and what was asked for; and acknowledged. */
  readonly appendsPerSecond: {
    readonly most: number
    readonly asked: number
    readonly made: number
  }
  readonly byStatus: Readonly<Record<string, number>>
  readonly rssBytesMax: number
  /** What the last quarter of the load took, of what the second did. */
  readonly rssGrowth: number
  readonly drill: { readonly status: number | null; readonly verdict: string | null }
  /** Requests to the object store that failed while it was dead. */
  readonly storeFailures: number
}

const LOGS = ['load-0', 'load-1', 'load-2', 'load-3']
const SENDERS = 24
const SHARE = 0.8
const MOST_MS_MAX = 15_000
const WATCH_EACH_MS = 250
/** The rest beside the 64 MB of records: caches, codecs, DuckDB, the WAL's ring, V8 and its garbage. */
const RSS_MAX = 600 * 1024 * 1024
/** Of a load that is long enough to be past the warming up of caches and of V8. */
const RSS_GROWTH_MAX = 1.25
const FLAT_FROM_MS = 300_000
const CATCHES_UP_WITHIN_MS = 60_000
/** Ages that move records through all tiers while it runs. */
const AGES = [
  '--memory-ttl',
  '3s',
  '--disk-after',
  '1s',
  '--archive-after',
  '2s',
  '--disk-ttl',
  '20s',
]

/** @param given a MinIO that runs already. */
export async function loadSoak(
  { seed, timeMs, onProgress }: SoakLimits,
  given: MinioSettings | null = null,
): Promise<LoadReport> {
  const minutes = Math.ceil(timeMs / 60_000)
  const counts = new SoakCounts('load', seed, `npm run soak -- load --minutes ${minutes}`)
  const root = await mkdtemp(join(tmpdir(), 'stratalog-load-'))
  const minio = given === null ? await startMinio() : null
  const settings = given ?? minio
  if (settings === null) throw new Error('no MinIO')
  await using proxy = await startToxicProxy(settings.endpoint)
  try {
    const place = new Place(root, settings, proxy)
    await place.make()
    return await new Load(place, counts, timeMs, onProgress).run()
  } finally {
    await minio?.stop()
    if (!counts.hasViolations) await rm(root, { recursive: true, force: true })
  }
}

/** Where the records are. */
class Place {
  readonly archive: string
  readonly proxy: ToxicProxy
  readonly #dataDir: string
  readonly #minio: MinioSettings

  constructor(root: string, minio: MinioSettings, proxy: ToxicProxy) {
    this.#dataDir = join(root, 'data')
    this.archive = `s3://load-${randomHex(systemRandom, 6)}/place`
    this.#minio = minio
    this.proxy = proxy
  }

  async make(): Promise<void> {
    const { accessKeyId, secretAccessKey, region } = this.#minio
    await createBucketIfMissing(this.archive, {
      s3: {
        endpoint: this.proxy.endpoint,
        region,
        credentials: { accessKeyId, secretAccessKey },
      },
      fileSystem: new NodeFileSystem(),
      clock: systemClock,
      random: systemRandom,
      metrics: noMetrics,
      logger: silentLogger,
    })
  }

  get env(): Readonly<Record<string, string>> {
    const { accessKeyId, secretAccessKey, region } = this.#minio
    return {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: region,
      AWS_ENDPOINT_URL_S3: this.proxy.endpoint,
      ...(env['TMPDIR'] === undefined ? {} : { TMPDIR: env['TMPDIR'] }),
    }
  }

  serve(): Promise<TestServer> {
    const data = ['--data-dir', this.#dataDir, '--archive', this.archive]
    const args = [...data, ...AGES, '--max-memory', '64MB', '--log-level', 'silent']
    return TestServer.start(args, this.env)
  }

  /** Every request to the store fails, or none does. */
  setDead(isDead: boolean): void {
    this.proxy.script = () => (isDead ? { kind: 'error-before' } : null)
  }
}

class Load {
  readonly #place: Place
  readonly #counts: SoakCounts
  readonly #timeMs: number
  readonly #onProgress: (line: string) => void
  readonly #answers = new Answers()
  #senders: readonly Sender[] = []

  constructor(
    place: Place,
    counts: SoakCounts,
    timeMs: number,
    onProgress: (line: string) => void,
  ) {
    this.#place = place
    this.#counts = counts
    this.#timeMs = timeMs
    this.#onProgress = onProgress
  }

  async run(): Promise<LoadReport> {
    const server = await this.#place.serve()
    const { url } = server
    const db = await connect(url)
    for (const log of LOGS) await db.createLog(log)
    this.#senders = await Promise.all(
      Array.from({ length: SENDERS }, (_, number) =>
        Sender.start(number, LOGS[number % LOGS.length] ?? '', url, this.#answers),
      ),
    )
    const mostMs = Math.min(MOST_MS_MAX, this.#timeMs / 5)
    this.#onProgress('measuring the most')
    const most = await this.#send(mostMs, null)
    const memory = new MemoryWatch(server.pid)
    memory.start(WATCH_EACH_MS)
    const { made, drill } = await this.#load(url, this.#timeMs - mostMs, most * SHARE)
    memory.stop()
    this.#judge(memory)
    await this.#check(url, 'the server that was under load')
    await server.stop('SIGKILL')
    const second = await this.#place.serve()
    await this.#check(second.url, 'a server after it was killed')
    const { status } = await second.stop()
    if (status !== 0) this.#counts.violation('crashed', 'I11', `the server ended with ${status}`)
    return {
      ...this.#counts.report(),
      appendsPerSecond: {
        most: Math.round(most),
        asked: Math.round(most * SHARE),
        made: Math.round(made),
      },
      byStatus: this.#answers.byStatus,
      rssBytesMax: memory.max,
      rssGrowth: growthOf(memory),
      drill,
      storeFailures: this.#place.proxy.counts.poisoned,
    }
  }

  /** Appends a second that were acknowledged. */
  async #send(ms: number, perSecond: number | null): Promise<number> {
    const startedAt = systemClock.monotonic()
    const before = this.#acknowledged()
    const each = perSecond === null ? null : perSecond / SENDERS
    await Promise.all(this.#senders.map((sender) => sender.run(startedAt + ms, each)))
    const seconds = (systemClock.monotonic() - startedAt) / 1_000
    return (this.#acknowledged() - before) / seconds
  }

  async #load(
    url: string,
    ms: number,
    perSecond: number,
  ): Promise<{ readonly made: number; readonly drill: LoadReport['drill'] }> {
    const stopped = new StoppedReader(url, LOGS[0] ?? '')
    const follower = new Follower(url, LOGS[1] ?? '', this.#answers)
    const sending = this.#send(ms, perSecond)
    await this.#until(ms * 0.2, 'the load')
    this.#place.setDead(true)
    await this.#until(ms * 0.25, 'no object store')
    this.#place.setDead(false)
    await this.#until(ms * 0.1, 'the store is back')
    this.#onProgress('a drill')
    const drilling = this.#drill(url)
    const made = await sending
    const drill = await drilling
    stopped.stop()
    await this.#caughtUp(url, follower)
    await follower.stop()
    return { made, drill }
  }

  #until(ms: number, what: string): Promise<void> {
    this.#onProgress(`${what}, ${this.#acknowledged()} appends`)
    return systemClock.sleep(ms)
  }

  async #drill(url: string): Promise<LoadReport['drill']> {
    const args = ['drill', '--archive', this.#place.archive, '--against', url, '--json']
    const { status, stdout, stderr } = await runCli(args, { env: this.#place.env })
    const report =
      stdout === '' ? null : (JSON.parse(stdout) as { verdict: string; reasons: string[] })
    const verdict = report?.verdict ?? null
    if (status !== 0)
      this.#counts.violation(
        'wrong',
        'I10',
        `the drill ended with ${status}: ${report?.reasons.join('; ') ?? stderr}`,
      )
    return { status, verdict }
  }

  async #caughtUp(url: string, follower: Follower): Promise<void> {
    const db = await connect(url)
    const { end } = await db.log(LOGS[1] ?? '').range()
    const endAt = systemClock.monotonic() + CATCHES_UP_WITHIN_MS
    while (follower.next < end && follower.failure === null && systemClock.monotonic() < endAt)
      await systemClock.sleep(50)
    if (follower.next < end)
      this.#counts.violation(
        'hung',
        'I8',
        `a reader is at ${follower.next} of ${end}: ${follower.failure}`,
      )
  }

  #judge(memory: MemoryWatch): void {
    const counts = this.#counts
    counts.acknowledged = this.#acknowledged()
    counts.tried = this.#senders.reduce((sum, { offsets }) => sum + offsets.length, 0)
    for (const status of this.#answers.unexpected)
      counts.violation(
        'wrong',
        'I7',
        `${this.#answers.byStatus[status]} requests were answered with ${status}`,
      )
    for (const failure of this.#senders.flatMap(({ failures }) => failures))
      counts.violation('wrong', 'I7', `an append failed with ${failure}`)
    if (memory.max > RSS_MAX)
      counts.violation(
        'wrong',
        'I11',
        `the server took ${memory.max} bytes, allowed are ${RSS_MAX}`,
      )
    const growth = growthOf(memory)
    if (this.#timeMs >= FLAT_FROM_MS && growth > RSS_GROWTH_MAX)
      counts.violation('wrong', 'I11', `the memory of the server grew to ${growth} times as much`)
  }

  async #check(url: string, when: string): Promise<void> {
    this.#onProgress(`reading back from ${when}`)
    const db = await connect(url)
    for (const log of LOGS) {
      const senders = this.#senders.filter((sender) => sender.log === log)
      await checkLog(db, log, senders, this.#counts, when)
    }
  }

  #acknowledged(): number {
    return this.#senders.reduce(
      (sum, { offsets }) => sum + offsets.filter((offset) => offset >= 0).length,
      0,
    )
  }
}

function growthOf(memory: MemoryWatch): number {
  return Math.round((memory.mean(0.75, 1) / memory.mean(0.25, 0.5)) * 100) / 100
}
