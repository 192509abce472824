/**
 * A drill: a restore that is measured and judged. It restores the archive into a scratch engine, reads every record
 * back from it, and holds the result against the archive's manifest and, when there is one, against the live engine.
 *
 * PASS means: every object was there with the length, SHA-256 and row count that the manifest says; offsets are without
 * gaps; the counts are the manifest's; snapshots can be had; the bucket holds nothing newer than its manifest; the live
 * engine is the one that writes the archive, and where both have records, as both do, they are equal by content hash;
 * and every check gave what was expected. Anything else is a FAIL whose reasons name the object and the offsets, and so
 * is what proves nothing. How far the archive is behind the live engine is measured, not judged.
 */
import type { Clock } from '../base/clock.ts'
import { isStratalogError, throwIfAborted, toStratalogError } from '../base/errors.ts'
import type { LogDefinition } from '../format/manifest.ts'
import type { Archive } from '../log/archive-view.ts'
import { latestHashOf } from '../log/latest-hash.ts'
import type { CorruptObject, MissingObject } from '../log/segment-damage.ts'
import {
  gapReasons,
  place,
  recordsNamed,
  snapshotReasons,
  uncommittedReasons,
  unnamedReasons,
} from './archive-audit.ts'
import { type Comparison, compareLogs } from './compare.ts'
import type { DrillCheck, DrillReport } from './drill-report.ts'
import type { DrillStep } from './drill-timeline.ts'
import type { LiveEngine, LiveLogFacts, LiveSide } from './live-side.ts'
import { type ReplayProgress, type ReplaySource, replay } from './replay.ts'
import type { ReplayReport } from './report.ts'
import { functionSink } from './sink.ts'

/** What the restore into scratch says. */
export interface DrillRestore {
  readonly plan: { readonly bytes: number }
  readonly records: number
  readonly elapsedMs: number
  readonly missing: readonly MissingObject[]
  readonly corrupt: readonly CorruptObject[]
  /** Records that were to come back, by the name of their log: all that the archive names, or the sample. */
  readonly planned: ReadonlyMap<string, number>
}

/** An engine on what was restored. Log names and ids are the archive's. */
export interface DrillEngine extends ReplaySource {
  /** The rows of a query, as `sql --json` prints them. */
  query(sql: string, signal?: AbortSignal): Promise<unknown>
  close(): Promise<void>
}

/** A place to restore into, which nothing else uses. The engine in it must not touch the archive. */
export interface DrillScratch {
  restore(archive: Archive, signal?: AbortSignal): Promise<DrillRestore>
  open(): Promise<DrillEngine>
  remove(): Promise<void>
}

export interface DrillSubject {
  /** Opens the archive. Called again to tell a stale manifest from one that was just being written. */
  readonly open: () => Promise<Archive>
  readonly scratch: () => Promise<DrillScratch>
  /** The live engine, its logs pinned before the drill began; null without one. */
  readonly against: LiveEngine | null
  readonly checks?: readonly { readonly sql: string; readonly expected: unknown }[]
}

export interface DrillOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
}

/**
 * @throws StratalogError `archive_not_found`, `aborted`, and what says nothing about the data: an
 * unavailable store, a full disk.
 */
export async function drill(
  subject: DrillSubject,
  options: DrillOptions,
  ports: { readonly clock: Clock },
): Promise<DrillReport> {
  const run = new DrillRun(subject, options, ports.clock)
  return run.run()
}

const NOTHING_REPLAYED: ReplayReport = {
  records: 0,
  bytes: 0,
  since: null,
  until: null,
  elapsedMs: 0,
  recordsPerSecond: 0,
  bytesPerSecond: 0,
  logs: [],
  missing: [],
  corrupt: [],
  limitedBy: null,
  resumePoint: { logs: [] },
}

class DrillRun {
  readonly #subject: DrillSubject
  readonly #options: DrillOptions
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #reasons: string[] = []
  readonly #timeline: DrillStep[] = []
  #replayed: ReplayReport = NOTHING_REPLAYED
  #restored: DrillRestore | null = null
  #rtoMs = 0
  #comparisons: readonly Comparison[] | null = null
  #checks: readonly DrillCheck[] = []

  constructor(subject: DrillSubject, options: DrillOptions, clock: Clock) {
    this.#subject = subject
    this.#options = options
    this.#clock = clock
    this.#startedMs = clock.monotonic()
  }

