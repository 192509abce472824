/** The steps of the demo, in order, each with what it measured. */
import { rm } from 'node:fs/promises'
import { formatDuration } from '../../base/units.ts'
import { Progress } from '../progress.ts'
import type { Session } from '../session.ts'
import type { DemoPlace } from './demo-place.ts'
import type { DemoReport, DemoTimes, QueryReport } from './demo-report.ts'
import { EngineProcess } from './engine-process.ts'
import { readFlightRows } from './flight-rows.ts'
import type { FlightSource } from './flights.ts'
import { Oracle, type Truth } from './oracle.ts'
import type { CallName, Calls, TierFacts } from './protocol.ts'
import { QUESTIONS } from './questions.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Records in one append while the tiers are filled. */
const BATCH_RECORDS = 32_768
/** Appends of the write that is killed: many small ones, so that it is killed in the middle. */
const KILLED_APPENDS = 300
/** Records that are kept back for the write that is killed, at most. */
const KILL_RECORDS_MAX = 150_000

export interface DemoOutcome {
  readonly report: DemoReport
  readonly times: DemoTimes
}

export class DemoRun {
  readonly #session: Session
  readonly #place: DemoPlace
  readonly #source: FlightSource
  readonly #records: number
  readonly #oracle: Oracle
  #engine: EngineProcess | null = null
  #shiftMs = 0
  #requests = 0
  #appendMs = 0
  #archiveMs = 0

  constructor(session: Session, place: DemoPlace, source: FlightSource, records: number) {
    this.#session = session
    this.#place = place
    this.#source = source
    this.#records = records
    this.#oracle = new Oracle(readFlightRows(source, records))
  }

  /** Kills the engine process, if there is one. */
  async stop(): Promise<void> {
    await this.#engine?.kill()
  }

  async run(): Promise<DemoOutcome> {
    const { clock } = this.#session
    const startedAt = clock.monotonic()
    const loaded = this.#records - Math.min(KILL_RECORDS_MAX, Math.ceil(this.#records / 10))
    // The oracle goes through the source while the engine takes the records in.
    const truth = this.#oracle.truthAt(loaded)
    truth.catch(() => {})

    await this.#start({ create: true })
    await this.#fillTiers(loaded)
    const { tiers } = await this.#call('tiers', {})
    const queries = await this.#askQuestions(await truth)
    await this.#archiving('snapshot', () => this.#call('snapshot', { name: 'demo' }))
    const acknowledged = await this.#killDuringWrite(loaded)
    const recovery = await this.#recover(acknowledged)
    await this.#load(this.#records, BATCH_RECORDS, 'append the rest')
    const archived = await this.#archiving('archive all', () => this.#call('archive', {}))
    const stored = (await this.#call('tiers', {})).tiers
    await this.#finish()
    await this.#step('delete the data directory', () =>
      rm(this.#place.dataDir, { recursive: true, force: true }),
    )
    const { restored, verified, whole } = await this.#restore()

    const compression = Math.round((whole.bytes / Math.max(1, stored.object.bytes)) * 100) / 100
    const reasons = [
      ...tierProblems(tiers),
      ...queries.filter((query) => !query.isRight).map((query) => `wrong answer: ${query.sql}`),
      ...(recovery.lost === 0 ? [] : [`${recovery.lost} acknowledged records were lost`]),
      ...(recovery.hashEqual ? [] : ['the recovered records are not those of the source']),
      ...(archived.failed === 0 ? [] : [`${archived.failed} partitions could not be archived`]),
      ...(verified.records === this.#records
        ? []
        : [`${verified.records} records were restored of ${this.#records}`]),
      ...(verified.hash === whole.hash ? [] : ['the restored records are not those of the source']),
    ]
    const report: DemoReport = {
      records: this.#records,
      source: this.#source.kind,
      archive: this.#place.archive,
      tiers,
      queries,
      recovery: {
        acknowledged,
        lost: recovery.lost,
        elapsedMs: recovery.elapsedMs,
        hashEqual: recovery.hashEqual,
      },
      restore: {
        records: verified.records,
        elapsedMs: restored.elapsedMs,
        hashEqual: verified.hash === whole.hash,
      },
      hash: verified.hash,
      compression,
      requests: this.#requests,
      verdict: reasons.length === 0 ? 'PASS' : 'FAIL',
      reasons,
      elapsedMs: Math.round(clock.monotonic() - startedAt),
    }
    const times: DemoTimes = {
      appended: { records: this.#records, elapsedMs: this.#appendMs },
      archived: { records: this.#records, elapsedMs: this.#archiveMs },
      recovered: recovery.records,
      verified: { records: verified.records, elapsedMs: verified.elapsedMs },
    }
    return { report, times }
  }

  /** A third of the records ages until only the archive has it, a third until only the disk has, a third stays in RAM. */
  async #fillTiers(loaded: number): Promise<void> {
    await this.#load(Math.ceil(loaded / 3), BATCH_RECORDS, 'append, then two days pass')
    await this.#archiving('move to the archive', () => this.#age(2 * DAY_MS))
    await this.#load(Math.ceil((loaded * 2) / 3), BATCH_RECORDS, 'append, then two hours pass')
    await this.#step('move to the disk', () => this.#age(2 * HOUR_MS))
    await this.#load(loaded, BATCH_RECORDS, 'append; these stay in RAM')
  }

  async #askQuestions(truth: Truth): Promise<readonly QueryReport[]> {
    const reports: QueryReport[] = []
    for (const { text, sql, isRight } of QUESTIONS) {
      const answer = await this.#step(text, () => this.#call('query', { sql }))
      const { elapsedMs, recordsByTier } = answer
      reports.push({ sql, elapsedMs, recordsByTier, isRight: isRight(answer, truth) })
    }
    return reports
  }

  /** Kills the process when about half of what is left is acknowledged; returns how many records are. */
  async #killDuringWrite(loaded: number): Promise<number> {
    this.#requests += (await this.#call('tiers', {})).requests
    const engine = this.#running
    const killAt = loaded + (this.#records - loaded) / 2
    await this.#step('kill -9 in the middle of a write', async () => {
      const killed = new Promise<void>((resolve) => {
        engine.onAck((acked) => {
          if (acked >= killAt) resolve(engine.kill())
        })
      })
      const { source, total, to, batchRecords } = this.#loadRequest(
        this.#records,
        Math.ceil((this.#records - loaded) / KILLED_APPENDS),
      )
      // The answer never comes when the kill comes first.
      engine.call('load', { source, total, to, batchRecords }).catch(() => {})
      await killed
    })
    return engine.acked
  }

