/**
 * The scrubber: looks whether every copy of every segment is still what the manifests say, and repairs what is not.
 *
 * - In the background, slowly: whether copies are there and have their length, seven times in an interval; their
 * bytes,   once. What is read of them keeps to a rate. No LIST is asked of the archive; a look at an object is one
 * HEAD, and   where that says no checksum the object is fetched.
 * - On demand, all of it at once.
 *
 * Damage looks the same twice before it is believed: a body that was cut off on its way is none. What is found stays
 * known until the copy is sound again, or no manifest names it.
 */
import { present } from '../base/assert.ts'
import type { Timer } from '../base/clock.ts'
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import type { SegmentDamage } from '../log/segment-damage.ts'
import type { TieringContext } from './context.ts'
import { type SegmentCopy, copiesOf, countCopies, isNamed, otherCopy } from './scrub-copies.ts'
import { type LookDepth, lookAt } from './scrub-look.ts'
import { ScrubPass } from './scrub-pass.ts'
import { type Quarantine, repairCopy } from './scrub-repair.ts'
import type { ScrubProblem, ScrubReport, ScrubStatus } from './scrub-report.ts'

/** Presence is looked at so many times in an interval. */
const PRESENCE_LOOKS = 7
/** Steps that are due closer to each other than this are taken together, ms. */
const TICK_MS = 250
/** Taken together at most. */
const TICK_COPIES_MAX = 64

export interface ScrubSettings {
  /** Every byte is read within this time, ms; 0: nothing is looked at by itself. */
  readonly intervalMs: number
  readonly bytesPerSecond: number
}

export interface ScrubOptions {
  /** Null: all. */
  readonly logIds: ReadonlySet<number> | null
  readonly repair: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ScrubProgress) => void) | undefined
}

export interface ScrubProgress {
  readonly copies: number
  readonly copiesTotal: number
  readonly bytes: number
}

interface Finding {
  readonly copy: SegmentCopy
  readonly damages: readonly SegmentDamage[]
  /** Why it was not repaired; null where nobody tried. */
  readonly obstacle: string | null
}

export class Scrubber {
  readonly #context: TieringContext
  readonly #quarantine: Quarantine
  readonly #settings: ScrubSettings
  readonly #passes: readonly { readonly depth: LookDepth; readonly pass: ScrubPass }[]
  readonly #looks = new Mutex()
  readonly #closing = new AbortController()
  readonly #findings = new Map<string, Finding>()
  readonly #counts = { copies: 0, bytes: 0, repaired: 0 }
  #lastError: string | null = null
  #timer: Timer | null = null

  constructor(context: TieringContext, quarantine: Quarantine, settings: ScrubSettings) {
    this.#context = context
    this.#quarantine = quarantine
    this.#settings = settings
    const { intervalMs } = settings
    const now = context.clock.monotonic()
    const source = { count: () => countCopies(context), copies: () => copiesOf(context, null) }
    this.#passes =
      intervalMs === 0
        ? []
        : [
            { depth: 'presence', pass: new ScrubPass(source, intervalMs / PRESENCE_LOOKS, now) },
            { depth: 'bytes', pass: new ScrubPass(source, intervalMs, now) },
          ]
  }

