/** The steps of the demo, in order, each with what it measured. */
import { rm } from 'node:fs/promises'
import { formatDuration } from '../../base/units.ts'
import { Progress } from '../progress.ts'
import type { Session } from '../session.ts'
import type { DemoPlace } from './demo-place.ts'
import type { DemoReport, DemoTimes, QueryReport } from './demo-report.ts'
import { type DemoFindings, judgeDemo } from './demo-verdict.ts'
import { EngineProcess } from './engine-process.ts'
import { readFlightRows } from './flight-rows.ts'
import type { FlightSource } from './flights.ts'
import { Oracle, type Truth } from './oracle.ts'
import type { CallName, Calls } from './protocol.ts'
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
    const recovery = await this.#recover()
    await this.#load(this.#records, BATCH_RECORDS, 'append the rest')
    const { failed } = await this.#archiving('archive all', () => this.#call('archive', {}))
    const { bytes } = (await this.#call('tiers', {})).tiers.object
    await this.#finish()
    await this.#step('delete the data directory', () =>
      rm(this.#place.dataDir, { recursive: true, force: true }),
    )
    const restore = await this.#restore()

    const report = judgeDemo({
      records: this.#records,
      source: this.#source.kind,
      archive: this.#place.archive,
      tiers,
      queries,
      acknowledged,
      recovery,
      archiving: { failed, bytes },
      restore,
      requests: this.#requests,
      elapsedMs: Math.round(clock.monotonic() - startedAt),
    })
    const times: DemoTimes = {
      appended: { records: this.#records, elapsedMs: this.#appendMs },
      archived: { records: this.#records, elapsedMs: this.#archiveMs },
      recovered: recovery.found.records,
      verified: restore.found,
    }
    return { report, times }
  }

  /** A third ages until only the archive has it, a third until only the disk has, a third stays. */
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

  async #recover(): Promise<DemoFindings['recovery']> {
    const { endOffset, elapsedMs } = await this.#step('recover', () =>
      this.#start({ create: false }),
    )
    const found = await this.#step('compare with the source', () => this.#call('hash', {}))
    return { elapsedMs, found, truth: await this.#oracle.truthAt(endOffset) }
  }

  async #restore(): Promise<DemoFindings['restore'] & { readonly found: Calls['hash']['answer'] }> {
    this.#engine = new EngineProcess()
    const { elapsedMs } = await this.#step('restore from the archive alone', () =>
      this.#call('restore', this.#placeRequest()),
    )
    await this.#call('open', { ...this.#placeRequest(), shiftMs: this.#shiftMs, create: false })
    const found = await this.#step('compare with the source', () => this.#call('hash', {}))
    const truth = await this.#oracle.truthAt(this.#records)
    await this.#finish()
    return { elapsedMs, found, truth }
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