  async run(): Promise<DrillReport> {
    let recordsInManifest = 0
    await this.#asReason('The archive cannot be read', async () => {
      const archive = await this.#step('open archive', () => this.#subject.open())
      recordsInManifest = archive.logs.reduce((sum, log) => sum + recordsNamed(log), 0)
      await this.#step('audit', () => this.#audit(archive))
      await this.#rehearse(archive)
    })
    return this.#report(recordsInManifest)
  }

  /** What the manifest and the bucket say without reading a segment. */
  async #audit(archive: Archive): Promise<void> {
    this.#reasons.push(...foreignReasons(archive, this.#subject.against))
    for (const log of archive.logs) this.#reasons.push(...gapReasons(log))
    for (const snapshot of archive.snapshots)
      this.#reasons.push(...snapshotReasons(archive, snapshot))
    for (const live of this.#liveLogs(archive) ?? [])
      this.#reasons.push(...uncommittedReasons(archive, live))
    this.#reasons.push(...(await unnamedReasons(archive, this.#subject.open)))
  }

  async #rehearse(archive: Archive): Promise<void> {
    const { signal } = this.#options
    const startedMs = this.#clock.monotonic()
    const scratch = await this.#subject.scratch()
    try {
      this.#restored = await this.#step('restore', () => scratch.restore(archive, signal))
      this.#addDamages(this.#restored.missing, this.#restored.corrupt)
      await this.#asReason('What was restored cannot be opened', async () => {
        const engine = await this.#step('open engine', () => scratch.open())
        try {
          this.#rtoMs = this.#clock.monotonic() - startedMs
          await this.#verify(archive, engine)
        } finally {
          await engine.close()
        }
      })
    } finally {
      await scratch.remove()
    }
  }

  async #verify(archive: Archive, engine: DrillEngine): Promise<void> {
    const { signal, onProgress } = this.#options
    const sink = { ...functionSink(() => {}), latestHash: latestIn(engine, signal) }
    this.#replayed = await this.#step('verify', () =>
      replay(engine, sink, { signal, onProgress }, { clock: this.#clock }),
    )
    this.#addDamages(this.#replayed.missing, this.#replayed.corrupt)
    this.#count(archive)
    const live = this.#liveLogs(archive)
    if (live !== null) await this.#step('compare', () => this.#compare(archive, engine, live))
    for (const { sql, expected } of this.#subject.checks ?? []) {
      throwIfAborted(signal)
      const check = await this.#step('check', () => this.#check(engine, sql, expected))
      this.#checks = [...this.#checks, check]
    }
  }

  async #step<T>(step: DrillStep['step'], work: () => Promise<T>): Promise<T> {
    const fromMs = Math.round(this.#clock.monotonic() - this.#startedMs)
    try {
      return await work()
    } finally {
      const toMs = Math.round(this.#clock.monotonic() - this.#startedMs)
      this.#timeline.push({ step, fromMs, toMs })
    }
  }

  /** Every record that the manifest names came back, but for those in objects that were named as damaged. */
  #count(archive: Archive): void {
    for (const log of archive.logs) {
      const { name } = log.definition
      const damaged = [...(this.#restored?.missing ?? []), ...(this.#restored?.corrupt ?? [])]
      const lost = damaged
        .filter((object) => object.log === name)
        .reduce((sum, { from, to }) => sum + to - from, 0)
      const records = this.#replayed.logs.find((replayed) => replayed.name === name)?.records ?? 0
      const planned = this.#restored?.planned.get(name) ?? 0
      if (records === planned || (lost > 0 && records < planned)) continue
      this.#reasons.push(
        `Log '${name}' came back with ${records} records; the manifest names ${planned}.`,
      )
    }
  }

  /** Null without a live engine, and of one that does not write this archive: logs of its ids are other logs. */
  #liveLogs(archive: Archive): readonly LiveSide[] | null {
    const { against } = this.#subject
    return against === null || isForeign(archive, against) ? null : against.logs
  }

  async #compare(
    archive: Archive,
    engine: DrillEngine,
    against: readonly LiveSide[],
  ): Promise<void> {
    const comparisons: Comparison[] = []
    const restored = engine.views()
    try {
      for (const live of against.filter((side) => isArchived(archive, side))) {
        const { id } = live
        const other = restored.find((view) => view.definition.id === id) ?? null
        const compared = await compareLogs(
          live,
          other,
          archive.state.logs.get(id) ?? null,
          this.#options.signal,
        )
        this.#reasons.push(...compared.reasons)
        comparisons.push(compared)
      }
    } finally {
      for (const view of restored) view.release()
    }
    this.#comparisons = comparisons
  }

  async #check(engine: DrillEngine, sql: string, expected: unknown): Promise<DrillCheck> {
    try {
      const actual = await engine.query(sql, this.#options.signal)
      const passed = canonical(actual) === canonical(expected)
      if (!passed)
        this.#reasons.push(
          `Check ${sql} gave ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}.`,
        )
      return { sql, expected, actual, passed, error: null }
    } catch (error) {
      throwIfAborted(this.#options.signal)
      const { message } = toStratalogError(error)
      this.#reasons.push(`Check ${sql} failed: ${message}`)
      return { sql, expected, actual: null, passed: false, error: message }
    }
  }

  #addDamages(missing: readonly MissingObject[], corrupt: readonly CorruptObject[]): void {
    for (const object of missing) {
      this.#reasons.push(`Object ${object.key} is missing: ${placeOf(object)}.`)
    }
    for (const object of corrupt) {
      const where = object.position === null ? '' : ` near byte ${object.position}`
      this.#reasons.push(
        `Object ${object.key} is damaged (${object.kind})${where}: ${placeOf(object)}.`,
      )
    }
  }

  /** Turns damage into a reason; what is no damage goes on as an error. */
  async #asReason(what: string, step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (!isStratalogError(error) || error.kind !== 'corrupt') throw error
      this.#reasons.push(`${what}: ${error.message}`)
    }
  }

  #report(recordsInManifest: number): DrillReport {
    if (this.#reasons.length === 0 && recordsInManifest === 0) {
      this.#reasons.push('The archive holds no records, so nothing was proved.')
    }
    const comparisons = this.#comparisons
    const live = comparisons?.reduce((sum, { liveRecords }) => sum + liveRecords, 0) ?? 0
    const shared = comparisons?.reduce((sum, { sharedRecords }) => sum + sharedRecords, 0) ?? 0
    const behind = comparisons?.reduce((sum, { behindRecords }) => sum + behindRecords, 0) ?? null
    if (this.#reasons.length === 0 && comparisons !== null && !comparisons.some(isCompared))
      this.#reasons.push(unprovedReason(live, behind ?? 0))
    const { records } = this.#replayed
    const restored = this.#restored
    return {
      ...this.#replayed,
      elapsedMs: Math.round(this.#clock.monotonic() - this.#startedMs),
      missing: [...(restored?.missing ?? []), ...this.#replayed.missing],
      corrupt: [...(restored?.corrupt ?? []), ...this.#replayed.corrupt],
      verdict: this.#reasons.length === 0 ? 'PASS' : 'FAIL',
      reasons: this.#reasons,
      coverage:
        this.#subject.against === null
          ? part(records, recordsInManifest)
          : part(Math.min(shared, records), live),
      rtoMs: Math.round(this.#rtoMs),
      rpoMs:
        comparisons === null ? null : Math.max(0, ...comparisons.map(({ behindMs }) => behindMs)),
      rpoRecords: behind,
      bytesPerSecond:
        restored === null
          ? 0
          : Math.round((restored.plan.bytes * 1000) / Math.max(1, restored.elapsedMs)),
      hashEqual: allOf(comparisons?.map(({ isEqual }) => isEqual) ?? []),
      latestEqual: allOf(comparisons?.map(({ isLatestEqual }) => isLatestEqual) ?? []),
      checks: this.#checks,
      timeline: this.#timeline,
    }
  }
}

/** The latest views of an engine on what was restored. */
function latestIn(
  engine: DrillEngine,
  signal: AbortSignal | undefined,
): (log: LogDefinition) => Promise<string | null> {
  return async ({ name, keyColumn }) => {
    if (keyColumn === null) return null
    const [view] = engine.views([name])
    try {
      return view === undefined ? null : await latestHashOf(view, { signal })
    } finally {
      view?.release()
    }
  }
}

/** A log that is meant to be in the archive: one that is there, or whose policy says so. */
function isArchived(archive: Archive, live: LiveLogFacts): boolean {
  return archive.state.logs.has(live.id) || live.isArchived
}

function isForeign(archive: Archive, { engineId }: LiveEngine): boolean {
  return engineId !== archive.state.engineId
}

function foreignReasons(archive: Archive, against: LiveEngine | null): readonly string[] {
  if (against === null || !isForeign(archive, against)) return []
  const who = against.engineId === null ? 'has no id of its own' : `is ${against.engineId}`
  return [
    `The archive is of engine ${archive.state.engineId}, and the live engine ${who}: nothing of it was compared. Name the data directory or the server that writes this archive.`,
  ]
}

function isCompared({ isEqual, isLatestEqual }: Comparison): boolean {
  return isEqual !== null || isLatestEqual !== null
}

function unprovedReason(live: number, behind: number): string {
  return live === 0
    ? 'The live engine has no records of logs that are archived, so nothing was proved against it.'
    : `None of the ${live} records of the live engine can be compared with the archive, so nothing was proved against it: ${behind} of them are not archived yet.`
}

/** Null where nothing was compared. */
function allOf(equal: readonly (boolean | null)[]): boolean | null {
  const compared = equal.filter((one) => one !== null)
  return compared.length === 0 ? null : compared.every(Boolean)
}

function placeOf({ log, partition, from, to }: MissingObject): string {
  return place(log, partition, from, to)
}

function part(count: number, of: number): number {
  return of === 0 ? 0 : count / of
}

/** JSON with the keys in order, so that equal values are equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === 'bigint') return item.toString()
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  })
}
