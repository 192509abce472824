/**
 * Appends far more than the budget holds to logs of every eviction policy, with readers that come and go, and looks at
 * the process from outside: its true memory stays under the budget and a stated constant, every record that was
 * acknowledged is readable or counted as gone, and what is readable is what was appended.
 */
import { type Random, seededRandom } from '../../src/base/random.ts'
import { type Batch, type Log, Stratalog } from '../../src/index.ts'
import { SoakCounts, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

export interface MemorySoakOptions {
  readonly logs: number
  readonly records: number
  readonly budgetBytes: number
  readonly seed: number
  /** It appends no more after so long. */
  readonly timeMs: number
}

/** `tried` and `acknowledged` are records. */
export interface MemorySoakReport extends SoakReport {
  readonly logs: number
  readonly budgetBytes: number
  readonly appendedBytes: number
  readonly evictedRecords: number
  readonly expiredRecords: number
  readonly readRecords: number
  readonly usedBytesMax: number
  /** Of the process, before the first log and at its highest. */
  readonly rssBytesBefore: number
  readonly rssBytesMax: number
  readonly rssBytesAllowed: number
}

/**
 * What the process may take beside the budget, as docs/memory.md says: memory kept for reuse, V8's heap with what it
 * has not collected yet, and the objects of each log, of which V8 keeps up to four times as much before it collects.
 */
export const RSS_CONSTANT_BYTES: number = 256 * 1024 * 1024
export const RSS_LOG_BYTES: number = 28 * 1024

/** Of the bytes of its records, that memory takes at the end: open batches have room, and texts have positions. */
const USE_FACTOR = 4

const POLICIES = ['fifo', 'lru', 'ttl', 'priority'] as const
const APPEND_RECORDS_MAX = 1_000

export async function memorySoak(options: MemorySoakOptions): Promise<MemorySoakReport> {
  const soak = new MemorySoak(options)
  return soak.run()
}

class MemorySoak {
  readonly #options: MemorySoakOptions
  readonly #random: Random
  readonly #logs: Log[] = []
  /** By log. */
  readonly #appended: Float64Array
  readonly #counts: SoakCounts
  #appendedBytes = 0
  #readRecords = 0
  #usedBytesMax = 0

  constructor(options: MemorySoakOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#appended = new Float64Array(options.logs)
    const { logs, records, seed } = options
    const rerun = `npm run soak -- memory --logs ${logs} --records ${records} --seed ${seed}`
    this.#counts = new SoakCounts('memory', seed, rerun)
  }

  async run(): Promise<MemorySoakReport> {
    const { logs, records: wanted, budgetBytes, timeMs } = this.#options
    const isOver = timeLimit(timeMs)
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: budgetBytes })
    const rssBytesBefore = process.memoryUsage.rss()
    for (let index = 0; index < logs; index++) {
      const evictionPolicy = POLICIES[index % POLICIES.length] ?? 'fifo'
      this.#logs.push(
        await db.createLog(`log-${index}`, { storage: { mode: 'memory', evictionPolicy } }),
      )
    }
    let records = 0
    for (let step = 0; records < wanted && !isOver(); step++) {
      const count = 1 + (this.#random.uint32() % this.#appendMax)
      records += await this.#append(Math.min(wanted - records, count))
      if (step % 20 === 0) await this.#read(this.#random.uint32() % logs)
      if (step % this.#lookSteps === 0) this.#lookAtUse(db.memoryMetrics())
    }
    for (let index = 0; index < Math.min(logs, 200); index++) await this.#read(index)
    this.#counts.tried = records
    this.#counts.acknowledged = records
    const metrics = db.memoryMetrics()
    this.#lookAtUse(metrics)
    const known = metrics.recordCount + metrics.evictionCount + metrics.expiredRecords
    if (known !== records)
      this.#violation(`${records} records were acknowledged, and ${known} are there or counted`)
    const recordBytes = this.#appendedBytes / records
    if (metrics.usedBytes > USE_FACTOR * recordBytes * metrics.recordCount)
      this.#violation(
        `${metrics.usedBytes} bytes are in use for ${metrics.recordCount} records of ${recordBytes}: leases were kept`,
      )
    const rssBytesMax = process.resourceUsage().maxRSS * 1024
    const rssBytesAllowed = rssBytesBefore + budgetBytes + RSS_CONSTANT_BYTES + logs * RSS_LOG_BYTES
    if (rssBytesMax > rssBytesAllowed)
      this.#violation(`the process took ${rssBytesMax} bytes, allowed are ${rssBytesAllowed}`)
    return {
      ...this.#counts.report(),
      logs,
      budgetBytes,
      appendedBytes: this.#appendedBytes,
      evictedRecords: metrics.evictionCount,
      expiredRecords: metrics.expiredRecords,
      readRecords: this.#readRecords,
      usedBytesMax: this.#usedBytesMax,
      rssBytesBefore,
      rssBytesMax,
      rssBytesAllowed,
    }
  }

  /** Many logs come with small appends, so that each of them holds little. */
  get #appendMax(): number {
    return this.#options.logs > 10_000 ? 20 : APPEND_RECORDS_MAX
  }

  /** A look names every log. */
  get #lookSteps(): number {
    return Math.max(200, this.#options.logs / 5)
  }

  async #append(count: number): Promise<number> {
    const index = this.#random.uint32() % this.#logs.length
    const log = this.#logs[index]
    if (log === undefined) return 0
    const first = this.#appended[index] ?? 0
    const rows = Array.from({ length: count }, (_, row) => recordOf(first + row))
    const dice = this.#random.uint32()
    await log.append(rows, {
      ...(dice % 3 === 0 ? { ttl: 1_000 + (dice % 600_000) } : {}),
      ...(dice % 5 === 0 ? { priority: dice % 7 } : {}),
    })
    this.#appended[index] = first + count
    for (const row of rows) this.#appendedBytes += 16 + row.text.length
    return count
  }

  /** Reads a log whole, or leaves half way, which has to give its leases back. */
  async #read(index: number): Promise<void> {
    const log = this.#logs[index]
    if (log === undefined) return
    const leaveAt = this.#random.uint32() % 3 === 0 ? 1 : Infinity
    let batches = 0
    for await (const batch of log.read({ onGap: 'skip' })) {
      this.#check(batch, log.name)
      if (++batches >= leaveAt) return
    }
  }

  #check(batch: Batch, name: string): void {
    for (const row of batch.toRows()) {
      this.#readRecords++
      const offset = Number(row['_offset'])
      const { n, text } = recordOf(offset)
      if (row['n'] !== n || row['text'] !== text)
        this.#violation(`${name}: offset ${offset} reads as ${JSON.stringify(row)}`)
    }
  }

  #lookAtUse({ usedBytes, maxBytes }: { usedBytes: number; maxBytes: number }): void {
    this.#usedBytesMax = Math.max(this.#usedBytesMax, usedBytes)
    if (usedBytes > maxBytes) this.#violation(`${usedBytes} of ${maxBytes} bytes are in use`)
  }

  #violation(text: string): void {
    this.#counts.violation('wrong', 'I11', text)
  }
}

/** A record that tells by itself at which offset it belongs. */
function recordOf(offset: number): { n: number; even: boolean; event: string; text: string } {
  return {
    n: offset * 3,
    even: offset % 2 === 0,
    event: `event-${offset % 5}`,
    text: `${offset}:`.padEnd(8 + ((offset * 7919) % 250), 'abcdefghij'),
  }
}