  /** Begins to look by itself. */
  start(): void {
    if (this.#passes.length === 0 || this.#closing.signal.aborted) return
    const { clock } = this.#context
    const nextAt = Math.min(...this.#passes.map(({ pass }) => pass.nextAt))
    this.#timer = clock.setTimer(Math.max(TICK_MS, nextAt - clock.monotonic()), () => {
      this.#looks
        .run(() => this.#tick())
        .catch((error: unknown) => this.#failed(error))
        .finally(() => this.start())
    })
  }

  /** Waits for the look that is under way, which ends early. */
  async close(): Promise<void> {
    this.#closing.abort(new StratalogError('engine_closed', 'The engine is closed.'))
    this.#timer?.cancel()
    await this.#looks.run(async () => {})
  }

  get status(): ScrubStatus {
    this.#forgetUnnamed()
    return {
      ...this.#settings,
      checkedCopies: this.#counts.copies,
      checkedBytes: this.#counts.bytes,
      repairedCopies: this.#counts.repaired,
      damagedCopies: this.#findings.size,
      lastError: this.#lastError,
    }
  }

  /** What is damaged or missing now, as far as is known. */
  problems(): readonly ScrubProblem[] {
    this.#forgetUnnamed()
    return [...this.#findings.values()].flatMap((finding) => this.#problemsOf(finding))
  }

  /**
   * Looks at every byte of every copy, now.
   * @throws StratalogError `store_unavailable`, `aborted`, `engine_closed`, `writer_fenced`.
   */
  scrub(options: ScrubOptions): Promise<ScrubReport> {
    const { signal } = this.#closing
    return this.#looks.run(async () => {
      try {
        throwIfAborted(signal)
        return await this.#scrubNow(options)
      } catch (error) {
        throw signal.aborted ? signal.reason : error
      }
    })
  }

  async #scrubNow({ logIds, repair, signal, onProgress }: ScrubOptions): Promise<ScrubReport> {
    const { clock, archive } = this.#context
    const startedAt = clock.monotonic()
    await archive?.manifest()
    const copiesTotal = countCopies(this.#context)
    const stop = this.#closing.signal
    const both = signal === undefined ? stop : AbortSignal.any([stop, signal])
    const repaired: ScrubProblem[] = []
    let [copies, bytes] = [0, 0]
    const pace = () => clock.yield()
    for (const copy of copiesOf(this.#context, logIds)) {
      repaired.push(...(await this.#check(copy, 'bytes', { repair, signal: both, pace })))
      copies++
      bytes += copy.segment.length
      onProgress?.({ copies, copiesTotal: Math.max(copies, copiesTotal), bytes })
    }
    const problems = this.problems().filter(({ log }) => isOf(this.#context, log, logIds))
    return {
      verdict: problems.length === 0 ? 'PASS' : 'FAIL',
      files: copies,
      bytes,
      problems,
      repaired,
      elapsedMs: Math.round(clock.monotonic() - startedAt),
    }
  }

  async #tick(): Promise<void> {
    const { clock } = this.#context
    const { signal } = this.#closing
    const pace = (bytes: number) => this.#wait((bytes / this.#settings.bytesPerSecond) * 1_000)
    for (let count = 0; count < TICK_COPIES_MAX; count++) {
      const due = this.#passes.flatMap(({ depth, pass }) => {
        const copy = signal.aborted ? null : pass.take(clock.monotonic())
        return copy === null ? [] : [{ copy, depth, pass }]
      })
      if (due.length === 0) return
      for (const { copy, depth, pass } of due) {
        try {
          await this.#check(copy, depth, { repair: true, signal, pace })
          this.#lastError = null
        } catch (error) {
          this.#failed(error)
          pass.failed(copy, clock.monotonic())
        }
      }
    }
  }

  /** The problems that were repaired. @throws StratalogError where nobody can tell what is there. */
  async #check(
    copy: SegmentCopy,
    depth: LookDepth,
    {
      repair,
      signal,
      pace,
    }: {
      readonly repair: boolean
      readonly signal: AbortSignal
      readonly pace: (bytes: number) => Promise<void>
    },
  ): Promise<readonly ScrubProblem[]> {
    const { disk, archive, metrics } = this.#context
    const ports = {
      disk: present(disk, 'what is scrubbed lies on a disk'),
      store: archive?.store ?? null,
      signal,
      pace,
    }
    if (!isNamed(this.#context, copy)) return []
    // Presence says nothing of bytes that were found damaged.
    const wanted = this.#findings.has(keyOf(copy)) ? 'bytes' : depth
    let damages = await lookAt(ports, copy, wanted)
    if (damages.length > 0) damages = await lookAt(ports, copy, 'bytes')
    const { tier } = copy
    this.#counts.copies++
    metrics.count('stratalog_scrub_copies_total', 1, { tier, depth })
    if (depth === 'bytes') {
      this.#counts.bytes += copy.segment.length
      metrics.count('stratalog_scrub_bytes_total', copy.segment.length, { tier })
    }
    // What lies in the archive may be dropped and collected while it is looked at.
    if (damages.length === 0 || !isNamed(this.#context, copy)) {
      if (this.#findings.delete(keyOf(copy))) this.#tellMetrics()
      return []
    }
    return this.#found(copy, damages, repair)
  }

  async #found(
    copy: SegmentCopy,
    damages: readonly SegmentDamage[],
    repair: boolean,
  ): Promise<readonly ScrubProblem[]> {
    const { logger, metrics } = this.#context
    const isNew = !this.#findings.has(keyOf(copy))
    this.#findings.set(keyOf(copy), { copy, damages, obstacle: null })
    const problems = this.#problemsOf({ copy, damages, obstacle: null })
    for (const { where, kind, log, partition, from, to, position } of isNew ? problems : [])
      logger.warn('A copy is damaged.', { where, kind, log, partition, from, to, position })
    this.#tellMetrics()
    if (!repair) return []
    const obstacle = await repairCopy(this.#context, this.#quarantine, copy)
    if (obstacle !== null) {
      this.#findings.set(keyOf(copy), { copy, damages, obstacle })
      return []
    }
    this.#findings.delete(keyOf(copy))
    this.#tellMetrics()
    if (!isNamed(this.#context, copy)) return []
    this.#counts.repaired++
    metrics.count('stratalog_scrub_repaired_total', 1, { tier: copy.tier })
    logger.info('A copy is repaired from the other one.', { where: this.#whereIs(copy) })
    return problems
  }

  #problemsOf({ copy, damages, obstacle }: Finding): readonly ScrubProblem[] {
    const { tier, log, partition } = copy
    return damages.map(({ kind, position, from, to, reason }) => ({
      where: this.#whereIs(copy),
      tier,
      position,
      kind,
      log,
      partition,
      from,
      to,
      readable: this.#isReadable(copy, from, to),
      reason: obstacle === null ? reason : `${reason} Not repaired: ${obstacle}`,
    }))
  }

  #isReadable(copy: SegmentCopy, from: number, to: number): boolean | null {
    const live = [...this.#context.logs()].find(({ id }) => id === copy.logId)
    const partition = live?.partitions[copy.partition]
    if (partition !== undefined && partition.hotStart <= from) return true
    const other = otherCopy(this.#context, copy)
    if (other === null) return false
    if (other.tier === 'object' && this.#context.archive === null) return null
    const damages = this.#findings.get(keyOf(other))?.damages ?? []
    return !damages.some((damage) => damage.from < to && from < damage.to)
  }

  #whereIs({ tier, location }: SegmentCopy): string {
    const { disk, archive } = this.#context
    return `${tier === 'disk' ? disk?.dataDir : archive?.store.url}/${location.object}`
  }

  #forgetUnnamed(): void {
    for (const [key, { copy }] of this.#findings)
      if (!isNamed(this.#context, copy)) this.#findings.delete(key)
  }

  #tellMetrics(): void {
    for (const tier of ['disk', 'object'] as const) {
      const damaged = [...this.#findings.values()].filter(({ copy }) => copy.tier === tier).length
      this.#context.metrics.gauge('stratalog_scrub_damaged_copies', damaged, { tier })
    }
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return
    const reason = isStratalogError(error) ? error.message : String(error)
    this.#context.metrics.count('stratalog_scrub_failures_total', 1)
    if (reason !== this.#lastError)
      this.#context.logger.warn('A copy could not be looked at; it is tried again.', { reason })
    this.#lastError = reason
  }

  /** Ends early when the engine closes; keeps no process alive. */
  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { signal } = this.#closing
    const timer = this.#context.clock.setTimer(ms, resolve)
    const end = (): void => {
      timer.cancel()
      resolve()
    }
    signal.addEventListener('abort', end, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', end))
  }
}

function keyOf({ tier, logId, partition, segment, location }: SegmentCopy): string {
  return `${tier} ${logId}/${partition}/${segment.baseOffset} ${location.object}`
}

function isOf({ logs }: TieringContext, name: string, logIds: ReadonlySet<number> | null): boolean {
  return logIds === null || [...logs()].some((log) => log.name === name && logIds.has(log.id))
}