  async #recover(acknowledged: number): Promise<{
    readonly records: number
    readonly lost: number
    readonly elapsedMs: number
    readonly hashEqual: boolean
  }> {
    const { endOffset, elapsedMs } = await this.#step('recover', () =>
      this.#start({ create: false }),
    )
    const found = await this.#step('compare with the source', () => this.#call('hash', {}))
    const truth = await this.#oracle.truthAt(endOffset)
    return {
      records: endOffset,
      lost: Math.max(0, acknowledged - endOffset),
      elapsedMs,
      hashEqual: found.records === endOffset && found.hash === truth.hash,
    }
  }

  async #restore(): Promise<{
    readonly restored: Calls['restore']['answer']
    readonly verified: Calls['hash']['answer']
    readonly whole: Truth
  }> {
    const engine = new EngineProcess()
    this.#engine = engine
    const restored = await this.#step('restore from the archive alone', () =>
      this.#call('restore', this.#placeRequest()),
    )
    await this.#call('open', { ...this.#placeRequest(), shiftMs: this.#shiftMs, create: false })
    const verified = await this.#step('compare with the source', () => this.#call('hash', {}))
    const whole = await this.#oracle.truthAt(this.#records)
    await this.#finish()
    return { restored, verified, whole }
  }

  async #start(options: { readonly create: boolean }): Promise<Calls['open']['answer']> {
    this.#engine = new EngineProcess()
    return await this.#call('open', {
      ...this.#placeRequest(),
      shiftMs: this.#shiftMs,
      create: options.create,
    })
  }

  async #finish(): Promise<void> {
    const { requests } = await this.#call('close', {})
    this.#requests += requests
    await this.#running.end()
  }

  async #load(to: number, batchRecords: number, label: string): Promise<void> {
    const engine = this.#running
    const progress = new Progress(this.#session, label)
    engine.onAck((acked) => progress.update({ done: acked, total: this.#records, unit: 'records' }))
    const { elapsedMs } = await this.#call('load', this.#loadRequest(to, batchRecords))
    progress.end()
    this.#tell(label, elapsedMs)
    this.#appendMs += elapsedMs
  }

  async #age(ms: number): Promise<void> {
    this.#shiftMs += ms
    await this.#call('age', { ms })
  }

  /** A step that brings records to the archive: each record gets there in one of them. */
  async #archiving<T>(label: string, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#session
    const startedAt = clock.monotonic()
    try {
      return await this.#step(label, work)
    } finally {
      this.#archiveMs += Math.round(clock.monotonic() - startedAt)
    }
  }

  async #step<T>(label: string, work: () => Promise<T>): Promise<T> {
    this.#session.signal.throwIfAborted()
    const { clock } = this.#session
    const startedAt = clock.monotonic()
    const progress = new Progress(this.#session, `${label} …`)
    progress.update({ done: 0, total: null })
    try {
      return await work()
    } finally {
      progress.end()
      this.#tell(label, clock.monotonic() - startedAt)
    }
  }

  /** A finished step, for people who watch. */
  #tell(label: string, elapsedMs: number): void {
    const { terminal, json } = this.#session
    if (terminal.notesAreSeen && !json)
      terminal.note(`${label}  ${terminal.style('dim', formatDuration(elapsedMs))}`)
  }

  #call<Name extends CallName>(
    name: Name,
    request: Calls[Name]['request'],
  ): Promise<Calls[Name]['answer']> {
    this.#session.signal.throwIfAborted()
    return this.#running.call(name, request)
  }

  get #running(): EngineProcess {
    if (this.#engine === null) throw new Error('the engine process was started')
    return this.#engine
  }

  #loadRequest(to: number, batchRecords: number): Calls['load']['request'] {
    return { source: this.#source, total: this.#records, to, batchRecords }
  }

  #placeRequest(): Calls['restore']['request'] {
    const { dataDir, archive, s3 } = this.#place
    return { dataDir, archive, s3 }
  }
}

/** Every tier has a part of the records, or the demo showed less than it says. */
function tierProblems(tiers: TierFacts): readonly string[] {
  return (['memory', 'disk', 'object'] as const)
    .filter((tier) => tiers[tier].records === 0)
    .map((tier) => `no record was in ${tier} when the questions were asked`)
}
