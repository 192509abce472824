/**
 * A server that is sent what no client would send. It never dies, never answers with a 5xx but 503 (and 504 to a query
 * that asks for too little time), gives back every
 * descriptor and nearly all memory, lets nobody have what is another's, and applies nothing by halves.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { type Random, randomFraction, seededRandom } from '../../../src/base/random.ts'
import { connect } from '../../../src/client/index.ts'
import { runJson } from '../../support/cli.ts'
import { TestServer } from '../../support/server.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from '../report.ts'
import { timeLimit } from '../time-limit.ts'
import { type Tokens, badRequest, bomb } from './bad-requests.ts'
import { type RawAnswer, askRaw } from './raw-answer.ts'
import { WHOLE_LOG, WholeAppends } from './whole-appends.ts'

export interface FuzzReport extends SoakReport {
  /** How many answers there were of each status; 0: none. */
  readonly byStatus: Readonly<Record<string, number>>
  readonly rssBytesMax: number
  readonly descriptors: { readonly before: number; readonly after: number }
}

const IN_FLIGHT = 48
/** What may be deleted or filled by a request is made again after so many. */
const SCENE_EACH = 500
/** What the process may grow by: 64 MB of records, DuckDB, bodies on their way, V8's garbage. */
const RSS_GROWTH_MAX = 600 * 1024 * 1024
/** Sockets of a readiness probe or a keep-alive may be open when descriptors are counted. */
const DESCRIPTORS_SLACK = 8
const BURST = 300
/** How long memory is looked at after it. */
const BURST_MS = 2_000
const SETTLES_WITHIN_MS = 60_000
/** Of the server's own name in a header that a request tried to make up. */
const INJECTED = /^x-injected:/im

export async function fuzzSoak(limits: SoakLimits): Promise<FuzzReport> {
  const { seed, cycles } = limits
  const rerun = `npm run soak -- fuzz --samples ${cycles} --seed ${seed}`
  const counts = new SoakCounts('fuzz', seed, rerun)
  const root = await mkdtemp(join(tmpdir(), 'stratalog-fuzz-'))
  try {
    const tokens = await makeTokens(root)
    const server = await TestServer.start([
      '--tokens',
      join(root, 'tokens.json'),
      '--max-memory',
      '64MB',
      '--log-level',
      'silent',
    ])
    const fuzz = new Fuzz(server, tokens, counts, limits)
    const facts = await fuzz.run()
    const { status } = await server.stop()
    if (status !== 0) counts.violation('crashed', 'I11', `the server ended with ${status}`)
    return { ...counts.report(), ...facts }
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function makeTokens(root: string): Promise<Tokens> {
  const make = async (name: string, ...more: string[]): Promise<string> => {
    const file = ['--tokens', join(root, 'tokens.json')]
    const all = ['token', 'create', ...file, '--name', name, '--scopes', 'read,append,sql,admin']
    return (await runJson<{ readonly token: string }>([...all, ...more])).token
  }
  const admin = await make('admin')
  return { admin, tenant: await make('tenant', '--logs', 'tenant-b.') }
}

class Fuzz {
  readonly #server: TestServer
  readonly #tokens: Tokens
  readonly #counts: SoakCounts
  readonly #limits: SoakLimits
  readonly #random: Random
  readonly #port: number
  readonly #whole = new WholeAppends()
  readonly #byStatus: Record<string, number> = {}
  #rssBytesMax = 0

  constructor(server: TestServer, tokens: Tokens, counts: SoakCounts, limits: SoakLimits) {
    this.#server = server
    this.#tokens = tokens
    this.#counts = counts
    this.#limits = limits
    this.#random = seededRandom(limits.seed)
    this.#port = Number(new URL(server.url).port)
  }

  async run(): Promise<Pick<FuzzReport, 'byStatus' | 'rssBytesMax' | 'descriptors'>> {
    const { cycles, timeMs, onProgress } = this.#limits
    await this.#setScene()
    const created = await this.#admin(
      'POST',
      '/v1/logs',
      `{"name":"${WHOLE_LOG}","schema":{"id":"int32","row":"int32"}}`,
    )
    if (created !== 201) throw new Error(`the log of whole appends was answered with ${created}`)
    // What is loaded with the first query or the first stream is no leak.
    await this.#admin('POST', '/v1/sql', '{"sql":"SELECT 1"}')
    const rssBefore = this.#rss()
    const before = this.#descriptors()
    const isOver = timeLimit(timeMs)
    for (let done = 0; done < cycles && !isOver(); done += SCENE_EACH) {
      await this.#sendMany(Math.min(SCENE_EACH, cycles - done))
      await this.#setScene()
      this.#rssBytesMax = Math.max(this.#rssBytesMax, this.#rss())
      onProgress(`${done + SCENE_EACH} of ${cycles} requests`)
      if (this.#isDead) break
    }
    await this.#burst()
    const after = await this.#settled(before)
    const growth = this.#rssBytesMax - rssBefore
    if (growth > RSS_GROWTH_MAX)
      this.#counts.violation('wrong', 'I11', `the process grew by ${growth} bytes`)
    if (!this.#isDead) await this.#look()
    return {
      byStatus: this.#byStatus,
      rssBytesMax: this.#rssBytesMax,
      descriptors: { before, after },
    }
  }

  /** Each worker sends one after the other; what is sent is drawn before, so that a seed is one list of requests. */
  async #sendMany(count: number): Promise<void> {
    const work = Array.from({ length: count }, () => this.#draw())
    const workers = Array.from({ length: IN_FLIGHT }, async () => {
      for (let send = work.pop(); send !== undefined; send = work.pop()) await send()
    })
    await Promise.all(workers)
  }

  /** Many bombs of senders that do not wait: each of them may be large in the server at the same time. */
  async #burst(): Promise<void> {
    for (let sent = 0; sent < BURST; sent++) {
      const request = bomb(this.#random, this.#tokens)
      await askRaw(this.#port, { ...request, behaviour: 'ends' })
    }
    const endAt = systemClock.monotonic() + BURST_MS
    while (systemClock.monotonic() < endAt) {
      this.#rssBytesMax = Math.max(this.#rssBytesMax, this.#rss())
      await systemClock.sleep(50)
    }
  }

  #draw(): () => Promise<void> {
    this.#counts.tried++
    if (randomFraction(this.#random) < 0.1) {
      const { id, request } = this.#whole.request(this.#random, this.#tokens.admin)
      return async () => {
        const answer = await askRaw(this.#port, request)
        this.#whole.answered(id, answer)
        this.#judge(request.bytes, false, answer)
      }
    }
    const request = badRequest(this.#random, this.#tokens)
    return async () =>
      this.#judge(request.bytes, request.isForbidden, await askRaw(this.#port, request))
  }

  #judge(bytes: Buffer, isForbidden: boolean, { status, head, isHung }: RawAnswer): void {
    this.#byStatus[status] = (this.#byStatus[status] ?? 0) + 1
    const what = JSON.stringify(bytes.subarray(0, 600).toString('latin1'))
    // A query that asks for less time than it takes is told so.
    const isTimeout = status === 504 && bytes.includes('"timeout"')
    if (status >= 500 && status !== 503 && !isTimeout)
      this.#counts.violation('wrong', 'I7', `answered with ${status}: ${what}`)
    if (isHung) this.#counts.violation('hung', 'I11', `neither answered nor closed: ${what}`)
    if (isForbidden && status >= 200 && status < 300)
      this.#counts.violation(
        'wrong',
        'I2',
        `what is another's was answered with ${status}: ${what}`,
      )
    if (INJECTED.test(head)) this.#counts.violation('wrong', 'I7', `a header was made up: ${what}`)
  }

  /** What the requests are about; some of them delete it. */
  async #setScene(): Promise<void> {
    for (const name of ['l', 'tenant-a.orders', 'tenant-b.orders'])
      await this.#admin('POST', '/v1/logs', JSON.stringify({ name }))
    for (const [path, type] of [
      ['s', 'text/plain'],
      ['j', 'application/json'],
    ] as const)
      await this.#admin('PUT', `/v1/stream/${path}`, '', type)
  }

  async #admin(
    method: string,
    path: string,
    body: string,
    type = 'application/json',
  ): Promise<number> {
    const headers = { authorization: `Bearer ${this.#tokens.admin}`, 'content-type': type }
    try {
      const init = method === 'GET' ? { method, headers } : { method, headers, body }
      const answer = await this.#server.fetch(path, init)
      await answer.arrayBuffer()
      return answer.status
    } catch {
      return 0
    }
  }

  /** What was acknowledged is there, and the server works. */
  async #look(): Promise<void> {
    const db = await connect(this.#server.url, { token: this.#tokens.admin })
    const rows = await db
      .log(WHOLE_LOG)
      .read({ columns: ['id', 'row'] })
      .toArray()
    this.#whole.check(
      rows.map(({ id, row }) => ({ id: Number(id), row: Number(row) })),
      this.#counts,
    )
    const ready = await this.#admin('GET', '/readyz', '')
    if (ready !== 200) this.#counts.violation('wrong', 'I12', `/readyz is answered with ${ready}`)
  }

  get #isDead(): boolean {
    try {
      process.kill(this.#server.pid, 0)
      return false
    } catch {
      this.#counts.violation(
        'crashed',
        'I11',
        `the server died: ${this.#server.stderr.slice(-2_000)}`,
      )
      return true
    }
  }

  /** Descriptors once connections that end have ended. */
  async #settled(before: number): Promise<number> {
    const endAt = systemClock.monotonic() + SETTLES_WITHIN_MS
    let now = this.#descriptors()
    while (now > before + DESCRIPTORS_SLACK && systemClock.monotonic() < endAt) {
      await systemClock.sleep(200)
      now = this.#descriptors()
    }
    if (now > before + DESCRIPTORS_SLACK)
      this.#counts.violation('wrong', 'I11', `${now} descriptors are open; it began with ${before}`)
    return now
  }

  #descriptors(): number {
    return readdirSync(`/proc/${this.#server.pid}/fd`).length
  }

  #rss(): number {
    const status = readFileSync(`/proc/${this.#server.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
  }
}
